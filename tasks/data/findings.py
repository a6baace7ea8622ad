"""Findings about data as sentences, from facts about the splits and the table of findings."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tasks.data.ground import LIGHT
from tasks.records import Finding, Shape, SplitFacts
from tasks.words import joined, plural

if TYPE_CHECKING:
    import pandas as pd

MOST_NAMES = 8
"""Maximum number of classes that a sentence names."""
UNBALANCED = 10
"""The largest class has so many times the training images of the smallest."""
FEW = 10
"""Training images of a class below which a network hardly learns it."""
MANY_COPIES = 0.01
"""Share of a data set above which copies within a split are more than chance."""
SMALL = 8
"""Height or width in pixels below which hardly anything can be told apart."""
MIXED = 0.01
"""Share of images with another ground above which the ground counts as mixed."""
NAMES = {"train": "training", "validation": "validation", "test": "test"}
"""Split → its name before a noun."""
TOO_ALIKE = Finding(
    severity="note",
    text="near duplicates were not looked for: so many images resemble each other that the search"
    " would take too long",
)


def warning(text: str) -> Finding:
    """Return a finding that a user should do something about."""
    return Finding(severity="warning", text=text)


def note(text: str) -> Finding:
    """Return a finding that may be as it should be."""
    return Finding(severity="note", text=text)


def list_names(names: Sequence[str]) -> str:
    """Return names as a list in a sentence, at most `MOST_NAMES` of them."""
    if len(names) > MOST_NAMES:
        names = [*names[:MOST_NAMES], f"{len(names) - MOST_NAMES:,} more"]
    return joined(names)


def classes_named(classes: Sequence[int], names: Sequence[str]) -> str:
    """Return classes by name: class 3, classes 3 and 5."""
    return f"class{'es' if len(classes) > 1 else ''} {list_names([names[c] for c in classes])}"


def by_split(counts: "pd.Series[int]") -> str:
    """Return numbers of images in splits: 3 training images and 1 test image.

    Args:
        counts: number of images by name of the split.
    """
    parts = [
        plural(int(counts[name]), f"{noun} image") for name, noun in NAMES.items() if name in counts
    ]
    return list_names(parts)


def class_findings(
    facts: Sequence[SplitFacts], names: Sequence[str], train_labels: np.ndarray
) -> Iterator[Finding]:
    """Yield findings about the classes.

    Args:
        facts: of train, validation and test split.
        names: of the classes.
        train_labels: uint8 [n], in the order of the original file.
    """
    train, validation, test = (np.array(split.classes) for split in facts)
    everywhere = train + validation + test
    used = np.flatnonzero(everywhere)
    if empty := np.flatnonzero(everywhere == 0).tolist():
        yield warning(
            f"the labels run from {used[0]} to {used[-1]}, but {classes_named(empty, names)}"
            f" {'has' if len(empty) == 1 else 'have'} no images; number the classes 0, 1, 2, …"
            " without gaps"
        )
    if unknown := np.flatnonzero((train + validation == 0) & (test > 0)).tolist():
        yield warning(
            f"{classes_named(unknown, names)} {is_or_are(len(unknown))} only in the test split, so"
            f" the network cannot learn {'it' if len(unknown) == 1 else 'them'}"
        )
    for split, counts in (("validation", validation), ("test", test)):
        if absent := np.flatnonzero((train > 0) & (counts == 0)).tolist():
            yield warning(
                f"the {split} split has no image of {classes_named(absent, names)}, so it says"
                f" nothing about {'it' if len(absent) == 1 else 'them'}"
            )
    if is_sorted(train_labels):
        yield note("the training file is sorted by class")
    yield from sizes_of_classes(train, names)


def is_or_are(count: int) -> str:
    """Return the verb for a number of things."""
    return "is" if count == 1 else "are"


def is_sorted(labels: np.ndarray) -> bool:
    """Return whether labels ascend or descend from the first row to the last.

    Args:
        labels: uint8 [n].
    """
    steps = np.diff(labels.astype(np.int16))
    return bool(steps.any() and ((steps >= 0).all() or (steps <= 0).all()))


def sizes_of_classes(train: np.ndarray, names: Sequence[str]) -> Iterator[Finding]:
    """Yield findings about the number of training images of the classes.

    Args:
        train: int [classes], images of each class.
        names: of the classes.
    """
    there = np.flatnonzero(train)
    if few := there[train[there] < FEW].tolist():
        yield note(
            f"fewer than {FEW} training images show {classes_named(few, names)}: hardly enough to"
            " learn from"
        )
    if len(there) and train.max() >= UNBALANCED * train[there].min():
        least, most = int(there[train[there].argmin()]), int(train.argmax())
        yield note(
            f"the classes differ in size: {plural(int(train[most]), 'training image')} of"
            f" {names[most]}, {train[least]:,} of {names[least]}"
        )


def image_findings(facts: Sequence[SplitFacts], shape: Shape) -> Iterator[Finding]:
    """Yield findings about the size of the images, their grey values and their ground.

    Args:
        facts: of train, validation and test split.
        shape: of the images.
    """
    size = f"{shape.width} × {shape.height} pixels"
    if min(shape.height, shape.width) < SMALL:
        yield note(f"the images are very small, {size}")
    elif shape.height != shape.width:
        yield note(f"the images are not square: {size}")
    dark = [NAMES[split.name] for split in facts if split.lightest < LIGHT]
    if dark:
        brightest = max(split.lightest for split in facts if split.lightest < LIGHT)
        yield warning(
            f"no pixel of the {list_names(dark)} images is lighter than {brightest} of 255: scale"
            " the grey values to 0 … 255"
        )
    if all(split.grey_levels == 2 for split in facts):
        yield note("the images have only two grey values: pictures with others look unlike them")
    yield from ground_findings(facts)


def ground_findings(facts: Sequence[SplitFacts]) -> Iterator[Finding]:
    """Yield a finding if the ground of the images is light, or differs between images."""
    images = sum(split.images for split in facts)
    light = sum(split.light_ground for split in facts)
    if light >= (1 - MIXED) * images:
        yield note("the ground is light and the ink dark, the reverse of MNIST's images")
    elif light > MIXED * images:
        yield note(f"{plural(light, 'image')} of {images:,} have a light ground, the others dark")


def row_findings(table: "pd.DataFrame", images: int) -> Iterator[Finding]:
    """Yield findings about duplicates, contradictions, blank and inverted images.

    Args:
        table: see `audit.find_rows`.
        images: number of images in all splits.
    """
    for kind, like in (("duplicates", "equal to"), ("near-duplicates", "almost equal to")):
        rows = table[table["kind"] == kind]
        leaks = rows[rows["split"] != rows["other_split"]]
        for split, copies in leaks.groupby("other_split"):
            where = by_split(copies["split"].value_counts())
            yield warning(
                f"{where} {is_or_are(len(copies))} {like} images of the {split} split, so"
                f" accuracy measured on it may be too high; --drop {kind} leaves them out"
            )
        yield from copies_within(rows.drop(leaks.index), kind, like, images)
    yield from singles(table)


def copies_within(rows: "pd.DataFrame", kind: str, like: str, images: int) -> Iterator[Finding]:
    """Yield a finding about copies of images of the same split.

    Args:
        rows: of the table.
        kind: of the rows.
        like: relation to the other image.
        images: number of images in all splits.
    """
    if len(rows):
        many = kind == "duplicates" and len(rows) > MANY_COPIES * images
        yield (warning if many else note)(
            f"{by_split(rows['split'].value_counts())} {is_or_are(len(rows))} {like} another"
            f" one of the same split; --drop {kind} leaves them out of training and validation"
        )


def singles(table: "pd.DataFrame") -> Iterator[Finding]:
    """Yield findings about contradictions, blank and inverted images."""
    for kind, text in {
        "contradictions": "equal to one with another label",
        "blank": "blank",
        "inverted": "negatives of the others of their class",
    }.items():
        rows = table[table["kind"] == kind]
        if len(rows):
            yield warning(
                f"{by_split(rows['split'].value_counts())} {is_or_are(len(rows))} {text};"
                f" --drop {kind} leaves them out of training and validation"
            )
