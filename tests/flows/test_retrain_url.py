"""Tests of retraining, scoring and pruning with an artifact root at a URL."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from helpers import bars
from helpers.s3 import BUCKET, Wire, s3_server

from tasks.champion.kept_out import read_kept_out
from tasks.champion.registry import Champions
from tasks.champion.rule import Decision
from tasks.engine.store import open_store
from tasks.settings import RetrainSettings, ScoreSettings, Settings

pytestmark = [pytest.mark.server, pytest.mark.tensorflow]

ROOT = f"{BUCKET}/root"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    with s3_server() as wire, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield wire


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bars.write(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def retrain(prefect_server: str, source: Path, s3: Wire) -> Callable[..., Decision]:
    """Return a function that retrains with the parameters of a deployment."""

    def run(iterations: int, **rule: Any) -> Decision:
        from flows.retrain import scheduled_retraining

        schedule = {"iterations": iterations, **bars.PARAMETERS["schedule"]}
        data = {"source": str(source), "digests": "none"}
        settings = {**bars.PARAMETERS, "schedule": schedule, "download": data}
        return scheduled_retraining(
            Settings.model_validate({**settings, "artifacts": ROOT}), RetrainSettings(**rule)
        )

    return run


@pytest.fixture(scope="module")
def first_run(retrain: Callable[..., Decision]) -> Decision:
    return retrain(100)


def champions(name: str = "default") -> Champions:
    return Champions(open_store(ROOT), name)


def test_challengers_are_promoted_and_kept_out_at_a_url(
    first_run: Decision, retrain: Callable[..., Decision]
) -> None:
    assert first_run.verdict == "promoted"
    champion = champions().find().champion
    assert champion
    assert champion.why == first_run.reason
    assert retrain(0).reason.startswith("significantly worse: ")
    assert champions().history() == [champion.id]
    assert "do not reach the floor" in retrain(0, champion="other").reason
    assert champions("other").history() == []
    assert retrain(0, champion="other", floor=0).verdict == "promoted"
    assert champions().history() == [champion.id]
    kept = {name: read_kept_out(champions(name)) for name in ("default", "other")}
    assert [entry.champion for entry in kept["default"]] == [champion.id]
    assert [entry.champion for entry in kept["other"]] == [None]


def test_kept_out_challengers_at_a_url_are_listed(
    first_run: Decision, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.cli.retrain import retrain_main

    assert retrain_main(["history", "--artifacts", ROOT]) == 0
    lines = capsys.readouterr().out.splitlines()
    marks = [line.split()[0] for line in lines]
    assert marks == ["champion", "*", "-", "champion", "*", "-"]
    assert "significantly worse: " in lines[2]
    assert "do not reach the floor of " in lines[5]
    assert retrain_main(["history", "--artifacts", ROOT, "--champion", "other"]) == 0
    assert capsys.readouterr().out.splitlines() == lines[4:]


def test_missing_bucket_is_an_error(s3: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    from flows.cli.pipeline import pipeline_main
    from flows.cli.retrain import retrain_main

    missing = ["--artifacts", "s3://no-such-bucket/root"]
    for main, command in ((pipeline_main, ["cache", "ls"]), (retrain_main, ["history"])):
        assert main([*command, *missing]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: --artifacts s3://no-such-bucket/root: ")
        assert line.endswith("create the bucket, or name another URL")


def test_champion_at_a_url_is_listed_and_rolled_back(
    first_run: Decision, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.cli.retrain import retrain_main

    asked = ["--artifacts", ROOT, "--champion", "default"]
    first = champions().find().champion
    assert first
    second = champions().promote(first.model, first.facts, "me", "again", first.id).id
    assert retrain_main(["rollback", "--to", "1", *asked]) == 1
    error = f"error: rollback: {first.id} is the current model already ({second})"
    assert capsys.readouterr().err.splitlines() == [error]
    assert retrain_main(["history", *asked]) == 0
    lines = capsys.readouterr().out.splitlines()
    champion_lines = [line for line in lines if not line.startswith("- ")]  # kept out
    assert [line[:20].strip() for line in champion_lines] == [first.id, f"* {second}"]


def test_images_are_scored_with_the_champion_at_a_url(
    first_run: Decision, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.predict import score_batch

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    out = tmp_path / "scores.parquet"
    settings = ScoreSettings(artifacts=ROOT, out=out)
    assert score_batch([str(source / "t10k-images-idx3-ubyte")], settings) == 200
    assert set(pq.read_table(out)["champion"].to_pylist()) == {champions().current_name()}


def test_prune_at_a_url_keeps_champions_and_the_latest_report(
    first_run: Decision, retrain: Callable[..., Decision], capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.cli.pipeline import pipeline_main

    before = champions().find().champion
    asked = ["--artifacts", ROOT]
    assert pipeline_main(["cache", "prune", *asked, "--keep-latest", "0", "--older-than", "0"]) == 0
    removed = capsys.readouterr().out.splitlines()
    assert removed[-1].endswith("MB removed")
    assert len(removed) > 1
    assert pipeline_main(["cache", "ls", *asked]) == 0
    assert all(line.startswith("* ") for line in capsys.readouterr().out.splitlines()[:-1])
    assert champions().find().champion == before
    store = open_store(ROOT)
    assert store.remote
    assert store.remote.listing("locks") == {}
