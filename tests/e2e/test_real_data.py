"""Test of the pipeline on MNIST from the network; in `make proofs` with all insights."""

import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from helpers.commands import run_pipeline

from tasks.data.sources.mnist import MNIST

pytestmark = [pytest.mark.network, pytest.mark.server, pytest.mark.tensorflow]

INSIGHTS = () if "PROOFS" in os.environ else ("--insights", "none")


def test_pipeline_downloads_mnist_and_trains_a_network(tmp_path: Path) -> None:
    root, home = tmp_path / "artifacts", tmp_path / "prefect"
    # Empty Prefect home, no server: Prefect starts a temporary one, as in a first run.
    done = run_pipeline(
        *("--iterations", "100", *INSIGHTS, "--artifacts", root),
        cwd=tmp_path,
        PREFECT_HOME=str(home),
    )
    assert done.code == 0, done.lines
    assert done.last == f"report: {root / 'latest' / 'report' / 'index.html'}"

    (record,) = (json.loads(p.read_text()) for p in root.glob("records/download-*"))
    files = record["output"]["files"]
    digests = {files[name]["sha256"] for name in files if name != "class_names"}
    assert digests == {file.sha256 for file in MNIST}
    rows = {
        name: pq.read_metadata(root / "latest" / f"{name}.parquet").num_rows
        for name in ("train", "validation", "test")
    }
    assert rows == {"train": 55_000, "validation": 5_000, "test": 10_000}

    metrics = json.loads((root / "latest/report/metrics.json").read_text())
    accuracy = {m["iteration"]: m["accuracy"] for m in metrics["milestones"]}
    assert metrics["test"]["total"] == 10_000
    assert accuracy[0] < 0.25
    assert accuracy[100] > 0.5  # 66.6 % in the tutorial
