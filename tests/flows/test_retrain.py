"""Tests of retraining and scoring from the command line, on a small data set."""

import datetime
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
import pytest
from helpers import bars
from helpers.commands import PREDICT, RETRAIN, Finished, run_script
from helpers.prefect_runs import newest_artifact

from tasks.champion.registry import Champions
from tasks.champion.rule import Decision
from tasks.engine.store import PROJECT, Store
from tasks.runtime.server import free_port
from tasks.settings import DownloadSettings, RetrainSettings, Settings

pytestmark = [pytest.mark.server, pytest.mark.tensorflow]

Retrain = Callable[..., Decision]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bars.write(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("retrain") / "artifacts"


@pytest.fixture(scope="module")
def retrain(prefect_server: str, source: Path, root: Path) -> Retrain:
    """Return a function that retrains on the small data set, in this process."""

    def run(
        iterations: int, artifacts: Path = root, data: str = str(source), **rule: Any
    ) -> Decision:
        from flows.retrain import scheduled_retraining

        schedule = {"iterations": iterations, **bars.PARAMETERS["schedule"]}
        download = {"source": data, "digests": "none"}
        settings = Settings.model_validate(
            {**bars.PARAMETERS, "schedule": schedule, "download": download, "artifacts": artifacts}
        )
        return scheduled_retraining(settings, RetrainSettings(**rule))

    return run


@pytest.fixture(scope="module")
def command(prefect_server: str, source: Path, root: Path) -> Callable[..., Finished]:
    """Return a function that runs `python flows/retrain.py` on the small data set."""

    def run(
        *arguments: str | Path, data: tuple[str | Path, ...] = ("--source", source), **options: Any
    ) -> Finished:
        data = (*data, "--digests", "none", "--artifacts", root)
        return run_script(
            RETRAIN, *bars.OPTIONS, *data, *arguments, PREFECT_API_URL=prefect_server, **options
        )

    return run


@pytest.fixture(scope="module")
def first_run(retrain: Retrain) -> Decision:
    return retrain(150)


@pytest.fixture
def champions(first_run: Decision, root: Path) -> Champions:
    return Champions(Store(root))


def test_first_model_above_the_floor_becomes_the_champion(
    first_run: Decision, champions: Champions, root: Path
) -> None:
    assert first_run.verdict == "promoted"
    champion = champions.find().champion
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
    champions: Champions, command: Callable[..., Finished]
) -> None:
    before = champions.history()
    done = command("--iterations", "150", python=("-X", "importtime"))
    imported = {line.split("|")[-1].strip() for line in done.lines if "import time:" in line}
    assert done.code == 0
    assert not {"tensorflow", "keras", "matplotlib", "sklearn", "scipy"} & imported
    assert "13 stages: all cached, nothing to do" in done.lines
    assert done.lines[-2].startswith("retraining: kept: the challenger is the champion 0001-")
    assert done.lines[-2].endswith("byte for byte")
    assert done.last == f"champion: {before[-1]}"
    assert champions.history() == before


def test_worse_challenger_is_rejected_and_the_artifact_gives_the_reason(
    champions: Champions, retrain: Retrain, root: Path
) -> None:
    before = champions.history()
    decision = retrain(0)
    assert decision.verdict == "kept"
    assert decision.reason.startswith("significantly worse: ")
    assert champions.history() == before
    markdown = newest_artifact("retraining-decision", root).data
    assert markdown.startswith("# Kept\n\nSignificantly worse: ")
    assert f"Champion in use: `{before[-1]}`." in markdown
    assert "| Challenger, seed 0 |" in markdown
    assert "challenger minus champion" in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("| **")]
    differences = [[int(n.strip(" ·") or 0) for n in row.split("|")[2:-1]] for row in rows]
    assert len(differences) == 3
    assert all(sum(row) == 0 for row in differences), (
        "the number of images of each class is unchanged"
    )
    assert sum(differences[c][c] for c in range(3)) < 0


def test_rolled_back_model_is_not_promoted_again(
    champions: Champions, retrain: Retrain, root: Path
) -> None:
    first = champions.history()[-1]
    lenient = {"margin": 1, "alpha": 1e-300, "floor": 0}
    assert retrain(0, **lenient).verdict == "promoted"
    second = champions.history()[-1]

    done = run_script(RETRAIN, "rollback", "--artifacts", root)
    assert done.code == 0
    assert done.last.endswith(f"rolled back from {second} to {first}")
    done = run_script(RETRAIN, "history", "--artifacts", root)
    assert len(done.lines) == 4
    assert re.fullmatch(
        r"- [0-9a-f]{12}  \S+  validation \S+%  test \S+%  kept out by .+: significantly worse: .+",
        done.lines[3],
    )
    assert done.lines[0].startswith(f"  {first} ")
    assert done.lines[1].startswith(f"  {second} ")
    assert done.lines[2].startswith(f"* 0003-{first.partition('-')[2]} ")

    decision = retrain(0, **lenient)
    assert decision.verdict == "kept"
    assert "was withdrawn by a rollback; to use it again: " in decision.reason
    assert len(champions.history()) == 3


def test_incompatible_data_are_refused_before_training(
    champions: Champions, command: Callable[..., Finished], retrain: Retrain, root: Path
) -> None:
    current, history = champions.current_name(), champions.history()
    trained = {path.name for path in (root / "train").iterdir()}
    done = command("--iterations", "10", data=("--source", "digits"))
    assert done.code == 1
    assert done.last.startswith(f"error: champion {current} was trained on other data (number of")
    assert "; challenger: scikit-learn digits (10 classes, " in done.last
    assert {path.name for path in (root / "train").iterdir()} == trained
    assert champions.history() == history

    decision = retrain(10, data="digits", new_task=True, floor=0.01)
    assert decision.verdict == "promoted"
    assert decision.reason.startswith("new task, and ")
    champions.rollback(current, by="a test")


def test_invalid_pointer_is_reported_before_training(
    champions: Champions, command: Callable[..., Finished], root: Path
) -> None:
    current = champions.current_name()
    assert current
    champions.pointer.unlink()
    champions.pointer.mkdir()
    try:
        done = command("--iterations", "20")
    finally:
        champions.pointer.rmdir()
        champions.pointer.symlink_to(current)
    assert done.code == 1
    assert done.last.startswith(f"error: {champions.pointer}: not a symbolic link to a champion")
    assert not any(" cached" in line or ": ran " in line for line in done.lines)


def test_failed_run_publishes_its_reason_without_secrets(
    command: Callable[..., Finished], root: Path, tmp_path: Path
) -> None:
    done = command(data=("--source", f"{tmp_path}/none"))
    assert done.code == 1
    assert done.last.startswith(f"error: --source {tmp_path}/none: ")
    artifact = newest_artifact("flow-failure", root)
    assert artifact.flow_run_id
    lines = artifact.data.splitlines()
    assert lines[:2] == ["# scheduled-retraining: failed", done.last.removeprefix("error: ")]

    done = command(data=("--url", "https://me:secret@a.org/data?token=secret"))
    assert done.code == 2
    assert "secret" not in " ".join(done.lines)
    assert done.last.startswith("error: --url https://***@a.org/data?***: should hold no user name")


def test_run_is_ended_at_the_time_limit(prefect_server: str, tmp_path: Path) -> None:
    from prefect.client.schemas.objects import StateType

    from flows.retrain import scheduled_retraining

    # It accepts connections and sends no response.
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        settings = Settings(
            download=DownloadSettings(url=url, digests="none", read_timeout=60),
            artifacts=tmp_path / "artifacts",
        )
        impatient = scheduled_retraining.with_options(timeout_seconds=1)
        state = impatient(settings, return_state=True)
    assert (state.type, state.name) == (StateType.FAILED, "TimedOut")
    assert newest_artifact("flow-failure", tmp_path).data.splitlines()[:2] == [
        "# scheduled-retraining: timedout",
        "Flow run exceeded timeout of 1.0 second(s)",
    ]


def test_data_at_a_url_are_downloaded_again() -> None:
    from flows.retrain import with_new_download

    settings = Settings(download=DownloadSettings(url="http://a/", digests="none"))
    assert with_new_download(settings).refresh == ("download",)
    assert with_new_download(Settings()) == Settings()


def test_seed_from_the_date_uses_the_scheduled_date() -> None:
    from flows.retrain import with_seed

    day = datetime.datetime(2026, 1, 31, 23, 59, tzinfo=datetime.UTC)
    by_date = RetrainSettings(seed_policy="date")
    assert with_seed(Settings(), by_date, day).training.seed == 20260131
    assert with_seed(Settings(), RetrainSettings(), day) == Settings()


def test_images_are_scored_with_the_champion(
    champions: Champions,
    source: Path,
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flows.cli.predict import predict_main

    monkeypatch.setattr(
        "flows.cli.predict.print_log_lines", lambda: None
    )  # it configures the whole process
    out = tmp_path / "scores.parquet"
    images = str(source / "t10k-images-idx3-ubyte")
    options = ["--artifacts", str(root), "--out", str(out)]
    assert predict_main([images, *options]) == 0
    assert predict_main([images, f"{tmp_path}/nowhere", *options]) == 1
    said = capsys.readouterr()
    line = f"200 pictures scored with champion {champions.current_name()}: {out}"
    assert said.out.splitlines().count(line) == 2
    *_, missing, last = said.err.splitlines()
    assert missing.startswith(f"{tmp_path}/nowhere: ")
    assert last.startswith("error: 1 input was left out")
    table = pq.read_table(out)
    _, labels = bars.draw(200, seed=1)
    right = map(int.__eq__, table["predicted"].to_pylist(), labels.tolist())
    assert sum(right) > 190


def test_same_model_gets_the_calibration_that_its_champion_lacks(
    champions: Champions, retrain: Retrain
) -> None:
    """A champion of an earlier version has none; the folder of a champion never changes."""
    trained = champions.read(champions.history()[0])
    others = Champions(champions.store, "earlier")
    first = others.promote(trained.model, trained.facts, "me", "good", expected_current=None)
    assert first.calibration is None
    decision = retrain(150, champion="earlier")
    assert decision.verdict == "promoted"
    assert decision.reason.endswith("byte for byte, and gets the calibration that it lacked")
    second = others.find().champion
    assert second
    assert (second.model.sha256, second.replaced) == (first.model.sha256, first.id)
    assert second.calibration
    assert second.onnx
    assert champions.store.problem(second.calibration) is None
    assert retrain(150, champion="earlier").verdict == "kept"
    assert others.history() == [first.id, second.id]


@pytest.mark.parametrize(
    ("script", "arguments", "line"),
    [
        (RETRAIN, ["--floor", "2"], "error: --floor 2: should be less than or equal to 1"),
        (RETRAIN, ["--alpha", "0"], "error: --alpha 0: should be greater than 0"),
        (RETRAIN, ["rollback", "9"], "error: Unused Tokens: ['9']."),
        (PREDICT, ["--batch", "0", "a"], "error: --batch 0: should be greater than or equal to 1"),
        (PREDICT, [], "error: Parameter PATHS requires an argument."),
    ],
)
def test_invalid_option_is_refused_in_one_line(
    script: Path, arguments: list[str], line: str, tmp_path: Path
) -> None:
    done = run_script(script, *arguments, cwd=tmp_path)
    assert done.lines == [line]
    assert done.code == 2


def test_missing_server_fails_in_one_line(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    done = run_script(
        *(RETRAIN, "--artifacts", tmp_path / "a"),
        PREFECT_API_URL=url,
        PREFECT_CLIENT_MAX_RETRIES="0",
    )
    assert done.code == 1
    line = (
        f"error: no Prefect server answers at {url}; start one with `make server` in another"
        " terminal, or set PREFECT_API_URL"
    )
    assert done.last == line
    done = run_script(
        Path("check"), python=("-m", "tasks.runtime.server"), cwd=PROJECT, PREFECT_API_URL=url
    )
    assert done.code == 1
    assert done.lines == [line]
