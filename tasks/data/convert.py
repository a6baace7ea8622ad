"""Stage: IDX files → train, validation and test split as Parquet."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data import idx
from tasks.data.dataset import numbered_classes
from tasks.data.sources.mnist import MNIST
from tasks.data.split import draw_by_content, stratified_draw
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.records import IdxFiles, Shape, Split, Splits
from tasks.runtime.errors import PipelineError
from tasks.settings import ConvertSettings

VALIDATION_IMAGES = 5_000  # the tutorial's: 5,000 of 60,000 training images, …
VALIDATION_PART = 12  # … which is a twelfth
SPLIT_SEED = 0  # of the draw; not `--seed`, so that models of several seeds can be compared
ROWS_PER_GROUP = 65_536  # one group for each of MNIST's splits: read without a second copy


def validation_size(training_images: int, wanted: int | None) -> int:
    """Return the number of training images that are set aside for validation.

    Args:
        training_images: number of images in the training file.
        wanted: number that the settings ask for; None takes a twelfth, at most 5,000.

    Raises:
        PipelineError: none would be left to train on.
    """
    if training_images < 2:
        raise PipelineError(
            "train-images: one image; at least two are needed, one of them for validation"
        )
    if wanted is None:
        return max(1, min(VALIDATION_IMAGES, training_images // VALIDATION_PART))
    if wanted >= training_images:
        raise PipelineError(
            f"--validation {wanted}: the data set has only {training_images} training images;"
            " leave some to train on"
        )
    return wanted


def count_classes(train_labels: np.ndarray, test_labels: np.ndarray) -> int:
    """Return the number of classes: the largest training label plus 1.

    Args:
        train_labels: uint8 [n].
        test_labels: uint8 [m].

    Raises:
        PipelineError: there is only one class, or a test label is not below the number of classes.
    """
    classes = int(train_labels.max()) + 1
    if (train_labels == train_labels[0]).all():
        raise PipelineError(
            f"train-labels: every label is {train_labels[0]}; at least two classes are needed"
        )
    if (beyond := test_labels >= classes).any():
        row = int(beyond.argmax())
        raise PipelineError(
            f"test-labels: label {test_labels[row]} in row {row} is not below {classes},"
            " the number of classes in the training labels"
        )
    return classes


def has_mnist_digests(files: IdxFiles) -> bool:
    """Return whether the training files are MNIST's, by their digests."""
    images, labels = MNIST[:2]
    return (files.train_images.sha256, files.train_labels.sha256) == (images.sha256, labels.sha256)


def validation_rows(
    images: np.ndarray, labels: np.ndarray, wanted: int | None, *, first: bool
) -> np.ndarray:
    """Return the rows of the training file that are set aside for validation.

    Args:
        images: uint8 [n, height, width], in the order of the file.
        labels: uint8 [n].
        wanted: number that the settings ask for; None takes about the default number, and an image
            stays in its split if the data grow.
        first: whether to take the first rows, as for MNIST. Otherwise rows are drawn so that each
            class has its share: a file may be sorted.

    Returns:
        int64, ascending.
    """
    count = validation_size(len(labels), wanted)
    if first:
        return np.arange(count)
    if wanted is None:
        return draw_by_content(images, labels, count / len(labels))
    return stratified_draw(labels, count, SPLIT_SEED)


def name_classes(given: tuple[str, ...], source: tuple[str, ...], classes: int) -> tuple[str, ...]:
    """Return the names of the classes, in the order of their labels.

    Args:
        given: `--class-names`; empty: not given.
        source: names that the source has; may be more or fewer than there are classes.
        classes: number of classes.

    Raises:
        PipelineError: another number of names was given.
    """
    if given and len(given) != classes:
        raise PipelineError(
            f"--class-names: {len(given)} names, but labels from 0 to {classes - 1} need {classes}"
        )
    names = given or source[:classes]
    return names + numbered_classes(classes)[len(names) :]


def to_table(images: np.ndarray, labels: np.ndarray, first: int) -> pa.Table:
    """Return images that follow each other in a file as an Arrow table; see `rows_to_table`.

    Args:
        images: uint8 [n, height, width].
        labels: uint8 [n].
        first: row of the first image in its original file.
    """
    return rows_to_table(images, labels, np.arange(first, first + len(images)))


def rows_to_table(images: np.ndarray, labels: np.ndarray, index: np.ndarray) -> pa.Table:
    """Return images and labels as an Arrow table.

    Args:
        images: uint8 [n, height, width].
        labels: uint8 [n].
        index: int [n], rows in the original file.

    Returns:
        Columns `index` int32, `label` uint8, and `image`, the height × width bytes of the pixels
        row by row; the field's metadata hold the `shape`.
    """
    n, height, width = images.shape
    kind = pa.binary(height * width)
    buffer = pa.py_buffer(np.ascontiguousarray(images))
    pixels = pa.FixedSizeBinaryArray.from_buffers(kind, n, [None, buffer])
    schema = pa.schema(
        [
            pa.field("index", pa.int32()),
            pa.field("label", pa.uint8()),
            pa.field("image", kind, metadata={"shape": f"{height},{width}"}),
        ]
    )
    return pa.table([pa.array(index.astype(np.int32)), pa.array(labels), pixels], schema)


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table, the same bytes every time.

    Parquet has no 8-bit integers: a list of them is stored with 32 bits each and takes ten times
    as long to write and to read as one binary value per image.
    """
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=1,
        use_dictionary=["label"],
        write_statistics=["index", "label"],
        row_group_size=ROWS_PER_GROUP,
    )


@stage()
def convert(work: Workspace, files: IdxFiles, settings: ConvertSettings) -> Splits:
    """Split the data set and write each part as Parquet.

    Raises:
        PipelineError: a file is damaged or does not fit the others; the message names it.
    """
    train_images, train_labels = idx.read_pair(
        work.input(files.train_images), work.input(files.train_labels)
    )
    test_images, test_labels = idx.read_pair(
        work.input(files.test_images), work.input(files.test_labels)
    )
    if train_images.shape[1:] != test_images.shape[1:]:
        raise PipelineError(
            f"{files.test_images.name}: images are {test_images.shape[1:]} pixels,"
            f" those of {files.train_images.name} {train_images.shape[1:]}"
        )
    classes = count_classes(train_labels, test_labels)
    class_names = name_classes(settings.class_names, files.class_names, classes)
    validation = validation_rows(
        train_images, train_labels, settings.validation, first=has_mnist_digests(files)
    )
    train = np.delete(np.arange(len(train_images)), validation)

    def write(name: str, images: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> Split:
        """Write the split with these rows of the images and labels."""
        table = rows_to_table(images[rows], labels[rows], rows)
        write_parquet(table, work.output(f"{name}.parquet"))
        return Split(rows=len(rows), file=work.finished(f"{name}.parquet"))

    return Splits(
        validation=write("validation", train_images, train_labels, validation),
        train=write("train", train_images, train_labels, train),
        test=write("test", test_images, test_labels, np.arange(len(test_images))),
        shape=Shape(height=train_images.shape[1], width=train_images.shape[2], classes=classes),
        class_names=class_names,
    )
