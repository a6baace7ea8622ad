"""A data set of the user's own, from pictures in class folders to the report and its pages."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import tiny
from helpers.data_sets import encode, write_tree

pytestmark = [pytest.mark.server, pytest.mark.tensorflow]

LEAN = ("--insights", "none")
NAMES = ["<cat>", "dog", "eel"]


def computed(*options: str) -> set[str]:
    """Run again, in this process, and return the stages that ran."""
    from flows.pipeline import mnist_pipeline

    settings = tiny.settings_of(*options)
    mnist_pipeline(settings)
    metrics = json.loads(Path(settings.artifacts, "latest/report/metrics.json").read_text())
    return {stage["name"] for stage in metrics["stages"] if stage["state"] == "ran"}


def test_pictures_become_a_report_with_their_class_names(
    prefect_server: str, tmp_path: Path
) -> None:
    draw = np.random.default_rng(0)
    files = {
        f"{name}/{n}.png": encode(draw.integers(0, 256, (8, 8), np.uint8))
        for name in NAMES
        for n in range(20)
    }
    source, root = write_tree(tmp_path / "pictures", files), tmp_path / "artifacts"
    command = (*LEAN, *tiny.OPTIONS[2:], "--source", str(source), "--artifacts", str(root))

    assert {"download", "convert", "train-40", "draw"} <= computed(*command)
    report = root / "latest" / "report"
    metrics = json.loads((report / "metrics.json").read_text())
    assert metrics["class_names"] == NAMES
    predictions = pq.read_table(root / "latest" / "predictions.parquet").to_pylist()
    assert {row["label_name"] for row in predictions} == set(NAMES)
    assert all(row["predicted_name"] == NAMES[row["predicted"]] for row in predictions)
    page = (report / "index.html").read_text()
    assert "&lt;cat&gt;" in page
    assert "<cat>" not in page
    assert "60 pictures of 3 classes; 8 of 60 images drawn as test split" in page

    assert computed(*command) == set()
    picture = source / "dog" / "3.png"
    picture.write_bytes(picture.read_bytes())  # written again, with the same content
    assert computed(*command) == {"download"}
    picture.write_bytes(encode(np.zeros((8, 8), np.uint8)))
    assert {"download", "convert", "train-40", "draw"} <= computed(*command)
