"""Report of a run: page, metrics.json and pictures in `artifacts/latest/`.

Written at the end of every run from records and files, without TensorFlow or matplotlib. Facts
that differ from run to run (stages that ran, durations, time of day) are in the report only, not
in the output of a stage.
"""

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from tasks.engine.executors import StageOutcome
from tasks.engine.models import FileRef, file_refs
from tasks.engine.store import Store
from tasks.records import (
    DATA_SECTION,
    Device,
    Evaluation,
    Results,
    Segment,
)
from tasks.report.live.assemble import live_parts
from tasks.report.live.steps import count_weights
from tasks.report.live.story import RunFacts, tell_story
from tasks.report.page import render
from tasks.report.summary import (
    DataFacts,
    LabelIssue,
    Milestone,
    PreviousRun,
    Score,
    Summary,
)
from tasks.settings import NOT_RESULT_SETTINGS, Settings
from tasks.words import plural

MOST_LABELS = 20
"""Maximum number of doubtful labels in metrics.json and on the page."""


def evaluation_score(evaluation: Evaluation) -> Score:
    """Return the accuracy of an evaluation with its counts."""
    return Score(
        correct=evaluation.correct,
        total=evaluation.total,
        accuracy=evaluation.correct / evaluation.total,
    )


def milestones(results: Results) -> list[Milestone]:
    """Return the test accuracy at each milestone, with the cumulative training time."""
    seconds = [0.0]
    for segment in results.segments:
        seconds.append(round(seconds[-1] + segment.seconds, 3))
    return [
        Milestone(iteration=e.iteration, train_seconds=s, **evaluation_score(e).model_dump())
        for e, s in zip(results.evaluations, seconds, strict=True)
    ]


def last_device(segments: tuple[Segment, ...]) -> Device:
    """Return the device of the last training segment."""
    if not segments:
        return Device(kind="CPU", name="none", reason="no iteration was trained")
    return segments[-1].device


def previous_run(store: Store, test_sha256: str, predictions_sha256: str) -> PreviousRun | None:
    """Return the result of the previous run, if its test images are the same.

    Returns None if its report is missing, damaged or of another version of this project.
    """
    try:
        metrics = store.read("latest/report/metrics.json")
        last = Summary.model_validate_json(metrics)
    except (OSError, ValueError):
        return None
    if last.test_sha256 != test_sha256:
        return None
    return PreviousRun(
        **last.test.model_dump(),
        finished=last.finished,
        same_predictions=last.predictions_sha256 == predictions_sha256,
    )


def data_facts(store: Store, results: Results, names: Sequence[str]) -> DataFacts:
    """Return the facts about the data of a run."""
    return DataFacts(
        splits=list(results.audit.splits),
        findings=list(results.audit.findings),
        dropped=list(results.splits.dropped),
        labels=list(results.label_issues.splits),
        most_doubtful=most_doubtful(store.path(results.label_issues.file), names),
    )


def most_doubtful(path: Path, names: Sequence[str]) -> list[LabelIssue]:
    """Return the most contradicted labels, at most `MOST_LABELS`.

    Args:
        path: see `LabelIssues.file`.
        names: class names.
    """
    rows = pq.ParquetFile(path).read().slice(0, MOST_LABELS).to_pylist()
    return [
        LabelIssue(**{**row, "label": names[row["label"]], "suggested": names[row["suggested"]]})
        for row in rows
    ]


def summarise(
    store: Store, outcomes: Sequence[StageOutcome], settings: Settings, results: Results
) -> Summary:
    """Return the numbers of a run, and the result of the previous run."""
    reached = milestones(results)
    names = list(results.splits.class_names)
    tested = results.splits.test.file.sha256, results.evaluations[-1].predictions.sha256
    return Summary(
        test=evaluation_score(results.evaluations[-1]),
        before=previous_run(store, *tested),
        milestones=reached,
        confusion_matrix=[list(row) for row in results.evaluations[-1].confusion],
        class_names=names,
        metrics=results.metrics,
        train_seconds=reached[-1].train_seconds,
        seed=settings.training.seed,
        device=last_device(results.segments),
        settings=settings.model_dump(mode="json", exclude=NOT_RESULT_SETTINGS),
        data_source=results.download.source,
        data=data_facts(store, results, names),
        data_notes=list(results.download.notes),
        versions={
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("tensorflow", "prefect")},
        },
        stages=list(outcomes),
        test_sha256=tested[0],
        predictions_sha256=tested[1],
        finished=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    )


def run_facts(summary: Summary, settings: Settings, results: Results) -> RunFacts:
    """Return the numbers of a run that the story needs."""
    return RunFacts(
        results.splits.shape,
        summary.class_names,
        results.network,
        count_weights(settings.network, results.splits.shape),
        results.splits.train.rows,
        settings.training.batch_size,
        [(m.iteration, m.correct, m.total) for m in summary.milestones],
        [(p.true, p.predicted, p.count) for p in summary.metrics.confused],
    )


def write_report(store: Store, summary: Summary, settings: Settings, results: Results) -> str:
    """Replace `artifacts/latest/` with the results of this run.

    Returns:
        Address of the page.
    """
    pictures = results.pictures.pictures
    live, shape = results.live, results.splits.shape
    payload = store.path(live.file).read_text(encoding="utf-8") if live.file else None
    page = render(
        summary,
        [(picture, store.path(picture.file).read_bytes()) for picture in pictures],
        live_parts(payload, live.reason, shape.height, shape.width),
        tell_story(run_facts(summary, settings, results)),
    )

    def fill(folder: Path) -> None:
        report = folder / "report"
        report.mkdir()
        (report / "index.html").write_text(page, encoding="utf-8")
        (report / "metrics.json").write_text(summary.model_dump_json(indent=1), encoding="utf-8")

        def link(file: FileRef, place: Path) -> None:
            # Relative, so that the artifact root can be moved.
            place.symlink_to(os.path.relpath(store.place(file), place.parent))

        for picture in pictures:
            link(picture.file, report / picture.file.name)
        for file in file_refs(results.model):
            link(file, folder / file.name)
        for split in (results.splits.train, results.splits.validation, results.splits.test):
            link(split.file, folder / split.file.name)
        for file in (
            results.evaluations[-1].predictions,
            results.audit.file,
            results.label_issues.file,
        ):
            link(file, folder / file.name)

    return f"{store.replace_latest(fill)}/report/index.html"


def closing_lines(summary: Summary) -> str:
    """Return the last log lines of a run: confusion matrix, milestones, number of stages run."""
    cached = sum(stage.state == "cached" for stage in summary.stages)
    ran = len(summary.stages) - cached
    stages = f"{len(summary.stages)} stages: "
    stages += f"{ran} ran, {cached} cached" if ran else "all cached, nothing to do"
    return "\n".join(
        [
            *data_lines(summary),
            "",
            "Confusion matrix of the test split (rows true, columns predicted):",
            *as_columns([["", *summary.class_names], *labelled_rows(summary)]),
            "",
            *as_columns(
                [
                    ["Iterations", "Test accuracy", "Correct", "Training time"],
                    *(
                        [
                            f"{m.iteration:,}",
                            f"{m.accuracy:.1%}",
                            f"{m.correct:,} / {m.total:,}",
                            f"{m.train_seconds:,.1f} s",
                        ]
                        for m in summary.milestones
                    ),
                ]
            ),
            "",
            stages,
        ]
    )


def data_lines(summary: Summary) -> list[str]:
    """Return a log line if there are warnings about the data."""
    count = sum(finding.severity == "warning" for finding in summary.data.findings)
    return [f"data: {plural(count, 'warning')}; see {DATA_SECTION} in the report"] if count else []


def labelled_rows(summary: Summary) -> list[list[str]]:
    """Return the rows of the confusion matrix as text, each after its true class."""
    rows = zip(summary.class_names, summary.confusion_matrix, strict=True)
    return [[name, *map(str, row)] for name, row in rows]


def as_columns(rows: list[list[str]]) -> list[str]:
    """Return the rows of a table as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
