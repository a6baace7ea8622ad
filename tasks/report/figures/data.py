"""Figures of the data: duplicates, blank and inverted images, and doubtful labels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.data.dataset import SplitArrays
from tasks.report.figures.canvas import image_grid
from tasks.report.figures.report_figure import ReportFigure
from tasks.words import percent

EXAMPLES = 9
"""Maximum number of examples in a figure."""
SEAM = 2
"""Width in pixels of the grey line between two images."""
GREY = 128
Row = dict[str, Any]
"""A row of a table by column."""


@dataclass(frozen=True)
class DataExamples:
    """Images of all splits, and tables of those that something is found about."""

    names: list[str]
    """Class names."""
    splits: Mapping[str, SplitArrays]
    findings: pa.Table
    """See `Audit.file`."""
    label_issues: pa.Table
    """See `LabelIssues.file`."""

    def image(self, split: str, index: int) -> NDArray[np.uint8]:
        """Return an image, uint8 [height, width].

        Args:
            split: name of its split.
            index: its row in the original file.
        """
        data = self.splits[split]
        found: NDArray[np.uint8] = data.images[np.searchsorted(data.index, index)]
        return found

    def pair(self, row: Row) -> NDArray[np.uint8]:
        """Return an image and the one that it repeats, side by side."""
        image = self.image(row["split"], row["index"])
        other = self.image(row["other_split"], row["other_index"])
        return np.hstack([image, np.full((len(image), SEAM), GREY, np.uint8), other])


def data_figures(data: DataExamples) -> Iterator[ReportFigure]:
    """Yield a figure for each kind of finding that there is, and one of doubtful labels."""
    for kind, (title, caption) in KINDS.items():
        rows = data.findings.filter(pc.equal(data.findings["kind"], kind))
        if rows.num_rows:
            yield finding_figure(data, kind, rows, title, caption)
    if data.label_issues.num_rows:
        yield label_issues_figure(data)


KINDS = {
    "duplicates": (
        "Duplicates",
        "In each pair, the left image equals the right one.",
    ),
    "near-duplicates": (
        "Near duplicates",
        "In each pair, the left image is almost equal to the right one: their pixels correlate by"
        " 0.997 or more, or those of images between them do.",
    ),
    "contradictions": (
        "Equal images with different labels",
        "At most one label of each pair can be right.",
    ),
    "blank": ("Blank images", "All pixels of each image have nearly the same grey value."),
    "inverted": (
        "Negatives",
        "Images with another ground than most, dark where others of their class are light.",
    ),
}
"""Kind of finding → title and caption of its figure."""


def finding_figure(
    data: DataExamples, kind: str, rows: pa.Table, title: str, caption: str
) -> ReportFigure:
    """Draw the first images of a kind of finding, each with its split, row and class."""
    shown = rows.slice(0, EXAMPLES).to_pylist()
    paired = shown[0]["other_index"] is not None
    images = [data.pair(r) if paired else data.image(r["split"], r["index"]) for r in shown]
    titles = [described(data.names, row) for row in shown]
    return ReportFigure(
        figure=image_grid(np.stack(images), titles),
        name=f"data-{kind}",
        title=title,
        caption=f"{how_many(rows.num_rows)} {caption} Under each image: its split, its row in the"
        " file, and its label.",
        alt="; ".join(text.replace("\n", ", as ") for text in titles) + ".",
    )


def how_many(count: int) -> str:
    """Return the beginning of a caption: how many of all rows are shown."""
    if count > EXAMPLES:
        return f"The first {EXAMPLES} of {count:,}."
    return f"All {count}." if count > 1 else "The only one."


def described(names: list[str], row: Row) -> str:
    """Return split, row and class of an image, and of the one that it repeats."""
    text = f"{row['split']} {row['index']:,}: {names[row['label']]}"
    if row["other_index"] is None:
        return text
    other = names[row["other_label"]]
    return f"{text}\n{row['other_split']} {row['other_index']:,}: {other}"


def label_issues_figure(data: DataExamples) -> ReportFigure:
    """Return the images whose labels the network contradicts most, at least one."""
    count = data.label_issues.num_rows
    rows = data.label_issues.slice(0, EXAMPLES).to_pylist()
    titles = [
        f"Label: {data.names[row['label']]}\nNetwork: {data.names[row['suggested']]},"
        f" {percent(row['suggested_probability'], 0)}\n{row['split']} {row['index']:,}"
        for row in rows
    ]
    return ReportFigure(
        figure=image_grid(np.stack([data.image(r["split"], r["index"]) for r in rows]), titles),
        name="label-issues",
        title="Doubtful labels",
        caption=f"{how_many(count)} Labels that the trained network contradicts with confidence,"
        " the most contradicted first. Some labels are wrong, some answers of the network are."
        " Under each image: its label, the network's answer with its probability, and the image's"
        " split and row.",
        alt="; ".join(
            f"{row['split']} {row['index']:,} labelled {data.names[row['label']]}, network says"
            f" {data.names[row['suggested']]}"
            for row in rows
        )
        + ".",
    )
