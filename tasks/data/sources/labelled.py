"""Labelled images in memory: roles of files, names of classes, a test split where there is none.

Pure functions of names and arrays, shared by the forms of data sets.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from tasks.data.split import stratified_draw
from tasks.runtime.errors import PipelineError
from tasks.words import joined

Role = Literal["train", "validation", "test"]

ROLE_WORDS: dict[str, Role] = {
    **dict.fromkeys(("train", "training", "trainset"), "train"),
    **dict.fromkeys(("test", "testing", "testset", "t10k"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
}
LABEL_NAMES = ("label", "labels", "class", "target", "y", "fine_label", "digit", "character")
"""Usual names of the column with the labels, most usual first."""
MOST_CLASSES = 256  # labels are unsigned bytes
TEST_PART = 7  # the test split is a seventh, as of MNIST's 70,000 images
SEED = 0  # of the draw of a test split, and of the order of pictures


@dataclass(frozen=True)
class LabelledImages:
    """Images with one label each."""

    images: np.ndarray
    """uint8 [n, height, width]."""
    labels: np.ndarray
    """uint8 [n]."""

    def take(self, rows: np.ndarray) -> "LabelledImages":
        """Return some of the images, in the given order."""
        return LabelledImages(self.images[rows], self.labels[rows])


@dataclass(frozen=True)
class DataSet:
    """A whole data set."""

    train: LabelledImages
    test: LabelledImages
    class_names: tuple[str, ...] = ()
    """In the order of the labels; empty if the source has no names."""
    notes: tuple[str, ...] = field(default=())
    """Facts that a reader may want to know, one phrase each."""


def role_of(name: str) -> Role | None:
    """Return the split that a file or folder belongs to by its name, the last part first.

    Args:
        name: path with forward slashes, such as `mnist/train-00000-of-00001.parquet`.
    """
    for part in reversed(name.split("/")):
        bare = re.sub(r"(?<=[a-z])\d{4}\b", "", part.lower())  # COCO's `train2017`
        for word in re.split(r"[^a-z0-9]+", bare):
            if word in ROLE_WORDS:
                return ROLE_WORDS[word]
    return None


def in_order(names: Iterable[str]) -> list[str]:
    """Return names of classes in order: by value if all are whole numbers, else by letters."""
    names = set(names)
    if all(re.fullmatch(r"\d+", name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def number_classes(names: Sequence[str], origin: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the classes of images as numbers, by the order of their names.

    Args:
        names: class of each image.
        origin: where they come from, for the error.

    Returns:
        Labels, uint8 [n], and the names in the order of the labels.

    Raises:
        PipelineError: there are more classes than labels.
    """
    ordered = in_order(names)
    if len(ordered) > MOST_CLASSES:
        raise PipelineError(
            f"{origin}: {len(ordered):,} classes, such as {ordered[0]} and {ordered[1]};"
            f" at most {MOST_CLASSES} are possible"
        )
    numbers = {name: number for number, name in enumerate(ordered)}
    return np.array([numbers[name] for name in names], np.uint8), tuple(ordered)


def combine(parts: dict[Role, LabelledImages], origin: str) -> tuple[DataSet, tuple[str, ...]]:
    """Make training and test images of the splits that a source has.

    The pipeline takes its validation split from the training images, so that validation images of
    the source become training images, or test images if it has none of these.

    Args:
        parts: at least one split.
        origin: of the images, for the error.

    Returns:
        The data set without names and notes, and notes on what was done.

    Raises:
        PipelineError: there are no training images, or the images have different sizes.
    """
    if "train" not in parts:
        raise PipelineError(f"{origin}: no training images, only {joined(parts)}")
    if len({part.images.shape[1:] for part in parts.values()}) > 1:
        sizes = ", ".join(f"{role} {size_text(part.images)}" for role, part in parts.items())
        raise PipelineError(
            f"{origin}: images of different sizes ({sizes}); --image-size N makes them equal"
        )
    train, validation, test = (parts.get(role) for role in ("train", "validation", "test"))
    assert train is not None
    if test is None and validation is not None:
        return DataSet(train, validation), ("its validation images are the test split",)
    notes: tuple[str, ...] = ()
    if validation is not None:
        images, labels = (
            np.concatenate([getattr(part, name) for part in (train, validation)])
            for name in ("images", "labels")
        )
        train = LabelledImages(images, labels)
        notes = ("its validation images are training images",)
    if test is not None:
        return DataSet(train, test), notes
    data = draw_test(train)
    drawn = f"{len(data.test.labels):,} of {len(train.labels):,} images drawn as test split"
    return data, (*notes, drawn)


def size_text(images: np.ndarray) -> str:
    """Return `28 × 28` for images [n, height, width]."""
    return f"{images.shape[1]} × {images.shape[2]}"


def draw_test(images: LabelledImages) -> DataSet:
    """Draw a seventh of the images of each class as test split, and leave the rest to train on."""
    count = max(1, len(images.labels) // TEST_PART)
    rows = stratified_draw(images.labels, count, SEED)
    rest = np.delete(np.arange(len(images.labels)), rows)
    return DataSet(images.take(rest), images.take(rows))


def whole_bytes(values: np.ndarray, name: str) -> np.ndarray:
    """Return pixels as uint8.

    Args:
        values: numbers of any type and shape.
        name: of the file, for the error.

    Raises:
        PipelineError: they are not whole numbers from 0 to 255.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "biuf":
        raise PipelineError(f"{name}: pixels are {values.dtype}, not numbers")
    low, high = values.min(initial=0), values.max(initial=0)
    if not (low >= 0 and high <= 255):  # not so for NaN either
        raise PipelineError(
            f"{name}: pixels from {low:g} to {high:g}; they should be whole numbers from 0 to 255"
        )
    pixels: np.ndarray = values.astype(np.uint8)
    if values.dtype.kind == "f" and (pixels != values).any():
        raise PipelineError(
            f"{name}: pixels are fractions up to {high:g}; they should be whole numbers"
            " from 0 to 255"
        )
    return pixels


def small_labels(values: np.ndarray, name: str) -> np.ndarray:
    """Return labels as uint8 [n].

    Args:
        values: whole numbers.
        name: of the file, for the error.

    Raises:
        PipelineError: a label is not a whole number from 0 to 255.
    """
    low, high = values.min(initial=0), values.max(initial=0)
    in_range = low >= 0 and high < MOST_CLASSES  # not so for NaN
    labels: np.ndarray = values.astype(np.uint8) if in_range else np.zeros_like(values)
    if not in_range or (labels != values).any():
        raise PipelineError(
            f"{name}: labels from {low:g} to {high:g}; they should be whole numbers from 0 to 255"
        )
    return labels


def square_shape(pixels: int, name: str) -> tuple[int, int]:
    """Return height and width of images of so many pixels, which must be square.

    Raises:
        PipelineError: they are not.
    """
    side = int(pixels**0.5 + 0.5)
    if side * side != pixels or pixels == 0:
        raise PipelineError(f"{name}: {pixels:,} pixels per image, which make no square")
    return side, side


def describe_found(names: Sequence[str]) -> str:
    """Say which files there are: `found a.png and 3 more in raw/, notes.txt`."""
    if not names:
        return "found no file"
    folders: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: (name.count("/"), name)):
        folder, _, last = name.rpartition("/")
        folders.setdefault(folder, []).append(last)
    phrases = []
    for folder, files in list(folders.items())[:3]:
        more = f" and {len(files) - 1:,} more" if len(files) > 1 else ""
        phrases.append(f"{files[0]}{more}" + (f" in {folder}/" if folder else ""))
    others = len(folders) - len(phrases)
    rest = f", and files in {others:,} more folders" if others > 0 else ""
    return f"found {', '.join(phrases)}{rest}"
