"""The run as Prefect artifacts, so that its UI alone tells the story.

Keys stay the same from run to run, so that the UI shows the history of each.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from tasks.records import Picture
from tasks.report.page import embedded
from tasks.report.results import Results
from tasks.report.statistics import wilson_interval
from tasks.report.summary import Summary
from tasks.report.words import change, duration, percent, share
from tasks.store import Store

MOST_MISTAKES = 200
"""Rows of the table of errors: a network that was not trained makes thousands."""
Rows = list[dict[str, Any]]


def publish(store: Store, summary: Summary, results: Results) -> None:
    """Create the artifacts of the flow run that this is called in."""
    pictures = [(picture, store.path(picture.file)) for picture in results.pictures.pictures]
    predictions = store.path(results.evaluations[-1].predictions)
    tables = {
        "milestones": (milestone_rows(summary), "Test accuracy after so many iterations"),
        "classes": (class_rows(summary), "Precision, recall and F1 of each class"),
        "confusion-matrix": (
            confusion_rows(summary),
            "Test images by true class (rows) and predicted class (columns)",
        ),
        "errors": (
            mistakes(predictions, summary.class_names),
            f"Misclassified test images, the most confident first, at most {MOST_MISTAKES}",
        ),
    }
    for name, (rows, description) in tables.items():
        create_table_artifact(key=f"mnist-{name}", table=rows, description=description)
    for picture, path in pictures:
        create_image_artifact(
            key=f"mnist-figure-{picture.name}",
            # The page that shows it is on another machine, perhaps: no `file://`.
            image_url=embedded(path.read_bytes())[0],
            description=f"**{picture.title}.** {picture.caption}\n\nFull size: `{path}`",
        )
    create_markdown_artifact(
        key="mnist-report",
        markdown=report_markdown(summary, main_pictures(pictures)),
        description=f"{percent(summary.test.accuracy)} on the test split",
    )


def main_pictures(pictures: Sequence[tuple[Picture, Path]]) -> list[tuple[Picture, Path]]:
    """Those that tell the story in short: learning, last errors, confusion."""
    last_errors = [name for p, _ in pictures if (name := p.name).startswith("errors-")][-1:]
    chosen = {"learning-curve", "confusion-matrix", *last_errors}
    return [(picture, path) for picture, path in pictures if picture.name in chosen]


def report_markdown(summary: Summary, pictures: Sequence[tuple[Picture, Path]]) -> str:
    """Headline, milestones, pictures and stages as Markdown."""
    test = summary.test
    low, high = wilson_interval(test.correct, test.total)
    parts = [
        f"# {percent(test.accuracy)} on the test split",
        f"{test.correct:,} of {test.total:,} images right, 95 % interval {percent(low)} to"
        f" {percent(high)}. {change(summary)}",
        f"Seed {summary.seed}, trained on {summary.device.name} in"
        f" {duration(summary.train_seconds)}; data from {summary.data_source}.",
        markdown_table(milestone_rows(summary)),
        *(
            f"## {picture.title}\n\n![{picture.alt}]({embedded(path.read_bytes())[0]})"
            f"\n\n{picture.caption}"
            for picture, path in pictures
        ),
        "## Class by class",
        markdown_table(class_rows(summary)),
        "## What this run did",
        markdown_table(stage_rows(summary)),
    ]
    return "\n\n".join(parts)


def markdown_table(rows: Rows) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)


def cell(value: object) -> str:
    """A value within a row: a bar or a line break would end its cell."""
    return " ".join(str(value).replace("|", "\\|").split("\n"))


def milestone_rows(summary: Summary) -> Rows:
    """A row for each milestone."""
    return [
        {
            "iterations": f"{m.iteration:,}",
            "test accuracy": percent(m.accuracy),
            "correct": f"{m.correct:,}",
            "95 % interval": " to ".join(map(percent, wilson_interval(m.correct, m.total))),
            "trained for": duration(m.train_seconds),
        }
        for m in summary.milestones
    ]


def class_rows(summary: Summary) -> Rows:
    """A row for each class."""
    return [
        {
            "class": name,
            "images": f"{c.support:,}",
            "precision": share(c.precision),
            "recall": share(c.recall),
            "F1": share(c.f1),
        }
        for name, c in zip(summary.class_names, summary.metrics.classes, strict=True)
    ]


def stage_rows(summary: Summary) -> Rows:
    """A row for each stage."""
    return [
        {
            "stage": stage.name,
            "state": stage.state,
            "time now": duration(stage.seconds),
            "to compute": duration(stage.computed_in),
            "reason": stage.reason or "unchanged",
        }
        for stage in summary.stages
    ]


def confusion_rows(summary: Summary) -> Rows:
    """The confusion matrix, a row for each true class.

    The UI moves columns with bare integer names in front of the others: hence "pred 0".
    """
    names = summary.class_names
    return [
        {"true": name, **{f"pred {p}": n for p, n in zip(names, row, strict=True)}}
        for name, row in zip(names, summary.confusion_matrix, strict=True)
    ]


def mistakes(predictions: Path, names: Sequence[str], most: int = MOST_MISTAKES) -> Rows:
    """The misclassified images, those first that the network was most sure of.

    Args:
        predictions: Parquet as in `records.Evaluation`.
        names: of the classes.
        most: rows at most.
    """
    # Arrow alone: to go through NumPy would import pandas, into a run that is all cached.
    table = pq.ParquetFile(predictions).read()
    wrong = table.filter(pc.not_equal(table["label"], table["predicted"])).to_pylist()
    wrong.sort(key=lambda row: -row[f"p{row['predicted']}"])
    return [
        {
            "image": row["index"],
            "true": names[row["label"]],
            "predicted": names[row["predicted"]],
            "probability": percent(row[f"p{row['predicted']}"]),
            "of the true class": percent(row[f"p{row['label']}"]),
        }
        for row in wrong[:most]
    ]
