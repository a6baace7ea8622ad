"""Tests of the estimate of a study's duration."""

import pytest

from tasks.records import Shape
from tasks.settings import Settings
from tasks.study.decide import SeedBudget
from tasks.study.design import Search, Study, Variant
from tasks.study.estimate import OVERHEAD_SECONDS, estimate, estimate_text
from tasks.study.exercises import BY_NAME
from tasks.study.run import StudyContext

CONTEXT = StudyContext(
    Settings(), SeedBudget.parse("3..12"), Shape(height=28, width=28, classes=10), ""
)
TUTORIAL = Variant(name="as it is", changes={"preset": "tutorial"})


def study(*variants: Variant, **changes: object) -> Study:
    facts = {"number": 1, "name": "odd", "question": "?", "variants": variants}
    return Study.model_validate(facts | changes)


def test_iteration_of_the_tutorial_s_network_takes_what_was_measured() -> None:
    runs, seconds = estimate([study(TUTORIAL)], CONTEXT, decided=False)
    assert runs == 12
    assert seconds == pytest.approx(12 * (10_000 * 0.0115 + OVERHEAD_SECONDS))


def test_shared_runs_count_once_and_a_longer_run_contains_the_shorter() -> None:
    once, _ = estimate([study(TUTORIAL)], CONTEXT, decided=False)
    assert estimate([study(TUTORIAL), study(TUTORIAL)], CONTEXT, decided=False)[0] == once
    longer = TUTORIAL.model_copy(update={"name": "longer", "times": 2})
    _, both = estimate([study(TUTORIAL, longer)], CONTEXT, decided=False)
    assert both == pytest.approx(12 * (20_000 * 0.0115 + 2.5 * OVERHEAD_SECONDS), rel=0.02)


def test_limits_of_seeds_and_trials_of_a_search_count() -> None:
    few = TUTORIAL.model_copy(update={"name": "few", "most_seeds": 2, "repetition": 1})
    assert estimate([study(TUTORIAL, few)], CONTEXT, decided=False)[0] == 14
    assert estimate([study(TUTORIAL, most_seeds=5)], CONTEXT, decided=False)[0] == 5
    search = Search(trials=10, batch_size=2, goals=(0.99,))
    assert estimate([study(TUTORIAL, search=search)], CONTEXT, decided=False)[0] == 12 + 10 + 12


def test_more_work_takes_longer() -> None:
    small, large = (
        estimate(
            [study(Variant(name="x", changes={"network": {"conv_filters": f}}))],
            CONTEXT,
            decided=False,
        )[1]
        for f in ((8, 18), (32, 72))
    )
    assert small < large


def test_text_names_runs_and_time() -> None:
    text = estimate_text([BY_NAME["strides"]], CONTEXT)
    assert text.startswith("18 to 24 runs, until all is decided; about 1")
    assert "on two quiet cores" in text
    assert estimate_text([study(TUTORIAL, most_seeds=2)], CONTEXT).startswith("2 runs; about 3")
