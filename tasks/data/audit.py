"""Stage: splits → findings about the data, before anything is trained."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data import duplicates, findings
from tasks.data.dataset import SplitArrays, read_split
from tasks.data.ground import has_light_ground
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.records import Audit, SplitFacts, Splits
from tasks.runtime.console import log

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("test", "validation", "train")
"""In this order the first of equal images is the one that counts: a copy of a test image is to
leave the training images, not the reverse."""
BLANK = 8
"""An image is blank if its lightest and darkest pixel differ by less: 3 % of the scale, more than
JPEG adds to a blank page."""
CHUNK = 1_024
"""Images whose grey values are looked at at a time."""
SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string()),
        pa.field("split", pa.string()),
        pa.field("index", pa.int32()),
        pa.field("label", pa.uint8()),
        pa.field("other_split", pa.string()),
        pa.field("other_index", pa.int32()),
        pa.field("other_label", pa.uint8()),
        pa.field("correlation", pa.float32()),
    ]
)
"""Columns of the table of findings; see `Audit.file`."""


@dataclass(frozen=True)
class Images:
    """The images of all splits, in the order of `SPLITS`."""

    pixels: np.ndarray
    """uint8 [n, height, width]."""
    labels: np.ndarray
    """uint8 [n]."""
    index: np.ndarray
    """int32 [n]: row in the original file."""
    split: np.ndarray
    """uint8 [n]: position in `SPLITS`."""


def join_splits(splits: dict[str, SplitArrays]) -> Images:
    """Return the images of all splits, one after the other."""
    parts = [splits[name] for name in SPLITS]
    return Images(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.index for part in parts]),
        np.repeat(np.arange(len(parts), dtype=np.uint8), [len(part.labels) for part in parts]),
    )


def grey_values(images: np.ndarray) -> np.ndarray:
    """Return the grey values that occur, in ascending order.

    Args:
        images: uint8 [n, height, width].
    """
    seen = np.zeros(256, bool)
    for start in range(0, len(images), CHUNK):
        seen |= np.bincount(images[start : start + CHUNK].ravel(), minlength=256) > 0
        if seen.all():
            break
    return np.flatnonzero(seen)


def split_facts(name: str, data: SplitArrays, light: np.ndarray, classes: int) -> SplitFacts:
    """Return the facts about a split.

    Args:
        name: of the split.
        data: its images and labels.
        light: bool [n], which images have a light ground.
        classes: number of classes.
    """
    values = grey_values(data.images)
    return SplitFacts(
        name=name,
        classes=tuple(np.bincount(data.labels, minlength=classes).tolist()),
        grey_levels=len(values),
        darkest=int(values[0]),
        lightest=int(values[-1]),
        light_ground=int(light.sum()),
    )


def is_blank(images: np.ndarray) -> np.ndarray:
    """Return which images show nothing, bool [n].

    Args:
        images: uint8 [n, height, width].
    """
    flat = images.reshape(len(images), -1)
    blank: np.ndarray = flat.max(axis=1) - flat.min(axis=1) < BLANK
    return blank


def is_inverted(images: np.ndarray, labels: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Return which images look like negatives of the others of their class.

    Their ground is light where most images have a dark one, or the reverse; and their pixels
    correlate negatively with the mean image of the class.

    Args:
        images: uint8 [n, height, width].
        labels: uint8 [n].
        light: bool [n], which images have a light ground.

    Returns:
        bool [n].
    """
    other = light != (light.mean() > 0.5)
    inverted = np.zeros(len(images), bool)
    for label in np.unique(labels[other]):
        usual = images[(labels == label) & ~other]
        if not len(usual):
            continue
        rows = np.flatnonzero((labels == label) & other)
        mean = usual.mean(axis=0)
        deviations = images[rows].reshape(len(rows), -1) @ (mean - mean.mean()).ravel()
        inverted[rows] = deviations < 0
    return inverted


def rows_of(kind: str, data: Images, rows: np.ndarray) -> "pd.DataFrame":
    """Return findings about single images, with the columns `kind` to `label` of `SCHEMA`.

    Args:
        kind: of the findings.
        data: all images.
        rows: int [findings], rows of `data`.
    """
    import pandas as pd

    return pd.DataFrame(
        {
            "kind": kind,
            "split": np.array(SPLITS, object)[data.split[rows]],
            "index": data.index[rows],
            "label": data.labels[rows],
        }
    )


def pairs_of(
    kind: str, data: Images, rows: np.ndarray, others: np.ndarray, correlation: np.ndarray
) -> "pd.DataFrame":
    """Return findings about images that repeat others, with all columns of `SCHEMA`.

    Args:
        kind: of the findings.
        data: all images.
        rows: int [findings], rows of `data`.
        others: int [findings], rows of the images that are repeated.
        correlation: float [findings], of their pixels.
    """
    other = rows_of(kind, data, others).drop(columns="kind").add_prefix("other_")
    return rows_of(kind, data, rows).join(other).assign(correlation=correlation)


def contradictions(labels: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the images that have an equal one with another label, and the first such image.

    Args:
        labels: uint8 [n].
        first: int64 [n], row of the first equal image; its own for an image that does not count.

    Returns:
        int64 [m] and int64 [m], rows.
    """
    copies = np.flatnonzero(first != np.arange(len(first)))
    unlike = copies[labels[copies] != labels[first[copies]]]
    # The first copy with another label speaks against all that have the label of the first image.
    groups, position = np.unique(first[unlike], return_index=True)
    against = np.full(len(first), -1)
    against[groups] = unlike[position]
    members = np.flatnonzero((against[first] >= 0) & (labels == labels[first]))
    rows = np.concatenate([unlike, members])
    others = np.concatenate([first[unlike], against[first[members]]])
    return rows, others


def find_rows(data: Images, light: np.ndarray) -> tuple["pd.DataFrame", bool]:
    """Return the table of findings, and whether near duplicates were looked for.

    Args:
        data: all images.
        light: bool [n], which images have a light ground.

    Returns:
        Columns of `SCHEMA`, in the order of the kinds, the splits and the original rows; and False
        if too many images resemble each other.
    """
    import pandas as pd

    blank = is_blank(data.pixels)
    first = duplicates.first_equal(data.pixels)
    copies = np.flatnonzero((first != np.arange(len(first))) & ~blank)
    inverted = is_inverted(data.pixels, data.labels, light) & ~blank
    against = contradictions(data.labels, np.where(blank, np.arange(len(first)), first))
    distinct = np.flatnonzero((first == np.arange(len(first))) & ~blank)
    pairs = duplicates.near_pairs(data.pixels[distinct])
    table = [
        pairs_of("duplicates", data, copies, first[copies], np.ones(len(copies))),
        near_rows(data, distinct, pairs),
        pairs_of("contradictions", data, *against, np.ones(len(against[0]))),
        rows_of("blank", data, np.flatnonzero(blank)),
        rows_of("inverted", data, np.flatnonzero(inverted)),
    ]
    filled = [part for part in table if len(part)] or table[:1]
    found = pd.concat(filled, ignore_index=True).reindex(columns=SCHEMA.names)
    return found, pairs is not None


def near_rows(data: Images, distinct: np.ndarray, pairs: np.ndarray | None) -> "pd.DataFrame":
    """Return the findings about near duplicates.

    Args:
        data: all images.
        distinct: int64 [m], rows of `data`: images that differ.
        pairs: int64 [pairs, 2], rows of `distinct`; None if they were not looked for.
    """
    pairs = np.empty((0, 2), np.int64) if pairs is None else pairs
    first = duplicates.first_of_groups(len(distinct), pairs)
    copies = np.flatnonzero(first != np.arange(len(first)))
    rows, others = distinct[copies], distinct[first[copies]]
    correlation = duplicates.correlations(data.pixels, np.stack([rows, others], axis=1))
    return pairs_of("near-duplicates", data, rows, others, correlation)


@stage()
def audit(work: Workspace, splits: Splits) -> Audit:
    """Look at the data: classes, duplicates, blank and inverted images, ground and grey values."""
    arrays = {name: read_split(work.input(getattr(splits, name).file)) for name in SPLITS}
    data = join_splits(arrays)
    light = has_light_ground(data.pixels)
    classes = splits.shape.classes
    facts = tuple(
        split_facts(name, arrays[name], light[data.split == SPLITS.index(name)], classes)
        for name in reversed(SPLITS)
    )
    table, complete = find_rows(data, light)
    arrow = pa.Table.from_pandas(table, SCHEMA, preserve_index=False)
    # Without metadata: they would hold the version of pandas.
    pq.write_table(
        arrow.replace_schema_metadata(), work.output("data-findings.parquet"), compression="zstd"
    )
    found = (
        *findings.class_findings(facts, splits.class_names, arrays["train"].labels),
        *findings.image_findings(facts, splits.shape),
        *findings.row_findings(table, len(data.labels)),
        *([] if complete else [findings.TOO_ALIKE]),
    )
    for finding in found:
        if finding.severity == "warning":
            log.warning(f"data: {finding.text}")
    return Audit(
        splits=facts,
        findings=tuple(sorted(found, key=lambda finding: finding.severity == "note")),
        file=work.finished("data-findings.parquet"),
    )
