"""Prefect artifact of a run: `mnist-report`, for Prefect's UI."""

from collections.abc import Sequence
from typing import Any

from prefect.artifacts import create_markdown_artifact

from tasks.engine.store import Store
from tasks.records import Picture, Results
from tasks.report.page import embedded, make_environment
from tasks.report.runs import changed_options
from tasks.report.summary import Summary
from tasks.statistics import wilson_interval
from tasks.words import duration, percent, percent_interval

MAIN_PICTURES = ("learning-curve", "confusion-matrix", "confused-pairs")


def publish_run(store: Store, summary: Summary, results: Results, page: str) -> None:
    """Create the artifact of the current flow run.

    Args:
        store: where the files are.
        summary: numbers of the run.
        results: records of the run.
        page: address of the report page.
    """
    by_name = {picture.name: picture for picture in results.pictures.pictures}
    chosen = [by_name[name] for name in MAIN_PICTURES if name in by_name]
    create_markdown_artifact(
        key="mnist-report",
        markdown=report_markdown(store, summary, chosen, page, results.live.reason),
        description=f"{percent(summary.test.accuracy)} on the test split,"
        f" {percent(summary.validation.accuracy)} on the validation split",
    )


def report_markdown(
    store: Store, summary: Summary, pictures: Sequence[Picture], page: str, reason: str
) -> str:
    """Return headline, milestones, pictures and links as Markdown.

    Args:
        store: where the pictures are.
        summary: numbers of the run.
        pictures: figures to embed.
        page: address of the report page.
        reason: why the page has no live network; empty if it has one.
    """
    template = make_environment(autoescape=False).get_template("report.md.j2")
    return template.render(
        summary=summary,
        # The browser may run on another machine, so no `file://` address.
        pictures=[(p, embedded(store.path(p.file).read_bytes())[0]) for p in pictures],
        page=page,
        reason=reason,
        options=changed_options(summary.settings),
        milestones=[milestone_row(summary, i) for i in range(len(summary.milestones))],
    )


def milestone_row(summary: Summary, i: int) -> dict[str, Any]:
    """Return the cells of a milestone by their columns."""
    milestone = summary.milestones[i]
    return {
        "iterations": f"{milestone.iteration:,}",
        "validation": percent(milestone.validation.accuracy),
        "test": percent(milestone.accuracy),
        "correct": f"{milestone.correct:,} of {milestone.total:,}",
        "95 % interval": percent_interval(*wilson_interval(milestone.correct, milestone.total)),
        "trained for": duration(milestone.train_seconds),
    }
