"""Tests of the conversion of IDX files to three disjoint Parquet splits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.data import idx
from tasks.data.convert import (
    convert,
    has_mnist_digests,
    name_classes,
    validation_rows,
    validation_size,
)
from tasks.data.dataset import read_split
from tasks.data.sources.mnist import MNIST
from tasks.engine.digests import sha256
from tasks.engine.models import FileRef
from tasks.engine.store import Store
from tasks.records import IdxFiles, Splits
from tasks.runtime.errors import PipelineError
from tasks.settings import ConvertSettings

if TYPE_CHECKING:
    Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    Convert = Callable[..., Splits]

NAMES = ("train-images", "train-labels", "test-images", "test-labels")


def random_data(
    train: int = 60, test: int = 12, size: tuple[int, int] = (4, 4), classes: int = 10
) -> Arrays:
    """Return images of noise, and labels with every class."""
    rng = np.random.default_rng(0)
    return (
        rng.integers(0, 256, (train, *size), dtype=np.uint8),
        (np.arange(train) % classes).astype(np.uint8),
        rng.integers(0, 256, (test, *size), dtype=np.uint8),
        (np.arange(test) % classes).astype(np.uint8),
    )


@pytest.fixture
def files_of(store: Store) -> Callable[[Arrays], IdxFiles]:
    def write(arrays: Arrays) -> IdxFiles:
        refs = []
        for name, array in zip(NAMES, arrays, strict=True):
            path = store.root / name
            path.write_bytes(idx.dumps(array))
            refs.append(FileRef(path=name, sha256=sha256(path), size=path.stat().st_size))
        return IdxFiles.model_validate(dict(zip(IdxFiles.model_fields, refs, strict=False)))

    return write


@pytest.fixture
def converted(store: Store, files_of: Callable[[Arrays], IdxFiles]) -> Convert:
    def run(arrays: Arrays, validation: int | None = None, key: str = "0" * 64) -> Splits:
        with store.workspace("convert", key) as work:
            return convert.function(work, files_of(arrays), ConvertSettings(validation=validation))

    return run


def error_message(converted: Convert, arrays: Arrays, validation: int | None = None) -> str:
    """Return the error message for invalid data; one line."""
    with pytest.raises(PipelineError) as caught:
        converted(arrays, validation)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_splits_are_disjoint_and_complete(store: Store, converted: Convert) -> None:
    arrays = random_data(train=60, test=12)
    splits = converted(arrays, validation=20)
    validation = read_split(store.path(splits.validation.file))
    train = read_split(store.path(splits.train.file))
    test = read_split(store.path(splits.test.file))
    assert sorted([*validation.index, *train.index]) == list(range(60))
    for split in (validation, train):
        assert (np.diff(split.index) > 0).all()
        np.testing.assert_array_equal(split.images, arrays[0][split.index])
        np.testing.assert_array_equal(split.labels, arrays[1][split.index])
    np.testing.assert_array_equal(test.images, arrays[2])
    np.testing.assert_array_equal(test.labels, arrays[3])
    np.testing.assert_array_equal(test.index, range(12))
    assert (splits.validation.rows, splits.train.rows, splits.test.rows) == (20, 40, 12)


def test_each_class_has_its_share_of_validation_though_the_file_is_sorted(
    store: Store, converted: Convert
) -> None:
    images, labels, *test = random_data(train=240, classes=4)
    splits = converted((images, np.sort(labels), *test), validation=20)
    validation = read_split(store.path(splits.validation.file))
    assert np.bincount(validation.labels).tolist() == [5, 5, 5, 5]


def test_mnists_first_images_are_for_validation() -> None:
    labels = np.repeat(np.arange(10), 6_000).astype(np.uint8)
    images = np.arange(60_000, dtype=np.uint32).view(np.uint8).reshape(60_000, 2, 2)
    rows = validation_rows(images, labels, None, first=True)
    assert rows.tolist() == list(range(5_000))
    for wanted in (None, 5_000):
        rows = validation_rows(images, labels, wanted, first=False)
        assert rows.tolist() != list(range(5_000))
        assert len(rows) == pytest.approx(5_000, abs=0 if wanted else 200)


def test_mnist_is_known_by_the_digests_of_its_training_files() -> None:
    def files(*digests: str) -> IdxFiles:
        refs = [FileRef(path="f", sha256=digest, size=1) for digest in digests]
        names = ("train_images", "train_labels", "test_images", "test_labels")
        return IdxFiles.model_validate(dict(zip(names, refs, strict=True)))

    known = [file.sha256 for file in MNIST]
    assert has_mnist_digests(files(*known))
    assert not has_mnist_digests(files(known[0], "0" * 64, *known[2:]))


def test_split_of_as_many_images_as_mnist_has(store: Store, converted: Convert) -> None:
    splits = converted(random_data(train=60_000, test=10_000, size=(1, 1)), validation=5_000)
    rows = [split.rows for split in (splits.train, splits.validation, splits.test)]
    assert rows == [55_000, 5_000, 10_000]
    for split in (splits.train, splits.validation, splits.test):
        metadata = pq.read_metadata(store.path(split.file))
        assert metadata.num_rows == split.rows
        assert metadata.num_row_groups == 1


@pytest.mark.parametrize(
    ("images", "wanted", "size"),
    [
        (60_000, None, 5_000),
        (59_999, None, 4_999),
        (600_000, None, 5_000),
        (1_500, None, 125),
        (24, None, 2),
        (5, None, 1),
        (2, None, 1),
        (60_000, 10_000, 10_000),
        (60_000, 1, 1),
        (10, 9, 9),
    ],
)
def test_number_of_validation_images(images: int, wanted: int | None, size: int) -> None:
    assert validation_size(images, wanted) == size


@pytest.mark.parametrize("wanted", [60, 61, 5_000])
def test_validation_split_must_leave_training_images(converted: Convert, wanted: int) -> None:
    message = error_message(converted, random_data(train=60), validation=wanted)
    assert f"--validation {wanted}" in message
    assert "60 training images" in message


@pytest.mark.parametrize(
    ("given", "source", "expected"),
    [
        ((), (), ("0", "1", "2")),
        ((), ("cat", "dog", "eel"), ("cat", "dog", "eel")),
        ((), ("cat", "dog", "eel", "without images"), ("cat", "dog", "eel")),
        ((), ("cat",), ("cat", "1", "2")),
        (("a", "b", "c"), ("cat", "dog", "eel"), ("a", "b", "c")),
    ],
)
def test_names_of_the_classes(
    given: tuple[str, ...], source: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert name_classes(given, source, 3) == expected


def test_other_numbers_of_names_than_classes_are_refused() -> None:
    with pytest.raises(PipelineError, match=r"^--class-names: 2 names, but labels from 0 to 2"):
        name_classes(("a", "b"), (), 3)


def test_names_pass_through_the_stage(store: Store, files_of: Callable[[Arrays], IdxFiles]) -> None:
    arrays = random_data(train=60, test=12)
    files = files_of(arrays).model_copy(update={"class_names": ("zero", "one")})
    with store.workspace("convert", "0" * 64) as work:
        splits = convert.function(work, files, ConvertSettings())
    assert splits.class_names[:3] == ("zero", "one", "2")
    assert len(splits.class_names) == splits.shape.classes


def test_single_training_image_is_refused() -> None:
    with pytest.raises(PipelineError):
        validation_size(1, None)


def test_columns_and_types(store: Store, converted: Convert) -> None:
    splits = converted(random_data(size=(5, 3)))
    for split in (splits.train, splits.validation, splits.test):
        schema = pq.read_schema(store.path(split.file))
        assert [(field.name, field.type) for field in schema] == [
            ("index", pa.int32()),
            ("label", pa.uint8()),
            ("image", pa.binary(5 * 3)),
        ]
        assert schema.field("image").metadata == {b"shape": b"5,3"}


def test_every_column_is_compressed_with_zstd(store: Store, converted: Convert) -> None:
    group = pq.read_metadata(store.path(converted(random_data()).train.file)).row_group(0)
    assert {group.column(i).compression for i in range(group.num_columns)} == {"ZSTD"}


def test_record_holds_the_shape(converted: Convert) -> None:
    shape = converted(random_data(size=(5, 3), classes=4)).shape
    assert (shape.height, shape.width, shape.classes) == (5, 3, 4)


@pytest.mark.parametrize("classes", [2, 62])
def test_number_of_classes_follows_the_labels(
    store: Store, converted: Convert, classes: int
) -> None:
    arrays = random_data(train=150, test=70, classes=classes)
    splits = converted(arrays)
    assert splits.shape.classes == classes
    np.testing.assert_array_equal(read_split(store.path(splits.test.file)).labels, arrays[3])


def test_images_may_be_rectangular(store: Store, converted: Convert) -> None:
    arrays = random_data(size=(9, 2))
    test = read_split(store.path(converted(arrays).test.file))
    np.testing.assert_array_equal(test.images, arrays[2])


SCRIPT = """
import json, sys
from pathlib import Path
from tasks.data.convert import convert
from tasks.records import IdxFiles
from tasks.settings import ConvertSettings
from tasks.engine.store import Store

with Store(Path(sys.argv[1])).workspace("convert", "2" * 64) as work:
    files = IdxFiles.model_validate_json(sys.argv[2])
    splits = convert.function(work, files, ConvertSettings())
print(splits.model_dump_json())
"""


def test_files_are_reproducible(
    store: Store, converted: Convert, files_of: Callable[[Arrays], IdxFiles]
) -> None:
    arrays = random_data(size=(28, 28))
    here = [converted(arrays, key=str(n) * 64) for n in range(2)]
    command = [sys.executable, "-c", SCRIPT, str(store.root), files_of(arrays).model_dump_json()]
    other = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    runs = [*here, Splits.model_validate(json.loads(other))]
    assert len({run.train.file.path for run in runs}) == 3
    for split in ("train", "validation", "test"):
        assert len({getattr(run, split).file.sha256 for run in runs}) == 1
    assert all(store.problem(run.train.file) is None for run in runs)


@pytest.fixture
def parquet_file(store: Store, converted: Convert) -> Path:
    """Return the Parquet file of the test split of `random_data(size=(5, 3))`."""
    return store.path(converted(random_data(size=(5, 3))).test.file)


def test_pyarrow_reads_the_file(parquet_file: Path) -> None:
    _, _, images, labels = random_data(size=(5, 3))
    table = pq.read_table(parquet_file)
    assert table["image"].to_pylist() == [image.tobytes() for image in images]
    assert table["label"].to_pylist() == labels.tolist()


def test_pandas_reads_the_file(parquet_file: Path) -> None:
    _, _, images, labels = random_data(size=(5, 3))
    frame = pd.read_parquet(parquet_file)
    assert list(frame) == ["index", "label", "image"]
    assert frame["label"].tolist() == labels.tolist()
    assert frame["image"].tolist() == [image.tobytes() for image in images]


def test_polars_reads_the_file(parquet_file: Path) -> None:
    polars = pytest.importorskip("polars")
    _, _, images, labels = random_data(size=(5, 3))
    frame = polars.read_parquet(parquet_file)
    assert frame["label"].to_list() == labels.tolist()
    assert frame["image"].to_list() == [image.tobytes() for image in images]


def test_duckdb_reads_the_file(parquet_file: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    _, _, images, labels = random_data(size=(5, 3))
    rows = duckdb.sql(f"select label, image from '{parquet_file}' order by index").fetchall()
    assert [label for label, _ in rows] == labels.tolist()
    assert [image for _, image in rows] == [image.tobytes() for image in images]


def test_test_label_without_training_images_is_refused(converted: Convert) -> None:
    arrays = random_data(classes=4)
    arrays[3][[5, 8]] = (7, 9)
    message = error_message(converted, arrays)
    assert "test-labels" in message
    assert "label 7 in row 5" in message
    assert "not below 4" in message


def test_single_class_is_refused(converted: Convert) -> None:
    message = error_message(converted, random_data(classes=1))
    assert "train-labels" in message
    assert "two classes" in message


def test_train_and_test_images_of_different_sizes_are_refused(converted: Convert) -> None:
    small, large = random_data(size=(4, 4)), random_data(size=(4, 5))
    message = error_message(converted, (*small[:2], *large[2:]))
    assert "test-images" in message
    assert "(4, 5)" in message
    assert "train-images (4, 4)" in message


def test_different_numbers_of_images_and_labels_are_refused(
    store: Store, converted: Convert
) -> None:
    images, labels, *test = random_data()
    message = error_message(converted, (images, labels[:-1], *test))
    assert str(store.root / "train-labels") in message
    assert "59 labels for the 60 images" in message
