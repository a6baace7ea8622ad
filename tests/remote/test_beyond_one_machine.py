"""Tests of Dask workers and S3 storage: same bytes as a local run, and recovery from faults."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from helpers import tiny
from helpers.commands import STUDY, run_pipeline
from helpers.s3 import BUCKET, Wire, bucket

from tasks.study.run import read_table
from tests.remote.conftest import kill_holder

pytestmark = [pytest.mark.server, pytest.mark.tensorflow, pytest.mark.slow, pytest.mark.proof]

LEAN = ("--insights", "none")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def local(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the digests of the outputs of an ordinary run."""
    return tiny.compute(tmp_path_factory.mktemp("local"), source, *LEAN)


def bucket_outputs() -> dict[str, str]:
    """Return the digest of each stage output in the bucket, by its path."""
    files: Any = bucket()
    content = {path: files.cat_file(path) for path in files.find(BUCKET)}
    apart = ("records", "latest", "locks", "runs", ".artifact-root")
    return {
        name: hashlib.sha256(data).hexdigest()
        for path, data in content.items()
        if not (name := path.partition("/")[2]).startswith(apart)
    }


def test_a_study_survives_the_death_of_a_worker(
    prefect_server: str, source: Path, tmp_path: Path, cluster: str, local: dict[str, str]
) -> None:
    root = tmp_path / "common"
    asked = ("--dask-address", cluster, "--seeds", "2", "--preset", "tutorial")
    with tiny.start(root, source, prefect_server, "strides", *asked, script=STUDY) as run:
        kill_holder(root, "locks/train-*.lock")
        assert run.stderr
        lines = [line.rstrip() for line in run.stderr]
    assert run.returncode == 0, lines
    assert len([line for line in lines if line.startswith("[")]) == 6
    rows = read_table((root / "studies" / "runs.csv").read_text(encoding="utf-8"))
    assert [row.test_total for row in rows] == [20] * 6
    # The first variant is the network of the ordinary run, with the same seed.
    checkpoints = {v[:12] for k, v in local.items() if k.endswith("checkpoint.safetensors")}
    assert rows[0].weights in checkpoints
    assert not list(root.glob("*/.*")), "leftovers"


def test_a_run_resumes_after_a_lost_connection(
    prefect_server: str, source: Path, tmp_path: Path, s3: Wire, local: dict[str, str]
) -> None:
    def start(copy: str) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(tmp_path / copy))
            return tiny.start(BUCKET, source, prefect_server, *LEAN)

    with start("copy") as run:
        lines = []
        for line in run.stderr:
            lines.append(line.rstrip())
            if line.startswith("training on"):
                s3.cut()
    assert run.returncode == 1
    assert lines[-1].startswith(f"error: train-1: {BUCKET} cannot be used: ")
    noise = [line for line in lines if any(w in line for w in ("Traceback", "WARN", "ERROR"))]
    assert not noise
    s3.mend()
    before = bucket_outputs()
    assert not [name for name in before if name.startswith("train/")]

    lines = tiny.finish(start("copy"))
    assert {"convert: cached", "initialise: cached", "evaluate-0: cached"} <= set(lines)
    assert "train-1: running (never run)" in lines
    assert bucket_outputs() == local
    assert lines[-1] == f"report: {BUCKET}/latest/report/index.html"

    files: Any = bucket()
    page = files.cat(f"{BUCKET}/latest/report/index.html")
    assert page.lower().startswith(b"<!doctype html")
    (model,) = files.glob(f"{BUCKET}/export/*/model.keras")
    files.pipe(model, files.cat(model)[:-1] + b"?")
    # Another machine, with an empty working copy of the bucket.
    asked = (*tiny.OPTIONS, *LEAN, "--source", source, "--artifacts", BUCKET, "--status")
    status = run_pipeline(*asked, XDG_CACHE_HOME=str(tmp_path / "another"))
    assert len(status.lines) > 10
    known = ("up to date", "upstream will run")
    damaged = [line for line in status.lines if not any(word in line for word in known)]
    assert [line.split() for line in damaged] == [
        ["export", *["will", "run:", "output", "damaged:", "model.keras"]]
    ]
    assert not list((tmp_path / "another").rglob("checkpoint.safetensors")), (
        "downloaded without need"
    )
