"""Report of a run: page, metrics.json and pictures in `artifacts/latest/`, and the kept run.

Written at the end of every run from records and files, without TensorFlow or matplotlib. Facts
that differ from run to run (stages that ran, durations, time of day) are in the report only, not
in the output of a stage.
"""

import datetime
import importlib.metadata
import math
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.engine.executors import StageOutcome
from tasks.engine.layout import RUNS
from tasks.engine.models import FileRef, file_refs
from tasks.engine.store import Store
from tasks.records import Classification, Device, Results, Segment
from tasks.report.live.assemble import content_security_policy
from tasks.report.page import TEMPLATES, make_environment, read_css, render
from tasks.report.runs import Curve, KeptRun, keep, kept_numbers, last_run, read_run
from tasks.report.summary import DataFacts, LabelIssue, Milestone, PreviousRun, Score, Summary
from tasks.runtime.errors import PipelineError
from tasks.settings import NOT_RESULT_SETTINGS, Settings
from tasks.words import percent, plural

MOST_LABELS = 20
"""Maximum number of doubtful labels in metrics.json and on the page."""


def evaluation_score(evaluation: Classification) -> Score:
    """Return the accuracy of an evaluation with its counts."""
    return Score(
        correct=evaluation.correct,
        total=evaluation.total,
        accuracy=evaluation.correct / evaluation.total,
    )


def milestones(results: Results) -> list[Milestone]:
    """Return the accuracies at each milestone, with the cumulative training time."""
    seconds = [0.0]
    for segment in results.segments:
        seconds.append(round(seconds[-1] + segment.seconds, 3))
    return [
        Milestone(
            **evaluation_score(made.test).model_dump(),
            iteration=made.iteration,
            validation=evaluation_score(made.validation),
            train_seconds=trained,
        )
        for made, trained in zip(results.evaluations, seconds, strict=True)
    ]


def last_device(segments: tuple[Segment, ...]) -> Device:
    """Return the device of the last training segment."""
    if not segments:
        return Device(kind="CPU", name="none", reason="no iteration was trained")
    return segments[-1].device


def previous_run(last: KeptRun | None, results: Results) -> PreviousRun | None:
    """Return the validation accuracy of the last run, if its validation images are the same."""
    if last is None or last.validation.sha256 != results.splits.validation.file.sha256:
        return None
    then = last.summary
    return PreviousRun(
        number=then.number,
        name=then.name,
        validation=then.validation,
        finished=then.finished,
        same_predictions=then.predictions_sha256 == results.evaluations[-1].test.predictions.sha256,
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
    reached, last = milestones(results), last_run(store)
    names = list(results.splits.class_names)
    summary = Summary(
        name=settings.name,
        number=max(kept_numbers(store), default=0) + 1,
        validation=reached[-1].validation,
        test=evaluation_score(results.evaluations[-1].test),
        before=previous_run(last, results),
        milestones=reached,
        confusion_matrix=[list(row) for row in results.evaluations[-1].test.confusion],
        class_names=names,
        metrics=results.metrics,
        training_images=results.images.rows,
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
        validation_sha256=results.splits.validation.file.sha256,
        test_sha256=results.splits.test.file.sha256,
        predictions_sha256=results.evaluations[-1].test.predictions.sha256,
        finished=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    )
    if last and is_repeated(last.summary, summary):
        return summary.model_copy(update={"number": last.summary.number})
    return summary


def is_repeated(last: Summary, now: Summary) -> bool:
    """Return whether a run gives the last one again, which it then replaces in the list."""
    return (last.name, last.settings, last.predictions_sha256) == (
        now.name,
        now.settings,
        now.predictions_sha256,
    )


def keep_run(store: Store, summary: Summary, results: Results) -> None:
    """Keep numbers, learning curve and validation errors of a run for comparisons."""
    curves = [pq.ParquetFile(store.path(segment.curve)).read() for segment in results.segments]
    curve = pa.concat_tables(curves).to_pydict() if curves else {}
    table = pq.ParquetFile(store.path(results.evaluations[-1].validation.predictions)).read(
        ["label", "predicted"]
    )
    answers = zip(table["label"].to_pylist(), table["predicted"].to_pylist(), strict=True)
    is_new = summary.number not in kept_numbers(store)
    keep(
        store,
        KeptRun(
            summary=summary,
            curve=Curve(
                iteration=curve.get("iteration", []),
                accuracy=curve.get("accuracy", []),
                loss=[x if math.isfinite(x) else None for x in curve.get("loss", [])],
            ),
            validation=results.splits.validation.file,
            errors=[(i, *answer) for i, answer in enumerate(answers) if answer[0] != answer[1]],
        ),
    )
    if is_new:
        write_index(store)


def write_report(store: Store, summary: Summary, settings: Settings, results: Results) -> str:
    """Replace `artifacts/latest/` with the results of this run.

    Returns:
        Address of the page.
    """
    pictures = results.pictures.pictures
    live = results.live
    page = render(
        summary,
        [(picture, store.path(picture.file).read_bytes()) for picture in pictures],
        results.splits.shape,
        settings.network,
        store.path(live.file).read_text(encoding="utf-8") if live.file else None,
        live.reason,
    )
    keep_run(store, summary, results)

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
            results.evaluations[-1].test.predictions,
            results.audit.file,
            results.label_issues.file,
        ):
            link(file, folder / file.name)

    return f"{store.replace_latest(fill)}/report/index.html"


def write_index(store: Store) -> None:
    """Write the page that links runs, comparisons and studies: `runs/index.html`."""
    runs = []
    for number in reversed(kept_numbers(store)):
        try:
            runs.append(read_run(store, number))
        except PipelineError:
            continue
    css = read_css(TEMPLATES / "report.css")
    comparisons = [
        name.removeprefix("compare-").removesuffix(".html").split("-")
        for name in store.files(RUNS)
        if name.startswith("compare-")
    ]
    page = (
        make_environment()
        .get_template("index.html.j2")
        .render(
            css=css,
            policy=content_security_policy([css], []),
            runs=runs,
            comparisons=comparisons,
            studies=bool(store.files("studies")),
        )
    )
    store.write(f"{RUNS}/index.html", page.encode())


def closing_lines(summary: Summary) -> str:
    """Return the last log lines of a run: confusion matrix, milestones, number of stages run."""
    cached = sum(stage.state == "cached" for stage in summary.stages)
    ran = len(summary.stages) - cached
    warnings = sum(finding.severity == "warning" for finding in summary.data.findings)
    matrix = zip(summary.class_names, summary.confusion_matrix, strict=True)
    columns = ["Iterations", "Validation", "Test", "Correct", "Training time"]
    lines = [
        "Confusion matrix of the test split (rows true, columns predicted):",
        *as_columns(
            [["", *summary.class_names], *([name, *map(str, row)] for name, row in matrix)]
        ),
        "",
        *as_columns([columns, *map(milestone_cells, summary.milestones)]),
        "",
        f"run {summary.number}: {plural(len(summary.stages), 'stage')}, {ran} ran, {cached} cached",
    ]
    if warnings:
        lines.insert(0, f"data: {plural(warnings, 'warning')}; see The data in the report\n")
    return "\n".join(lines)


def milestone_cells(milestone: Milestone) -> list[str]:
    """Return the row of a milestone in the closing lines."""
    return [
        f"{milestone.iteration:,}",
        percent(milestone.validation.accuracy, 1),
        percent(milestone.accuracy, 1),
        f"{milestone.correct:,} / {milestone.total:,}",
        f"{milestone.train_seconds:,.1f} s",
    ]


def next_step(summary: Summary, page: str) -> str:
    """Return the last log lines: the page as a link, and a useful command."""
    address = clickable(page)
    before = summary.before
    if before and before.number != summary.number:
        command = f"compare {before.number} {summary.number}"
        return f"next: python flows/pipeline.py {command}\nreport: {address}"
    return f"next: python flows/predict.py DRAWING.png --model latest\nreport: {address}"


def clickable(address: str) -> str:
    """Return a path as the URL that terminals make a link of; URLs stay."""
    return address if "://" in address else Path(address).absolute().as_uri()


def as_columns(rows: list[list[str]]) -> list[str]:
    """Return the rows of a table as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
