"""The run's numbers as Prefect artifacts, so that its UI shows them."""

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.report.statistics import wilson_interval
from tasks.report.summary import Summary


def report_markdown(summary: Summary) -> str:
    """Headline, milestones and stages as Markdown."""
    test = summary.test
    low, high = wilson_interval(test.correct, test.total)
    lines = [
        f"# {test.accuracy:.2%} on the test split",
        f"{test.correct:,} of {test.total:,} images right, 95 % interval {low:.2%} to {high:.2%}."
        f" Seed {summary.seed}, trained on {summary.device.name}"
        f" in {summary.train_seconds:,.1f} s; data from {summary.data_source}.",
        "",
        "| Iterations | Test accuracy | Correct | Training time |",
        "|---:|---:|---:|---:|",
        *(
            f"| {m.iteration:,} | {m.accuracy:.1%} | {m.correct:,} | {m.train_seconds:,.1f} s |"
            for m in summary.milestones
        ),
        "",
        "| Stage | | Seconds | Why it ran |",
        "|---|---|---:|---|",
        *(f"| {s.name} | {s.state} | {s.seconds:.1f} | {s.reason} |" for s in summary.stages),
    ]
    return "\n".join(lines)


def confusion_rows(summary: Summary) -> list[dict[str, str | int]]:
    """The confusion matrix, a row for each true class.

    The UI moves columns with bare integer names in front of the others: hence "pred 0".
    """
    names = summary.class_names
    return [
        {"true": name, **{f"pred {p}": n for p, n in zip(names, row, strict=True)}}
        for name, row in zip(names, summary.confusion_matrix, strict=True)
    ]


def publish(summary: Summary) -> None:
    """Create the artifacts of the flow run that this is called in."""
    create_markdown_artifact(
        key="mnist-report",
        markdown=report_markdown(summary),
        description="Test accuracy, milestones and stages of the run",
    )
    create_table_artifact(
        key="mnist-confusion-matrix",
        table=confusion_rows(summary),
        description="Test images by true class (rows) and predicted class (columns)",
    )
