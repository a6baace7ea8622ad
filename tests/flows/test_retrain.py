"""Tests of retraining on a small data set, and of the command line for champions."""

import datetime
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from helpers import bars
from helpers.commands import RETRAIN, Finished, run_script
from helpers.prefect_runs import newest_artifact

from flows.cli.retrain import retrain_main
from tasks.champion.registry import Champions
from tasks.champion.rule import Decision
from tasks.engine.store import Store
from tasks.runtime.errors import PipelineError
from tasks.settings import DownloadSettings, RetrainSettings, Settings

pytestmark = [pytest.mark.server, pytest.mark.tensorflow]

Retrain = Callable[..., Decision]
LENIENT = {"margin": 1, "alpha": 1e-300, "floor": 0}
"""A rule that promotes every challenger."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bars.write(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("retrain") / "artifacts"


@pytest.fixture(scope="module")
def retrain(prefect_server: str, source: Path, root: Path) -> Retrain:
    """Return a function that retrains on the small data set, in this process."""

    def run(iterations: int, data: str | Path = source, **rule: Any) -> Decision:
        from flows.retrain import scheduled_retraining

        schedule = {"iterations": iterations, **bars.PARAMETERS["schedule"]}
        download = {"source": str(data), "digests": "none"}
        settings = Settings.model_validate(
            {**bars.PARAMETERS, "schedule": schedule, "download": download, "artifacts": root}
        )
        return scheduled_retraining(settings, RetrainSettings(**rule))

    return run


@pytest.fixture(scope="module")
def first_run(retrain: Retrain) -> Decision:
    return retrain(150)


@pytest.fixture
def champions(first_run: Decision, root: Path) -> Champions:
    return Champions(Store(root))


def ids(champions: Champions) -> list[str]:
    return [champion.id for champion in champions.champions()]


def test_first_model_above_the_floor_becomes_the_champion(
    first_run: Decision, champions: Champions, root: Path
) -> None:
    assert first_run.verdict == "promoted"
    champion = champions.current()
    assert champion
    metrics = json.loads((root / "latest/report/metrics.json").read_text())
    assert champion.facts.test.correct == metrics["test"]["correct"]
    assert champion.facts.validation.total == pytest.approx(100, abs=15)
    assert champion.facts.settings["schedule"]["iterations"] == 150
    assert "flow run " in champion.by
    assert champion.why == first_run.reason
    artifact = newest_artifact("retraining-decision", root)
    assert artifact.data.startswith("# Promoted\n\nNo champion yet, and ")
    assert isinstance(artifact.flow_run_id, UUID)


def test_unchanged_run_is_cached_and_keeps_the_champion(
    champions: Champions, prefect_server: str, source: Path, root: Path
) -> None:
    done: Finished = run_script(
        *(RETRAIN, *bars.OPTIONS, "--iterations", "150"),
        *("--source", source, "--digests", "none", "--artifacts", root),
        python=("-X", "importtime"),
        PREFECT_API_URL=prefect_server,
    )
    imported = {line.split("|")[-1].strip() for line in done.lines if "import time:" in line}
    assert done.code == 0
    assert not {"tensorflow", "keras", "matplotlib", "sklearn", "scipy"} & imported
    assert any(" 0 ran, " in line for line in done.lines)
    assert done.lines[-2].startswith("retraining: kept: the challenger is the champion 0001-")
    assert done.last == f"champion: {ids(champions)[-1]}"
    assert len(champions.history()) == 1


def test_worse_challenger_is_kept_out_and_the_artifact_gives_the_reason(
    champions: Champions, retrain: Retrain, root: Path
) -> None:
    decision = retrain(0)
    assert decision.verdict == "kept"
    assert decision.reason.startswith("significantly worse: ")
    markdown = newest_artifact("retraining-decision", root).data
    assert markdown.startswith("# Kept\n\nSignificantly worse: ")
    assert f"Champion in use: `{ids(champions)[-1]}`." in markdown
    assert "| Challenger, seed 0 |" in markdown
    changes = re.findall(r" [+-]\d+", markdown.rpartition("minus champion: ")[2])
    assert sum(map(int, changes)) < 0


def test_rolled_back_model_is_not_promoted_again(
    champions: Champions, retrain: Retrain, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrain(0, **LENIENT).verdict == "promoted"
    first, second = ids(champions)
    assert retrain_main(["rollback", "--artifacts", str(root)]) == 0
    assert capsys.readouterr().out.endswith(f"rolled back from {second} to {first}\n")
    assert retrain_main(["history", "--artifacts", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:6] for line in lines] == ["  0001", "- 0002", "  0003", "* 0004"]
    assert "kept out by flow run " in lines[1]
    decision = retrain(0, **LENIENT)
    assert decision.verdict == "kept"
    assert "was withdrawn by a rollback; to use it again: " in decision.reason
    assert len(ids(champions)) == 3


def test_data_of_another_kind_are_refused_before_training(
    champions: Champions, retrain: Retrain, root: Path
) -> None:
    before = ids(champions)
    trained = {path.name for path in (root / "train").iterdir()}
    with pytest.raises(PipelineError, match=rf"champion {before[-1]} .* \(number of classes, .*"):
        retrain(10, data="digits")
    assert {path.name for path in (root / "train").iterdir()} == trained
    decision = retrain(10, data="digits", new_task=True, floor=0.01)
    assert decision.verdict == "promoted"
    assert decision.reason.startswith("new task, and ")
    champions.rollback(before[-1], by="a test")


def test_damaged_champion_is_reported_before_training(
    champions: Champions, retrain: Retrain, root: Path
) -> None:
    current = champions.champions()[-1]
    model = root / current.onnx.path
    content = model.read_bytes()
    model.write_bytes(content[:-1])
    before = {*root.glob("records/*")}
    try:
        with pytest.raises(PipelineError, match=r"model damaged: model\.onnx; .* rollback`"):
            retrain(20)
    finally:
        model.write_bytes(content)
    assert {*root.glob("records/*")} == before


def test_run_is_ended_at_the_time_limit(prefect_server: str, tmp_path: Path) -> None:
    from prefect.client.schemas.objects import StateType

    from flows.retrain import scheduled_retraining

    # It accepts connections and sends no response.
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        download = DownloadSettings(url=url, digests="none", read_timeout=60)
        settings = Settings(download=download, artifacts=tmp_path / "artifacts")
        impatient = scheduled_retraining.with_options(timeout_seconds=1)
        state = impatient(settings, return_state=True)
    assert (state.type, state.name) == (StateType.FAILED, "TimedOut")
    assert "exceeded timeout of 1.0 second" in state.message


def test_settings_of_a_run() -> None:
    from flows.retrain import with_new_download, with_seed

    day = datetime.datetime(2026, 1, 31, 23, 59, tzinfo=datetime.UTC)
    by_date = RetrainSettings(seed_policy="date")
    assert with_seed(Settings(), by_date, day).training.seed == 20260131
    assert with_seed(Settings(), RetrainSettings(), day) == Settings()
    settings = Settings(download=DownloadSettings(url="http://a/", digests="none"))
    assert with_new_download(settings).refresh == ("download",)
    assert with_new_download(Settings()) == Settings()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--floor", "2"], "error: --floor 2: should be less than or equal to 1"),
        (["--alpha", "0"], "error: --alpha 0: should be greater than 0"),
        (["rollback", "9"], "error: Unused Tokens: ['9']."),
    ],
)
def test_invalid_option_is_refused_in_one_line(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrain_main(arguments) == 2
    assert capsys.readouterr().err.splitlines() == [line]
