"""Tests of promotion: trained models of a small data set against the champion, without Prefect."""

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import bars

from flows.graph import compute_results
from tasks.champion.promotion import PromotionResult, promote_if_not_worse
from tasks.champion.registry import Champions
from tasks.engine.executors import LocalExecutor
from tasks.engine.store import Store
from tasks.report.report import summarise
from tasks.settings import RetrainSettings, Settings

pytestmark = pytest.mark.tensorflow

Promote = Callable[..., PromotionResult]
GOOD, BAD = 150, 0
"""Iterations of a model that has learned the bars, and of one that has not."""
ALWAYS = {"margin": 1, "alpha": 1e-300, "floor": 0}
"""A rule that promotes every challenger."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("promotion")


@pytest.fixture
def promote(root: Path) -> Promote:
    """Return a function that trains a challenger and applies the rule in a registry by name."""
    source = bars.write(root / "source")

    def run(iterations: int, name: str, **rule: float) -> PromotionResult:
        schedule = {"iterations": iterations, **bars.PARAMETERS["schedule"]}
        download = {"source": str(source), "digests": "none"}
        settings = Settings.model_validate(
            {**bars.PARAMETERS, "schedule": schedule, "download": download}
        )
        store = Store(root / "artifacts")
        store.prepare()
        executor = LocalExecutor(store)
        results = compute_results(executor, settings)
        summary = summarise(store, executor.outcomes, settings, results)
        retrain = RetrainSettings(champion=name, **rule)
        return promote_if_not_worse(executor, results, summary, settings, retrain, by="a test")

    return run


def test_first_challenger_must_reach_the_floor(promote: Promote) -> None:
    below = promote(BAD, "first")
    assert (below.decision.verdict, below.after) == ("kept", None)
    above = promote(GOOD, "first")
    assert above.decision.verdict == "promoted"
    assert above.after
    assert above.after.why == above.decision.reason
    assert above.after.facts.validation.total == pytest.approx(100, abs=15)
    assert not above.after.facts.data.mnist
    assert above.after.facts.data.background == "dark"


def test_champion_itself_is_kept_and_not_recorded_as_kept_out(promote: Promote) -> None:
    first = promote(GOOD, "same").after
    again = promote(GOOD, "same")
    assert again.decision.reason.endswith("byte for byte")
    assert again.decision.challenger is None
    assert again.after == first


def test_better_challenger_replaces_the_champion_and_a_worse_one_does_not(
    promote: Promote,
) -> None:
    bad = promote(BAD, "better", **ALWAYS).after
    good = promote(GOOD, "better")
    assert bad
    assert good.before == bad
    assert good.after
    worse = promote(BAD, "better")
    # It was replaced, not withdrawn: the rule compares it as any other.
    assert worse.decision.reason.startswith("significantly worse: ")
    assert worse.after == good.after


def test_withdrawn_model_is_kept_out(promote: Promote, root: Path) -> None:
    good = promote(GOOD, "withdrawn").after
    assert good
    assert promote(BAD, "withdrawn", **ALWAYS).decision.verdict == "promoted"
    Champions(Store(root / "artifacts"), "withdrawn").rollback(None, by="a test")
    decision = promote(BAD, "withdrawn", **ALWAYS).decision
    assert decision.verdict == "kept"
    assert "withdrawn by a rollback" in decision.reason
