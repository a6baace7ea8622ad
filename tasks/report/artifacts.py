"""The run as Prefect artifacts, so that its UI alone tells the story.

Keys stay the same from run to run, so that the UI shows the history of each. What a run finds
on the server as it would send it is not sent again: the history of a picture holds its changes,
and the run's `mnist-report` links to it. (A server takes 20 to 30 ms for each artifact, which was
a quarter of a run in which nothing had changed.)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import numpy as np
import pyarrow.parquet as pq
from prefect.artifacts import Artifact, ImageArtifact, TableArtifact, create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey
from prefect.client.schemas.objects import Artifact as StoredArtifact
from prefect.client.schemas.sorting import ArtifactCollectionSort
from prefect.settings import PREFECT_UI_URL, get_current_settings

from tasks.engine.store import Store
from tasks.records import Picture, Results
from tasks.report.formatting import (
    change,
    duration,
    escape_markdown,
    markdown_table,
    percent,
    share,
)
from tasks.report.page import embedded
from tasks.report.summary import Summary
from tasks.statistics import wilson_interval

MOST_MISTAKES = 200
"""Rows of the table of errors: a network that was not trained makes thousands."""
Rows = list[dict[str, Any]]


def publish_run(store: Store, summary: Summary, results: Results) -> None:
    """Create the artifacts of the flow run that this is called in."""
    pictures = [(picture, store.path(picture.file)) for picture in results.pictures.pictures]
    predictions = store.path(results.evaluations[-1].predictions)
    titled = [
        *tables(summary, mistakes(predictions, summary.class_names)),
        *((picture.title, figure(picture, path)) for picture, path in pictures),
    ]
    ids = send_what_is_new([artifact for _, artifact in titled])
    links = [(title, link(known)) for (title, _), known in zip(titled, ids, strict=True)]
    create_markdown_artifact(
        key="mnist-report",
        markdown=report_markdown(summary, main_pictures(pictures), links),
        description=f"{percent(summary.test.accuracy)} on the test split",
    )


def tables(summary: Summary, errors: Rows) -> list[tuple[str, Artifact]]:
    """The tables with their titles."""

    def table(name: str, title: str, rows: Rows, description: str) -> tuple[str, Artifact]:
        return title, TableArtifact(key=f"mnist-{name}", table=rows, description=description)

    return [
        table(
            "milestones",
            "Milestones",
            milestone_rows(summary),
            "Test accuracy after so many iterations",
        ),
        table("classes", "Classes", class_rows(summary), "Precision, recall and F1 of each class"),
        table(
            "confusion-matrix",
            "Confusion matrix in numbers",
            confusion_rows(summary),
            "Test images by true class (rows) and predicted class (columns)",
        ),
        table(
            "errors",
            "Errors",
            errors,
            f"Misclassified test images, the most confident first, at most {MOST_MISTAKES}",
        ),
    ]


def figure(picture: Picture, path: Path) -> Artifact:
    return ImageArtifact(
        key=f"mnist-figure-{picture.name}",
        # The page that shows it is on another machine, perhaps: no `file://`.
        image_url=embedded(path.read_bytes())[0],
        description=f"**{escape_markdown(picture.title)}.** {escape_markdown(picture.caption)}"
        f"\n\nFull size: `{path}`",
    )


def send_what_is_new(artifacts: Sequence[Artifact]) -> list[UUID]:
    """Create the artifacts whose key has a latest version that is another, or none.

    Returns:
        Id of the latest version of each, in their order.
    """
    keys = [str(artifact.key) for artifact in artifacts]
    with get_client(sync_client=True) as client:
        latest = client.read_latest_artifacts(
            artifact_filter=ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=keys)),
            sort=ArtifactCollectionSort.ID_DESC,
        )
    there = {(last.key, last.description, last.data): last.latest_id for last in latest}

    def sent(artifact: Artifact) -> UUID:
        known = there.get((artifact.key, artifact.description, artifact.format()))  # type: ignore[arg-type]
        return known or cast(StoredArtifact, artifact.create()).id

    return [sent(artifact) for artifact in artifacts]


def link(artifact: UUID) -> str | None:
    """Where the UI shows an artifact; None if there is no UI."""
    if not get_current_settings().server.ui.enabled:
        return None
    return f"{PREFECT_UI_URL.value()}/artifacts/artifact/{artifact}"


def main_pictures(pictures: Sequence[tuple[Picture, Path]]) -> list[tuple[Picture, Path]]:
    """Those that tell the story in short: learning, last errors, confusion."""
    last_errors = [name for p, _ in pictures if (name := p.name).startswith("errors-")][-1:]
    chosen = {"learning-curve", "confusion-matrix", *last_errors}
    return [(picture, path) for picture, path in pictures if picture.name in chosen]


def report_markdown(
    summary: Summary,
    pictures: Sequence[tuple[Picture, Path]],
    links: Sequence[tuple[str, str | None]],
) -> str:
    """Headline, milestones, pictures, stages and links as Markdown.

    Args:
        summary: the run in numbers.
        pictures: the few that are shown here.
        links: title and address of every picture and table.
    """
    test = summary.test
    low, high = wilson_interval(test.correct, test.total)
    parts = [
        f"# {percent(test.accuracy)} on the test split",
        f"{test.correct:,} of {test.total:,} images right, 95 % interval {percent(low)} to"
        f" {percent(high)}. {change(summary)}",
        f"Seed {summary.seed}, trained on {escape_markdown(summary.device.name)} in"
        f" {duration(summary.train_seconds)}; data from {escape_markdown(summary.data_source)}.",
        markdown_table(milestone_rows(summary)),
        *(
            f"## {escape_markdown(picture.title)}\n\n"
            f"![{escape_markdown(picture.alt)}]({embedded(path.read_bytes())[0]})"
            f"\n\n{escape_markdown(picture.caption)}"
            for picture, path in pictures
        ),
        "## Class by class",
        markdown_table(class_rows(summary)),
        "## What this run did",
        markdown_table(stage_rows(summary)),
    ]
    if listed := [
        f"- [{escape_markdown(title)}]({address})" for title, address in links if address
    ]:
        parts += ["## All pictures and tables", "\n".join(listed)]
    return "\n\n".join(parts)


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
    table = pq.ParquetFile(predictions).read().combine_chunks()
    # DLPack shares the memory; Arrow's own way would import pandas into a run that is all cached.
    columns = {name: np.from_dlpack(table[name].chunk(0)) for name in table.column_names}
    label, predicted = columns["label"], columns["predicted"]
    wrong = np.flatnonzero(label != predicted)
    sureness = np.array([columns[f"p{predicted[row]}"][row] for row in wrong])
    first = wrong[np.argsort(-sureness, kind="stable")][:most]
    return [
        {
            "image": int(columns["index"][row]),
            "true": names[label[row]],
            "predicted": names[predicted[row]],
            "probability": percent(float(columns[f"p{predicted[row]}"][row])),
            "of the true class": percent(float(columns[f"p{label[row]}"][row])),
        }
        for row in first
    ]
