"""Tests of retraining, scoring and pruning with an artifact root at a URL."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from helpers import bars
from helpers.s3 import BUCKET, Wire, s3_server

from flows.cli.pipeline import pipeline_main
from flows.cli.retrain import retrain_main
from tasks.champion.registry import Champions
from tasks.engine.store import open_store
from tasks.settings import RetrainSettings, ScoreSettings, Settings

pytestmark = [pytest.mark.server, pytest.mark.tensorflow]

ROOT = f"{BUCKET}/root"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    with s3_server() as wire, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield wire


def test_champion_at_a_url(
    prefect_server: str,
    s3: Wire,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Train, keep out, list, roll back, prune; then score on another machine."""
    from flows.predict import score_batch
    from flows.retrain import scheduled_retraining

    source = bars.write(tmp_path / "source")

    def retrain(iterations: int, **rule: Any) -> str:
        schedule = {"iterations": iterations, **bars.PARAMETERS["schedule"]}
        data = {"source": str(source), "digests": "none"}
        settings = {**bars.PARAMETERS, "schedule": schedule, "download": data, "artifacts": ROOT}
        decision = scheduled_retraining(Settings.model_validate(settings), RetrainSettings(**rule))
        return decision.reason

    def run(main: Any, *arguments: str, code: int = 0) -> list[str]:
        capsys.readouterr()
        assert main([*arguments, "--artifacts", ROOT]) == code
        said = capsys.readouterr()
        return (said.err if code else said.out).splitlines()

    assert retrain(100).startswith("no champion yet, and ")
    assert retrain(0).startswith("significantly worse: ")
    assert "do not reach the floor" in retrain(0, champion="other")
    assert retrain(0, champion="other", floor=0).startswith("no champion yet, and ")
    lines = run(retrain_main, "history")
    assert [line.split()[0] for line in lines] == ["champion", "*", "-", "champion", "-", "*"]
    assert run(retrain_main, "history", "--champion", "other") == lines[4:]
    (error,) = run(retrain_main, "rollback", "--to", "1", code=1)
    assert "is the model in use already" in error

    before = Champions(open_store(ROOT)).current()
    assert before
    monkeypatch.setattr("tasks.engine.prune.DAYS_AT_URL", 0)
    removed = run(pipeline_main, "cache", "prune", "--keep-latest", "0", "--older-than", "0")
    assert removed[-1].endswith("MB removed")
    assert len(removed) > 1
    left = run(pipeline_main, "cache", "ls")[:-1]
    assert [line for line in left if not line.startswith("* ")] == []
    assert Champions(open_store(ROOT)).current() == before

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    out = tmp_path / "scores.parquet"
    settings = ScoreSettings(artifacts=ROOT, out=out)
    assert score_batch([str(source / "t10k-images-idx3-ubyte")], settings) == 200
    assert set(pq.read_table(out)["champion"].to_pylist()) == {before.id}


def test_missing_bucket_is_an_error(s3: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    missing = ["--artifacts", "s3://no-such-bucket/root"]
    for main, command in ((pipeline_main, ["cache", "ls"]), (retrain_main, ["history"])):
        assert main([*command, *missing]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: --artifacts s3://no-such-bucket/root: ")
        assert line.endswith("create the bucket, or name another URL")
