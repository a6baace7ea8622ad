"""Findings about made-up data sets with known faults."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tasks.data.audit import SCHEMA, audit, contradictions, is_blank, is_inverted
from tasks.data.convert import rows_to_table, write_parquet
from tasks.data.dataset import numbered_classes, read_split
from tasks.data.drop import drop
from tasks.engine.digests import sha256
from tasks.engine.models import FileRef
from tasks.engine.store import Store
from tasks.records import Audit, Shape, Split, Splits
from tasks.runtime.errors import PipelineError
from tasks.settings import AuditSettings

from .test_duplicates import drawings

SIZES = {"train": 60, "validation": 20, "test": 20}
Arrays = dict[str, tuple[np.ndarray, np.ndarray]]
"""Images and labels by split."""


@pytest.fixture
def arrays() -> Arrays:
    """A sound data set: white drawings on a black ground, two classes, in no order."""
    count = sum(SIZES.values())
    ink = drawings(count, side=20)
    labels = (np.arange(count) % 2).astype(np.uint8)
    ink[labels == 0, :10] //= 4  # ink of class 0 is below, of class 1 above
    ink[labels == 1, 10:] //= 4
    images = np.pad(ink, ((0, 0), (4, 4), (4, 4)))
    ends = np.cumsum(list(SIZES.values()))[:-1]
    parts = zip(np.split(images, ends), np.split(labels, ends), strict=True)
    return dict(zip(SIZES, parts, strict=True))


@pytest.fixture
def stored(store: Store) -> Callable[[Arrays], Splits]:
    def write(arrays: Arrays) -> Splits:
        splits = {}
        for name, (images, labels) in arrays.items():
            path = store.root / f"{name}.parquet"
            # Rows of the training file: validation first, as for MNIST.
            index = np.arange(len(labels)) + (1_000 if name == "train" else 0)
            write_parquet(rows_to_table(images, labels, index), path)
            file = FileRef(path=path.name, sha256=sha256(path), size=path.stat().st_size)
            splits[name] = Split(rows=len(labels), file=file)
        _, height, width = arrays["train"][0].shape
        classes = 1 + max(int(labels.max()) for _, labels in arrays.values())
        return Splits(
            **splits,
            shape=Shape(height=height, width=width, classes=classes),
            class_names=numbered_classes(classes),
        )

    return write


@pytest.fixture
def audited(
    store: Store, stored: Callable[[Arrays], Splits]
) -> Callable[[Arrays], tuple[Audit, pd.DataFrame]]:
    def run(arrays: Arrays) -> tuple[Audit, pd.DataFrame]:
        with store.workspace("audit", "0" * 64) as work:
            found = audit.function(work, stored(arrays))
        return found, pq.read_table(store.path(found.file)).to_pandas()

    return run


Audited = Callable[[Arrays], tuple[Audit, pd.DataFrame]]


def texts(found: Audit, severity: str = "warning") -> list[str]:
    return [finding.text for finding in found.findings if finding.severity == severity]


def test_nothing_is_found_in_a_sound_data_set(audited: Audited, arrays: Arrays) -> None:
    found, table = audited(arrays)
    assert found.findings == ()
    assert table.empty
    train, validation, test = found.splits
    assert [split.name for split in found.splits] == ["train", "validation", "test"]
    assert (train.images, train.classes) == (60, (30, 30))
    assert (validation.images, test.images) == (20, 20)
    assert (train.darkest, train.light_ground) == (0, 0)


def test_the_table_can_be_read_by_anyone(store: Store, audited: Audited, arrays: Arrays) -> None:
    found, _ = audited(arrays)
    schema = pq.read_schema(store.path(found.file))
    assert schema == SCHEMA
    assert schema.metadata is None


def test_test_images_among_the_training_images(audited: Audited, arrays: Arrays) -> None:
    arrays["train"][0][[5, 7]] = arrays["test"][0][[11, 13]]
    arrays["train"][1][[5, 7]] = arrays["test"][1][[11, 13]]
    arrays["validation"][0][2] = arrays["test"][0][11]
    arrays["validation"][1][2] = arrays["test"][1][11]
    found, table = audited(arrays)
    assert texts(found) == [
        "2 training images and 1 validation image are equal to images of the test split, so"
        " accuracy measured on it may be too high; --drop duplicates leaves them out"
    ]
    rows = table[["kind", "split", "index", "other_split", "other_index"]].to_numpy().tolist()
    assert rows == [
        ["duplicates", "validation", 2, "test", 11],
        ["duplicates", "train", 1005, "test", 11],
        ["duplicates", "train", 1007, "test", 13],
    ]


def test_near_duplicates(audited: Audited, arrays: Arrays) -> None:
    images, labels = arrays["train"]
    noise = np.random.default_rng(0).integers(-3, 4, images[0].shape)
    images[30] = np.clip(images[20] + noise, 0, 255)
    labels[30] = labels[20]
    found, table = audited(arrays)
    assert texts(found) == []
    assert texts(found, "note") == [
        "1 training image is almost equal to another one of the same split; --drop near-duplicates"
        " leaves them out of training and validation"
    ]
    (row,) = table.to_dict("records")
    assert (row["kind"], row["index"], row["other_index"]) == ("near-duplicates", 1030, 1020)
    assert 0.997 <= row["correlation"] < 1


def test_equal_images_with_different_labels(audited: Audited, arrays: Arrays) -> None:
    images, labels = arrays["train"]
    images[10], labels[10], labels[20] = images[20], 0, 1
    found, table = audited(arrays)
    assert any("2 training images are equal to one with another label" in t for t in texts(found))
    rows = table[table["kind"] == "contradictions"]
    assert rows[["index", "label", "other_index", "other_label"]].to_numpy().tolist() == [
        [1020, 1, 1010, 0],
        [1010, 0, 1020, 1],
    ]


def test_contradictions_among_several_copies() -> None:
    labels = np.array([0, 1, 0, 2, 0, 5], np.uint8)
    first = np.array([0, 0, 0, 0, 4, 5])
    rows, others = contradictions(labels, first)
    assert dict(zip(rows.tolist(), others.tolist(), strict=True)) == {1: 0, 3: 0, 0: 1, 2: 1}


def test_blank_and_inverted_images(audited: Audited, arrays: Arrays) -> None:
    images, _ = arrays["train"]
    images[3], images[4] = 0, 200  # blank ones are no duplicates and no negatives
    images[5] = 0
    images[[8, 9]] = 255 - images[[8, 9]]
    found, table = audited(arrays)
    assert texts(found) == [
        "3 training images are blank; --drop blank leaves them out of training and validation",
        "2 training images are negatives of the others of their class; --drop inverted leaves them"
        " out of training and validation",
    ]
    assert list(zip(table["kind"], table["index"], strict=True)) == [
        ("blank", 1003),
        ("blank", 1004),
        ("blank", 1005),
        ("inverted", 1008),
        ("inverted", 1009),
    ]


def test_jpegs_traces_on_a_blank_page_are_blank() -> None:
    page = np.full((2, 9, 9), 250, np.uint8)
    page[:, 4, 4] = [244, 200]
    assert is_blank(page).tolist() == [True, False]


def test_a_picture_that_fills_its_frame_is_no_negative() -> None:
    images = np.zeros((9, 8, 8), np.uint8)
    images[:, 2:6, 2:6] = 255
    images[8] = 200  # its ground is light, …
    images[8, 2:6, 2:6] = 255  # … and it is lighter where the others are
    labels, light = np.zeros(9, np.uint8), np.arange(9) == 8
    assert not is_inverted(images, labels, light).any()
    images[8] = 255 - images[0]
    assert np.flatnonzero(is_inverted(images, labels, light)).tolist() == [8]


@pytest.mark.parametrize("side", [1, 3, 8])
@pytest.mark.parametrize("images", [1, 10])
def test_tiny_data_sets(audited: Audited, images: int, side: int) -> None:
    rng = np.random.default_rng(0)
    made = {
        name: (
            rng.integers(0, 256, (images, side, side), dtype=np.uint8),
            np.zeros(images, np.uint8),
        )
        for name in SIZES
    }
    found, _ = audited(made)
    assert [split.images for split in found.splits] == [images] * 3


def test_letters(audited: Audited, arrays: Arrays) -> None:
    many = {
        name: (images, (np.arange(len(labels)) % 26).astype(np.uint8))
        for name, (images, labels) in arrays.items()
    }
    found, _ = audited(many)
    assert len(found.splits[0].classes) == 26
    assert any("the validation split has no image of classes 20, 21," in t for t in texts(found))


@pytest.fixture
def dropped(
    store: Store, stored: Callable[[Arrays], Splits]
) -> Callable[..., tuple[Splits, dict[str, list[int]]]]:
    def run(arrays: Arrays, *kinds: str) -> tuple[Splits, dict[str, list[int]]]:
        splits = stored(arrays)
        with store.workspace("audit", "0" * 64) as work:
            found = audit.function(work, splits)
        with store.workspace("drop", "0" * 64) as work:
            settings = AuditSettings.model_validate({"drop": kinds})
            left = drop.function(work, splits, found, settings)
        index = {
            name: read_split(store.path(getattr(left, name).file)).index.tolist() for name in SIZES
        }
        return left, index

    return run


Drop = Callable[..., tuple[Splits, dict[str, list[int]]]]


def test_dropped_images_leave_training_and_validation_only(dropped: Drop, arrays: Arrays) -> None:
    arrays["train"][0][[5, 9]] = arrays["test"][0][[11, 13]]  # leaks
    arrays["train"][0][20] = arrays["train"][0][10]  # a copy
    arrays["validation"][0][4] = 0
    arrays["test"][0][[0, 1]] = 0
    left, index = dropped(arrays, "duplicates", "blank")
    assert [i for i in range(1000, 1060) if i not in index["train"]] == [1005, 1009, 1020]
    assert [i for i in range(20) if i not in index["validation"]] == [4]
    assert index["test"] == list(range(20))
    assert (left.train.rows, left.validation.rows, left.test.rows) == (57, 19, 20)
    assert [d.model_dump() for d in left.dropped] == [
        {"kind": "duplicates", "train": 3, "validation": 0},
        {"kind": "blank", "train": 0, "validation": 1},
    ]


def test_only_what_is_named_is_dropped(dropped: Drop, arrays: Arrays) -> None:
    arrays["train"][0][[5, 9]] = 0
    _, index = dropped(arrays, "duplicates", "inverted")
    assert index["train"] == list(range(1000, 1060))


def test_near_duplicates_include_duplicates(dropped: Drop, arrays: Arrays) -> None:
    images, _ = arrays["train"]
    images[20] = images[10]
    images[30] = images[10] - images[10] // 16
    left, index = dropped(arrays, "near-duplicates")
    assert [i for i in range(1000, 1060) if i not in index["train"]] == [1020, 1030]
    assert [d.kind for d in left.dropped] == ["duplicates", "near-duplicates"]


def test_contradictions_leave_no_copy(dropped: Drop, arrays: Arrays) -> None:
    images, labels = arrays["train"]
    images[10], labels[10], labels[20] = images[20], 0, 1
    left, index = dropped(arrays, "contradictions", "duplicates")
    assert [i for i in range(1000, 1060) if i not in index["train"]] == [1010, 1020]
    assert [d.train for d in left.dropped] == [2, 0]


def test_something_must_be_left(dropped: Drop, arrays: Arrays) -> None:
    arrays["validation"][0][:] = 0
    with pytest.raises(PipelineError, match="--drop blank: no image is left in the validation"):
        dropped(arrays, "blank")
