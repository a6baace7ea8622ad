"""Prefect artifacts of a run: tables, figures and a report for Prefect's UI.

Artifact keys are the same in every run, so the UI shows the history of each. An artifact that
is equal to its latest version on the server is not created again: creating one takes 20 to 30 ms.
The artifact `mnist-report` links to the latest version of each.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import numpy as np
from prefect.artifacts import (
    Artifact,
    ImageArtifact,
    MarkdownArtifact,
    TableArtifact,
    create_markdown_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey
from prefect.client.schemas.objects import Artifact as StoredArtifact
from prefect.client.schemas.sorting import ArtifactCollectionSort
from prefect.settings import PREFECT_UI_URL, get_current_settings

from tasks.engine.store import Store
from tasks.model.prediction_table import read_arrays
from tasks.records import DATA_SECTION, Picture, Results
from tasks.report.page import embedded
from tasks.report.summary import Summary, compared_with_previous
from tasks.statistics import wilson_interval
from tasks.words import (
    duration,
    escape_markdown,
    markdown_table,
    percent,
)

MOST_MISTAKES = 200
"""Maximum number of rows in the table of errors: an untrained network makes thousands."""
Rows = list[dict[str, Any]]


def publish_run(store: Store, summary: Summary, results: Results, page: str) -> None:
    """Create the artifacts of the current flow run.

    Args:
        store: where the files are.
        summary: numbers of the run.
        results: records of the run.
        page: address of the report page.
    """
    pictures = [(picture, store.path(picture.file)) for picture in results.pictures.pictures]
    predictions = store.path(results.evaluations[-1].predictions)
    titled = [
        *tables(summary, mistakes(predictions, summary.class_names)),
        (DATA_SECTION, data_artifact(summary)),
        *((picture.title, figure(picture, path)) for picture, path in pictures),
    ]
    ids = send_what_is_new([artifact for _, artifact in titled])
    links = [(title, link(known)) for (title, _), known in zip(titled, ids, strict=True)]
    create_markdown_artifact(
        key="mnist-report",
        markdown=report_markdown(summary, main_pictures(pictures), links, page_note(page, results)),
        description=f"{percent(summary.test.accuracy)} on the test split",
    )


def tables(summary: Summary, errors: Rows) -> list[tuple[str, Artifact]]:
    """Return the table artifacts with their titles."""

    def table(name: str, title: str, rows: Rows, description: str) -> tuple[str, Artifact]:
        return title, TableArtifact(key=f"mnist-{name}", table=rows, description=description)

    return [
        table(
            "milestones",
            "Milestones",
            milestone_rows(summary),
            "Test accuracy at each milestone",
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


def data_artifact(summary: Summary) -> Artifact:
    """Return the artifact with the findings about the data."""
    data = summary.data
    warnings = sum(finding.severity == "warning" for finding in data.findings)
    doubtful = sum(labels.doubtful for labels in data.labels)
    return MarkdownArtifact(
        key="mnist-data",
        markdown=data_markdown(summary),
        description=f"Warnings about the data: {warnings}, notes:"
        f" {len(data.findings) - warnings}, doubtful labels: {doubtful:,}",
    )


def data_markdown(summary: Summary) -> str:
    """Return findings, splits, classes and doubtful labels as Markdown."""
    data = summary.data
    classes = zip(*(split.classes for split in data.splits), strict=True)
    parts = [
        f"# {DATA_SECTION}",
        f"From {escape_markdown(summary.data_source)}, as it is before training.",
        "\n".join(
            f"- **{finding.severity}**: {escape_markdown(finding.text)}"
            for finding in data.findings
        )
        or "No fault was found.",
        markdown_table(
            [
                {
                    "left out": dropped.kind,
                    "train": f"{dropped.train:,}",
                    "validation": f"{dropped.validation:,}",
                }
                for dropped in data.dropped
            ]
        ),
        "## Splits",
        markdown_table(split_rows(summary)),
        "## Images of each class",
        markdown_table(
            [
                {"class": name, **{s.name: f"{n:,}" for s, n in zip(data.splits, row, strict=True)}}
                for name, row in zip(summary.class_names, classes, strict=True)
                if any(row)
            ]
        ),
        *(
            ["## Most doubtful labels", markdown_table(label_rows(summary))]
            if label_rows(summary)
            else []
        ),
    ]
    return "\n\n".join(filter(None, parts))


def split_rows(summary: Summary) -> Rows:
    """Return a row for each split."""
    return [
        {
            "split": split.name,
            "images": f"{split.images:,}",
            "grey values": f"{split.grey_levels} ({split.darkest} to {split.lightest})",
            "light ground": f"{split.light_ground:,}",
            "doubtful labels": f"{labels.doubtful:,}",
        }
        for split, labels in zip(summary.data.splits, summary.data.labels, strict=True)
    ]


def label_rows(summary: Summary) -> Rows:
    """Return a row for each of the most doubtful labels."""
    return [
        {
            "split": issue.split,
            "row": issue.index,
            "label": issue.label,
            "probability": percent(issue.label_probability),
            "network": issue.suggested,
            "its probability": percent(issue.suggested_probability),
        }
        for issue in summary.data.most_doubtful
    ]


def figure(picture: Picture, path: Path) -> Artifact:
    """Return the artifact of a figure."""
    return ImageArtifact(
        key=f"mnist-figure-{picture.name}",
        # The browser may run on another machine, so no `file://` address.
        image_url=embedded(path.read_bytes())[0],
        description=f"**{escape_markdown(picture.title)}.** {escape_markdown(picture.caption)}"
        f"\n\nFull size: `{path}`",
    )


def send_what_is_new(artifacts: Sequence[Artifact]) -> list[UUID]:
    """Create the artifacts that differ from the latest version of their key.

    Returns:
        Id of the latest version of each artifact, in the given order.
    """
    keys = [str(artifact.key) for artifact in artifacts]
    with get_client(sync_client=True) as client:
        latest = client.read_latest_artifacts(
            artifact_filter=ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=keys)),
            sort=ArtifactCollectionSort.ID_DESC,
        )
    there = {(last.key, last.description, last.data): last.latest_id for last in latest}

    def latest_id(artifact: Artifact) -> UUID:
        known = there.get((artifact.key, artifact.description, artifact.format()))  # type: ignore[arg-type]
        return known or cast(StoredArtifact, artifact.create()).id

    return [latest_id(artifact) for artifact in artifacts]


def link(artifact: UUID) -> str | None:
    """Return the address of an artifact in the UI; None if there is no UI."""
    if not get_current_settings().server.ui.enabled:
        return None
    return f"{PREFECT_UI_URL.value()}/artifacts/artifact/{artifact}"


def main_pictures(pictures: Sequence[tuple[Picture, Path]]) -> list[tuple[Picture, Path]]:
    """Return learning curve, last errors, confusion matrix and first convolution, if there."""
    last_errors = [name for p, _ in pictures if (name := p.name).startswith("errors-")][-1:]
    convolutions = [name for p, _ in pictures if (name := p.name).startswith("convolution-")][:1]
    chosen = {"learning-curve", "confusion-matrix", *last_errors, *convolutions}
    return [(picture, path) for picture, path in pictures if picture.name in chosen]


def report_markdown(
    summary: Summary,
    pictures: Sequence[tuple[Picture, Path]],
    links: Sequence[tuple[str, str | None]],
    note: str,
) -> str:
    """Return headline, milestones, pictures, stages and links as Markdown.

    Args:
        summary: numbers of the run.
        pictures: figures to embed.
        links: title and address of every picture and table.
        note: Markdown that names the report page.
    """
    test = summary.test
    low, high = wilson_interval(test.correct, test.total)
    parts = [
        f"# {percent(test.accuracy)} on the test split",
        f"{test.correct:,} of {test.total:,} images right, 95 % interval"
        f" {percent(low)} to {percent(high)}."
        f" {compared_with_previous(summary)}",
        f"Seed {summary.seed}, trained on {escape_markdown(summary.device.name)} in"
        f" {duration(summary.train_seconds)}; data from"
        f" {escape_markdown('; '.join([summary.data_source, *summary.data_notes]))}.",
        note,
        markdown_table(milestone_rows(summary)),
        *(
            f"## {escape_markdown(picture.title)}\n\n"
            f"![{escape_markdown(picture.alt)}]({embedded(path.read_bytes())[0]})"
            f"\n\n{escape_markdown(picture.caption)}"
            for picture, path in pictures
        ),
        "## Class by class",
        markdown_table(class_rows(summary)),
        "## Stages",
        markdown_table(stage_rows(summary)),
    ]
    if listed := [
        f"- [{escape_markdown(title)}]({address})" for title, address in links if address
    ]:
        parts += ["## All pictures and tables", "\n".join(listed)]
    return "\n\n".join(parts)


def page_note(page: str, results: Results) -> str:
    """Return the address of the report page and a word on its live network, as Markdown.

    Args:
        page: path or URL of the page.
        results: records of the run.
    """
    live = results.live.reason or (
        "The trained network runs in that page: draw a digit there, and see every layer's outputs."
    )
    return f"Report page: `{page}`. {escape_markdown(live)}"


def milestone_rows(summary: Summary) -> Rows:
    """Return a row for each milestone."""
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
    """Return a row for each class."""
    return [
        {
            "class": name,
            "images": f"{c.support:,}",
            "precision": percent(c.precision, 1),
            "recall": percent(c.recall, 1),
            "F1": percent(c.f1, 1),
        }
        for name, c in zip(summary.class_names, summary.metrics.classes, strict=True)
    ]


def stage_rows(summary: Summary) -> Rows:
    """Return a row for each stage."""
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
    """Return the confusion matrix, a row for each true class.

    Column names are not bare integers ("pred 0"), since the UI moves those to the front.
    """
    names = summary.class_names
    return [
        {"true": name, **{f"pred {p}": n for p, n in zip(names, row, strict=True)}}
        for name, row in zip(names, summary.confusion_matrix, strict=True)
    ]


def mistakes(predictions: Path, names: Sequence[str], most: int = MOST_MISTAKES) -> Rows:
    """Return the misclassified images, the most confident first.

    Args:
        predictions: Parquet file as in `records.Evaluation`.
        names: class names.
        most: maximum number of rows.
    """
    columns = read_arrays(predictions)
    label, predicted = columns["label"], columns["predicted"]
    wrong = np.flatnonzero(label != predicted)
    confidence = np.array([columns[f"p{predicted[row]}"][row] for row in wrong])
    first = wrong[np.argsort(-confidence, kind="stable")][:most]
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
