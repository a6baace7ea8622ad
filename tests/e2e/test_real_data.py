"""The real 70,000 images, fetched the way a user's machine fetches them."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from helpers.commands import run_pipeline

from tasks.data.sources.mnist import MNIST

pytestmark = [pytest.mark.network, pytest.mark.server, pytest.mark.tensorflow]


def test_from_nothing_to_a_trained_network(tmp_path: Path) -> None:
    root, home = tmp_path / "artifacts", tmp_path / "prefect"
    # An empty Prefect home and no server: Prefect starts a temporary one, as for a newcomer.
    done = run_pipeline(
        "--iterations", "100", "--artifacts", root, cwd=tmp_path, PREFECT_HOME=str(home)
    )
    assert done.code == 0, done.lines
    assert done.last == f"report: {root / 'latest' / 'report' / 'index.html'}"

    (record,) = (json.loads(p.read_text()) for p in root.glob("records/download-*"))
    digests = {ref["sha256"] for ref in record["output"]["files"].values()}
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
