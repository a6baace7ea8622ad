"""Figures of metrics: learning curve, confusion matrix, calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    NullFormatter,
    NullLocator,
    PercentFormatter,
)
from numpy.typing import NDArray

from tasks.records import Classification, Evaluation, Metrics
from tasks.report.figures.canvas import (
    BLUE,
    FRAME,
    GREEN,
    INK,
    LABEL,
    ORANGE,
    SMALL,
    TICK,
    legend_above,
    plots,
    shortened,
)
from tasks.report.figures.report_figure import ReportFigure
from tasks.report.runs import Curve
from tasks.report.summary import Milestone
from tasks.statistics import wilson_interval
from tasks.words import percent

MOST_COUNTS = 20
"""Maximum number of classes whose counts are written into the confusion matrix."""


def confusion_matrix(matrix: NDArray[np.integer], names: Sequence[str]) -> ReportFigure:
    """Draw the confusion matrix [classes, classes], rows true, columns predicted."""
    errors = matrix - np.diag(np.diag(matrix))
    true, predicted = np.unravel_index(errors.argmax(), errors.shape)
    worst, classes, most = int(errors.max()), len(names), max(10, int(matrix.max(initial=0)))
    figure = plots(960, width=1100)
    (axes,) = figure.axes
    axes.grid(visible=False)
    blues = colormaps["Blues"](np.linspace(0.12, 1, 256))
    colours = LinearSegmentedColormap.from_list("counts", blues).with_extremes(bad="white")
    shown = axes.imshow(np.ma.masked_equal(matrix, 0), cmap=colours, norm=LogNorm(1, most))
    for row, column in np.argwhere(matrix) if classes <= MOST_COUNTS else ():
        count = int(matrix[row, column])
        ink = "white" if count > most**0.6 else "black"
        axes.text(column, row, str(count), ha="center", va="center", fontsize=SMALL, color=ink)
    short = shortened(names, 200, SMALL)
    size = SMALL if classes <= 30 else 5
    turned = 90 if max(map(len, short)) > 3 else 0
    axes.set_xticks(range(classes), short, rotation=turned, parse_math=False)
    axes.set_yticks(range(classes), short, parse_math=False)
    axes.tick_params(length=0, labelsize=size)
    axes.set_xlabel("Predicted", fontsize=LABEL, color=INK)
    axes.set_ylabel("True", fontsize=LABEL, color=INK)
    bar = figure.colorbar(shown, format=FuncFormatter(lambda n, _: f"{n:,.0f}"), shrink=0.85)
    bar.set_label("Images (white: none)", fontsize=TICK, color=INK)
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    return ReportFigure(
        figure=figure,
        name="confusion-matrix",
        title="Confusion matrix",
        caption="Test images by true class (rows) and predicted class (columns). The colour scale"
        " is logarithmic, so single errors show beside the diagonal.",
        alt=f"Confusion matrix. Most often confused: {names[true]} taken for"
        f" {names[predicted]}, {worst} times."
        if worst
        else "Confusion matrix without errors.",
    )


def learning_curve(
    curve: Mapping[str, NDArray[Any]], evaluations: Sequence[Evaluation]
) -> ReportFigure:
    """Draw accuracy and loss over training.

    Args:
        curve: `iteration`, `accuracy` and `loss` of the measured batches.
        evaluations: at each milestone; those of the test split are told in the alternative text.
    """
    figure = plots(900, rows=2, sharex=True, height_ratios=(3, 2))
    upper, lower = figure.axes
    upper.set_ylabel("Accuracy", fontsize=LABEL, color=INK)
    upper.set_ylim(0, 1.02)
    upper.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    lower.set_ylabel("Loss (log scale)", fontsize=LABEL, color=INK)
    steps = curve["iteration"]
    draw_batches(upper, steps, curve["accuracy"])
    draw_batches(lower, steps, np.where(curve["loss"] > 0, curve["loss"], np.nan))
    at = [made.iteration for made in evaluations]
    validations, tests = [e.validation for e in evaluations], [e.test for e in evaluations]
    draw_milestones(upper, at, validations, "Validation split", GREEN, "^")
    draw_milestones(upper, at, tests, "Test split", ORANGE, "o")
    loss_axis(lower)
    iteration_axis(lower, max([at[-1], *steps.tolist()]))
    first, last = (percent(made.correct / made.total, 1) for made in (tests[0], tests[-1]))
    legend_above(upper)
    return ReportFigure(
        figure=figure,
        name="learning-curve",
        title="Learning curve",
        caption="Above, the share of images that are right: of the training batch just learned,"
        " every 100 iterations, and of whole splits at each milestone with the 95 % interval. A"
        " single batch is small, so its line jumps; only the points of the splits are measured on"
        " thousands of images. Below, the loss of the same batches.",
        alt=f"Test accuracy rises from {first} at iteration {at[0]:,} to {last} at {at[-1]:,}.",
    )


def compared_curves(runs: Sequence[tuple[str, Curve, Sequence[Milestone]]]) -> Figure:
    """Draw validation accuracy and loss of several runs on one axis.

    Args:
        runs: title, measured batches and milestones of each.
    """
    figure = plots(900, rows=2, sharex=True, height_ratios=(3, 2))
    upper, lower = figure.axes
    for (title, curve, milestones), colour in zip(runs, (BLUE, ORANGE), strict=True):
        steps = [m.iteration for m in milestones]
        shares = [m.validation.accuracy for m in milestones]
        upper.plot(
            steps, shares, "o-", color=colour, lw=1, ms=4, label=shortened([title], 330, TICK)[0]
        )
        lower.plot(
            curve.iteration, [x or np.nan for x in curve.loss], color=colour, lw=0.9, alpha=0.8
        )
    upper.set_ylim(0, 1.02)
    upper.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    upper.set_ylabel("Validation accuracy", fontsize=LABEL, color=INK)
    lower.set_ylabel("Loss (log scale)", fontsize=LABEL, color=INK)
    loss_axis(lower)
    iteration_axis(lower, max(m.iteration for _, _, milestones in runs for m in milestones))
    legend_above(upper)
    return figure


def draw_batches(axes: Axes, steps: NDArray[np.generic], values: NDArray[np.generic]) -> None:
    """Draw the values of single batches, each with a dot if they are few."""
    marker = "." if len(steps) <= 30 else ""
    axes.plot(steps, values, color=BLUE, lw=0.9, alpha=0.8, marker=marker, label="Training batch")


def draw_milestones(
    axes: Axes,
    at: Sequence[int],
    made: Sequence[Classification],
    label: str,
    colour: str,
    marker: str,
) -> None:
    """Draw the accuracies of a split as points with 95 % intervals."""
    accuracy = np.array([e.correct / max(e.total, 1) for e in made])
    intervals = np.array([wilson_interval(e.correct, e.total) for e in made])
    axes.errorbar(
        at,
        accuracy,
        yerr=np.abs(intervals.T - accuracy),
        fmt=marker,
        color=colour,
        ms=5,
        capsize=4,
        label=label,
    )


def iteration_axis(axes: Axes, last: int) -> None:
    """Set a logarithmic x-axis that includes 0, for milestones 0, 1, 100, 1,000 …"""
    axes.set_xscale("symlog", linthresh=1, linscale=0.5)
    axes.set_xlim(-0.25, max(last, 1) * 1.6)
    axes.set_xticks([0, *(10**k for k in range(len(str(last))))])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("Iteration (log scale)", fontsize=LABEL, color=INK)


def loss_axis(axes: Axes) -> None:
    """Set a logarithmic y-axis with plain numbers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def calibration(metrics: Metrics) -> ReportFigure:
    """Draw a reliability diagram, with the number of images in each bin."""
    figure = plots(900, rows=2, sharex=True, height_ratios=(2, 1))
    upper, lower = figure.axes
    percents = PercentFormatter(1, decimals=0, symbol=" %")
    upper.plot([0, 1], [0, 1], "--", color=FRAME, lw=1, label="As sure as right")
    filled = [b for b in metrics.bins if b.confidence is not None]
    accuracy = np.array([b.correct / b.count for b in filled])
    intervals = np.array([wilson_interval(b.correct, b.count) for b in filled]).reshape(-1, 2)
    upper.errorbar(
        [b.confidence or 0 for b in filled],
        accuracy,
        yerr=np.abs(intervals.T - accuracy),
        fmt="o",
        color=BLUE,
        ms=5,
        capsize=4,
        label="Test images, 95 % interval",
    )
    upper.set(ylim=(-0.02, 1.02))
    upper.yaxis.set_major_formatter(percents)
    upper.set_ylabel("Share that is right", fontsize=LABEL, color=INK)
    widths = [0.9 * (b.high - b.low) for b in filled]
    middles = [(b.low + b.high) / 2 for b in filled]
    counts = [b.count for b in filled]
    bars = lower.bar(middles, counts, widths, color=BLUE)
    lower.bar_label(bars, [f"{count:,}" for count in counts], fontsize=6.5, color=INK)
    lower.set_yscale("log")
    lower.set(xlim=(0, 1), ylim=(0.5, 5 * max([10, *counts])))
    lower.xaxis.set_major_formatter(percents)
    lower.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    lower.yaxis.set_minor_locator(NullLocator())
    lower.set_ylabel("Images (log scale)", fontsize=LABEL, color=INK)
    lower.set_xlabel("Confidence: the highest probability", fontsize=LABEL, color=INK)
    legend_above(upper)
    return ReportFigure(
        figure=figure,
        name="calibration",
        title="Calibration",
        caption=f"Accuracy against confidence in {len(metrics.bins)} bins; on the dashed line both"
        f" are equal. {VERDICTS[leaning(metrics)]} The expected calibration error is"
        f" {percent(metrics.calibration_error)}; scoring divides the logits by a temperature fitted"
        " on the validation split, which removes most of it.",
        alt="Reliability diagram. The expected calibration error is"
        f" {percent(metrics.calibration_error)}.",
    )


VERDICTS = {
    "under": "The dots lie above the line: the network is right more often than it says, as"
    " networks trained with label smoothing are.",
    "over": "The dots lie below the line: the network is less often right than it says.",
    "neither": "The dots lie on both sides of the line: on average the network is as sure as it is"
    " right.",
}


def leaning(metrics: Metrics) -> str:
    """Return whether most of the calibration error comes from too little or too much confidence."""
    gaps = [b.correct - b.count * b.confidence for b in metrics.bins if b.confidence is not None]
    total, size = sum(gaps), sum(map(abs, gaps))
    if abs(total) < 0.5 * size or size == 0:
        return "neither"
    return "under" if total > 0 else "over"
