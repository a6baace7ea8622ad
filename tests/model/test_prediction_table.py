"""Tests of tables of predictions."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tasks.model.prediction_table import (
    class_probabilities,
    count,
    read_arrays,
    read_predictions,
    to_frame,
    write_predictions,
)

INDEX = np.array([4, 5, 6], np.int32)
LABELS = np.array([0, 1, 1], np.uint8)
PROBABILITIES = np.array([[0.75, 0.25, 0], [0, 0.25, 0.75], [np.nan] * 3], np.float32)


def test_written_table_is_read_back(tmp_path: Path) -> None:
    frame = to_frame(INDEX, LABELS, PROBABILITIES)
    path = tmp_path / "label=3" / "predictions.parquet"  # a folder that looks like a partition
    path.parent.mkdir()
    write_predictions(frame, path)
    read = read_predictions(path)
    assert dict(read.dtypes) == dict(frame.dtypes)
    np.testing.assert_array_equal(read, frame)
    np.testing.assert_array_equal(class_probabilities(read), PROBABILITIES)
    assert class_probabilities(read).dtype == np.float32
    assert list(read_predictions(path, ["label"])) == ["label"]
    np.testing.assert_array_equal(read_arrays(path)["index"], INDEX)


def test_names_of_classes_are_columns_for_people(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    frame = to_frame(INDEX, LABELS, PROBABILITIES)
    write_predictions(frame, path, ("Sandal", "Zehe ß", "Coat"))
    table = pq.read_table(path)
    assert table.column_names[:6] == [*frame.columns[:3], "label_name", "predicted_name", "p0"]
    assert table["label_name"].to_pylist() == ["Sandal", "Zehe ß", "Zehe ß"]
    assert table["predicted_name"].to_pylist() == ["Sandal", "Coat", "Sandal"]
    np.testing.assert_array_equal(read_predictions(path), frame)
    np.testing.assert_array_equal(class_probabilities(read_predictions(path)), PROBABILITIES)


def test_names_that_are_the_labels_add_no_columns(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    frame = to_frame(INDEX, LABELS, PROBABILITIES)
    write_predictions(frame, path, ("0", "1", "2"))
    assert pq.read_schema(path).names == list(frame.columns)


def test_table_of_several_or_no_row_groups_is_read(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    write_predictions(to_frame(INDEX, LABELS, PROBABILITIES), path)
    pq.write_table(pq.read_table(path), tmp_path / "groups.parquet", row_group_size=1)
    assert read_arrays(tmp_path / "groups.parquet")["label"].tolist() == LABELS.tolist()
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    assert len(read_predictions(path)) == 0


def test_equal_tables_give_equal_bytes(tmp_path: Path) -> None:
    digests = set()
    for name in ("first", "second"):
        write_predictions(to_frame(INDEX, LABELS, PROBABILITIES), tmp_path / name)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_nan_is_not_written_as_missing(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    write_predictions(to_frame(INDEX, LABELS, PROBABILITIES), path)
    assert pq.read_table(path)["p0"].null_count == 0


def test_counts_include_classes_without_images() -> None:
    counts = count(to_frame(INDEX[:2], LABELS[:2], PROBABILITIES[:2]), classes=3)
    assert (counts.correct, counts.total) == (1, 2)
    assert counts.confusion == ((1, 0, 0), (0, 0, 1), (0, 0, 0))
