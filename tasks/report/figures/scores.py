"""Figures of metrics: learning curve, confusion matrix, class scores, calibration."""

from collections.abc import Sequence
from math import ceil, floor, log10

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    MaxNLocator,
    NullLocator,
    PercentFormatter,
)
from numpy.typing import NDArray

from tasks.records import ClassMetrics, ConfidenceBin, Evaluation, Metrics
from tasks.report.figures.canvas import (
    BLUE,
    FRAME,
    GREEN,
    INK,
    LABEL,
    MARGIN,
    ORANGE,
    SMALL,
    TICK,
    WIDTH,
    colour_bar,
    frame,
    new_figure,
    scaled_axes,
    shortened,
    text_width,
    write,
)
from tasks.report.figures.report_figure import ReportFigure
from tasks.statistics import wilson_interval
from tasks.words import percent


def confusion_matrix(matrix: NDArray[np.integer], class_names: Sequence[str]) -> Figure:
    """Return a confusion matrix.

    The colour scale is logarithmic, so single errors show beside a diagonal of thousands; white
    is zero. Counts are written into the cells if they fit.

    Args:
        matrix: [classes, classes], rows true, columns predicted.
        class_names: name of each class.
    """
    classes = len(class_names)
    cell = min(160, max(40 if classes <= 30 else 28, 720 // classes))
    side = cell * classes
    size = TICK if cell >= 40 else 9.0
    names = shortened(class_names, 300, size)
    widest = max(text_width(name, size) for name in names)
    upright = widest <= 0.9 * cell
    most = max(10, int(matrix.max(initial=0)))
    left = MARGIN + 56 + widest
    figure = new_figure(
        left + side + 32 + 28 + text_width(f"{most:,}", TICK) + 72,
        MARGIN + side + (28 if upright else widest) + 72,
    )
    axes = scaled_axes(figure, left, MARGIN, side, side)

    norm = LogNorm(1, most)
    blues = colormaps["Blues"](np.linspace(0.12, 1, 256))
    colours = LinearSegmentedColormap.from_list("counts", blues).with_extremes(bad="white")
    shown = np.ma.masked_equal(matrix, 0)
    axes.imshow(shown, norm=norm, cmap=colours, interpolation="nearest", aspect="auto")
    _counts(axes, matrix, colours(norm(shown)), cell)

    places = range(classes)
    axes.set_xticks(places, names, rotation=0 if upright else 90, parse_math=False)
    axes.set_yticks(places, names, parse_math=False)
    axes.tick_params(length=0, labelsize=size, labelcolor=INK)
    axes.set_xlabel("Predicted", fontsize=LABEL, color=INK, labelpad=6)
    axes.set_ylabel("True", fontsize=LABEL, color=INK, labelpad=6)
    for edges in (axes.axvline, axes.axhline):
        for edge in range(1, classes):
            edges(edge - 0.5, color="0.85", linewidth=0.6)
    frame(axes)

    bar = scaled_axes(figure, left + side + 32, MARGIN, 28, side)
    ticks = {10.0**k: f"{10**k:,}" for k in range(len(str(most)))}
    colour_bar(bar, norm, colours, "Images (white: none)", ticks)
    return figure


def _counts(
    axes: Axes, matrix: NDArray[np.integer], colours: NDArray[np.float64], cell: int
) -> None:
    """Write each count above zero into its cell, if the longest one fits."""
    digits = len(str(matrix.max(initial=0)))
    size = min(LABEL, 85 * cell / text_width("0" * digits, 100))
    if size < 7:
        return
    for row, column in np.argwhere(matrix):
        axes.text(
            column,
            row,
            str(matrix[row, column]),
            ha="center",
            va="center_baseline",
            fontsize=size,
            color=_readable_on(colours[row, column]),
        )


def _readable_on(colour: NDArray[np.float64]) -> str:
    """Return black or white, whichever has more contrast (WCAG 2.2, relative luminance)."""
    channels = colour[:3]
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ (0.2126, 0.7152, 0.0722) > 0.179 else "white"


def learning_curve(
    iterations: Sequence[int] | NDArray[np.integer],
    batch_accuracy: Sequence[float] | NDArray[np.floating],
    batch_loss: Sequence[float] | NDArray[np.floating],
    milestones: Sequence[tuple[int, int, int]],
) -> Figure:
    """Return accuracy and loss over training.

    Args:
        iterations: iterations of the measured batches.
        batch_accuracy: accuracy on that batch, from 0 to 1.
        batch_loss: mean cross-entropy of that batch.
        milestones: (iteration, correct, total) of the test split.
    """
    left, across = 150, WIDTH - 150 - MARGIN - 16
    figure = new_figure(WIDTH, 910)
    upper = scaled_axes(figure, left, 72, across, 420)
    lower = scaled_axes(figure, left, 72 + 420 + 36, across, 280)

    last = max([*iterations, *(iteration for iteration, _, _ in milestones), 1])
    for axes, name in ((upper, "Accuracy"), (lower, "Loss (log scale)")):
        _iteration_axis(axes, last)
        axes.set_ylabel(name, fontsize=LABEL, color=INK)
        axes.yaxis.set_label_coords(-110 / across, 0.5)
    upper.tick_params(labelbottom=False)
    upper.set_ylim(0, 1.03)
    upper.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    upper.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    lower.set_xlabel("Iteration (log scale)", fontsize=LABEL, color=INK)
    _loss_axis(lower, np.asarray(batch_loss, dtype=float))

    if len(iterations):
        style = "-" if len(iterations) > 1 else "o"
        for axes, values in ((upper, batch_accuracy), (lower, batch_loss)):
            axes.plot(iterations, values, style, color=BLUE, lw=1, ms=4, label="Training batch")
    else:
        lower.set_title("No training iterations", y=0.45, fontsize=LABEL, color=INK)
    if milestones:
        _milestones(upper, milestones)
    if len(iterations) or milestones:
        _legend_above(upper)
    return figure


def _milestones(axes: Axes, milestones: Sequence[tuple[int, int, int]]) -> None:
    """Draw test accuracies (iteration, correct, total) as points with 95 % intervals."""
    accuracy = np.array([correct / max(total, 1) for _, correct, total in milestones])
    intervals = np.array([wilson_interval(correct, total) for _, correct, total in milestones])
    axes.errorbar(
        [iteration for iteration, _, _ in milestones],
        accuracy,
        yerr=np.abs(intervals.T - accuracy),
        fmt="o",
        color=ORANGE,
        ms=4,
        capsize=5,
        label="Test split, 95 % interval",
    )


def _iteration_axis(axes: Axes, last: int) -> None:
    """Set a logarithmic x-axis that includes 0, for milestones 0, 1, 100, 1,000 …"""
    axes.set_xscale("symlog", linthresh=1, linscale=0.5)
    axes.set_xlim(-0.25, last * 1.6)
    powers = [10**k for k in range(len(str(last)))]
    axes.xaxis.set_major_locator(FixedLocator([0, *powers]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.tick_params(labelsize=TICK, labelcolor=INK, color=FRAME)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    frame(axes)


def _loss_axis(axes: Axes, loss: NDArray[np.float64]) -> None:
    """Set a logarithmic y-axis around the losses above zero, with round ticks."""
    loss = loss[np.isfinite(loss) & (loss > 0)]
    low, high = (loss.min() / 2, loss.max() * 2) if loss.size else (0.1, 1.0)
    first, last = floor(log10(low)), ceil(log10(high))
    span = last - first
    steps: tuple[int, ...] = (1, 2, 5) if span <= 2 else (1, 3) if span <= 4 else (1,)
    decades = range(first, last + 1, ceil(span / 8))
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _legend_above(axes: Axes) -> None:
    """Put a legend above axes."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.3,
        ncols=3,
        frameon=False,
        fontsize=TICK,
        labelcolor=INK,
    )


def class_scores(metrics: Sequence[ClassMetrics], class_names: Sequence[str]) -> Figure:
    """Return precision, recall and F1 of each class as dots, with its number of images.

    The scale begins just below the lowest value: dots, unlike bars, need no zero. Undefined
    values, such as the recall of a class without images, have no dot.

    Args:
        metrics: metrics of each class.
        class_names: name of each class.
    """
    line = 44 if len(metrics) <= 30 else 30
    names = shortened(class_names, 200, TICK)
    left = MARGIN + max(text_width(name, TICK) for name in names) + 16
    right = max(text_width(t, TICK) for t in ["Images", *(f"{m.support:,}" for m in metrics)])
    across, down, top = WIDTH - left - right - 40 - MARGIN, line * len(metrics), MARGIN + 52
    figure = new_figure(WIDTH, top + down + 100)
    axes = scaled_axes(figure, left, top, across, down)
    values = [v for m in metrics for v in (m.precision, m.recall, m.f1) if v is not None]
    low, step = _percent_scale(min(values, default=0.0))
    axes.set(xlim=(low - (1 - low) / 40, 1 + (1 - low) / 40), ylim=(len(metrics) - 0.5, -0.5))
    axes.set_xticks(np.arange(round((1 - low) / step) + 1) * step + low)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.set_yticks(range(len(metrics)), names, parse_math=False)
    axes.tick_params(labelsize=TICK, labelcolor=INK, color=FRAME)
    axes.tick_params(axis="y", length=0)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    frame(axes)
    # Shifted vertically, so that equal values do not hide each other.
    for name, marker, colour, shift in (
        ("precision", "^", ORANGE, -0.2),
        ("F1", "D", GREEN, 0.0),
        ("recall", "o", BLUE, 0.2),
    ):
        points = [
            (value, i + shift)
            for i, m in enumerate(metrics)
            if (value := getattr(m, name.lower())) is not None
        ]
        x, y = np.array(points).reshape(-1, 2).T
        axes.plot(x, y, marker, color=colour, ms=5, label=name.capitalize())
    _legend_above(axes)
    axes.set_xlabel("Share (the scale does not begin at 0)", fontsize=LABEL, color=INK)
    if low == 0:
        axes.set_xlabel("Share", fontsize=LABEL, color=INK)
    write(figure, WIDTH - MARGIN, MARGIN + 12, "Images", TICK, align="right")
    for i, m in enumerate(metrics):
        middle = top + (i + 0.5) * line
        support = f"{m.support:,}"
        write(figure, WIDTH - MARGIN, middle, support, TICK, align="right", vertical="center")
    return figure


def _percent_scale(lowest: float) -> tuple[float, float]:
    """Return the start of a scale up to 1 that includes the lowest value, and its tick step."""
    for low, step in ((0.95, 0.01), (0.9, 0.02), (0.8, 0.05), (0.5, 0.1)):
        if lowest >= low:
            return low, step
    return 0.0, 0.2


def calibration(bins: Sequence[ConfidenceBin], error: float) -> Figure:
    """Return a reliability diagram, with the number of images in each bin.

    Args:
        bins: bins of equal width, from 0 to 1.
        error: expected calibration error, from 0 to 1.
    """
    left, across = 150, WIDTH - 150 - MARGIN - 16
    figure = new_figure(WIDTH, 1180)
    upper = scaled_axes(figure, left, 110, across, 600)
    lower = scaled_axes(figure, left, 110 + 600 + 36, across, 320)
    write(figure, MARGIN, MARGIN, f"Expected calibration error {100 * error:.2f} %", LABEL)
    for axes, name in ((upper, "Share that is right"), (lower, "Images (log scale)")):
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        axes.tick_params(labelsize=TICK, labelcolor=INK, color=FRAME)
        axes.grid(color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.set_ylabel(name, fontsize=LABEL, color=INK)
        axes.yaxis.set_label_coords(-110 / across, 0.5)
        frame(axes)
    upper.tick_params(labelbottom=False)
    upper.set_ylim(-0.02, 1.02)
    upper.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    upper.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    lower.set_xlabel("Confidence: the highest probability", fontsize=LABEL, color=INK)

    upper.plot([0, 1], [0, 1], "--", color=FRAME, lw=1, label="As sure as right")
    filled = [b for b in bins if b.confidence is not None]
    if filled:
        accuracy = np.array([b.correct / b.count for b in filled])
        intervals = np.array([wilson_interval(b.correct, b.count) for b in filled])
        upper.errorbar(
            [b.confidence for b in filled if b.confidence is not None],
            accuracy,
            yerr=np.abs(intervals.T - accuracy),
            fmt="o",
            color=BLUE,
            ms=5,
            capsize=5,
            clip_on=False,
            label="Test images, 95 % interval",
        )
    _legend_above(upper)
    _bin_counts(lower, bins, across)
    return figure


def _bin_counts(axes: Axes, bins: Sequence[ConfidenceBin], across: int) -> None:
    """Draw a bar for each bin that has images, with their number above it."""
    most = max((b.count for b in bins), default=0)
    axes.set_yscale("log")
    axes.set_ylim(0.5, max(10, most) * 4)
    decades = MaxNLocator(5, integer=True).tick_values(0, log10(max(10, most)))
    ticks = [10.0**k for k in decades if k >= 0 and 10.0**k <= max(10, most)]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    size = min(SMALL, 95 * across / max(len(bins), 1) / text_width(compact(most), 100))
    for b in bins:
        if b.count:
            middle, width = (b.low + b.high) / 2, b.high - b.low
            axes.bar(middle, b.count - 0.5, width * 0.9, bottom=0.5, color=BLUE)
            axes.text(
                middle, b.count * 1.2, compact(b.count), ha="center", fontsize=size, color=INK
            )


def compact(count: int) -> str:
    """Return a count below a million in at most four characters."""
    return str(count) if count < 10_000 else f"{count / 1000:.0f}k"


def learning_curve_figure(
    curve: tuple[NDArray[np.integer], NDArray[np.floating], NDArray[np.floating]],
    evaluations: Sequence[Evaluation],
) -> ReportFigure:
    """Return the learning curve with the milestones.

    Args:
        curve: iterations, accuracy and loss of the measured batches.
        evaluations: evaluation of the test split at each milestone.
    """
    first, last = evaluations[0], evaluations[-1]
    return ReportFigure(
        figure=learning_curve(*curve, [(e.iteration, e.correct, e.total) for e in evaluations]),
        name="learning-curve",
        title="Learning curve",
        caption="Accuracy and loss of the training batch every 100 iterations, and the accuracy on"
        " the test split at each milestone with its 95 % interval.",
        alt=f"Test accuracy rises from {percent(first.correct / first.total, 1)} at iteration"
        f" {first.iteration:,} to {percent(last.correct / last.total, 1)} at {last.iteration:,}.",
    )


def confusion_matrix_figure(matrix: NDArray[np.integer], names: Sequence[str]) -> ReportFigure:
    """Return the confusion matrix [classes, classes], rows true, columns predicted."""
    errors = matrix - np.diag(np.diag(matrix))
    true, predicted = np.unravel_index(errors.argmax(), errors.shape)
    worst = int(errors[true, predicted])
    return ReportFigure(
        figure=confusion_matrix(matrix, names),
        name="confusion-matrix",
        title="Confusion matrix",
        caption="Test images by true class (rows) and predicted class (columns). The colour scale"
        " is logarithmic, so single errors show beside the diagonal.",
        alt=f"Confusion matrix. Most often confused: {names[true]} taken for"
        f" {names[predicted]}, {worst} times."
        if worst
        else "Confusion matrix without errors.",
    )


def class_scores_figure(metrics: Sequence[ClassMetrics], names: Sequence[str]) -> ReportFigure:
    """Return precision, recall and F1 of each class."""
    known = [(m.f1, name) for m, name in zip(metrics, names, strict=True) if m.f1 is not None]
    worst, best = min(known, default=(0.0, "")), max(known, default=(0.0, ""))
    return ReportFigure(
        figure=class_scores(metrics, names),
        name="class-scores",
        title="Scores of each class",
        caption="Precision (the share of the images predicted as a class that are of it), recall"
        " (the share of the images of a class that are predicted as it), F1 (their harmonic mean),"
        " and the number of test images of each class.",
        alt=f"F1 lies between {percent(worst[0], 1)} for {worst[1]} and {percent(best[0], 1)} for"
        f" {best[1]}."
        if known
        else "No score of any class is defined.",
    )


def calibration_figure(metrics: Metrics) -> ReportFigure:
    """Return the reliability diagram."""
    return ReportFigure(
        figure=calibration(metrics.bins, metrics.calibration_error),
        name="calibration",
        title="Calibration",
        caption="Above, accuracy against confidence: on the dashed line both are equal, below it"
        f" the network is overconfident. Each dot is one of {len(metrics.bins)} bins of equal"
        " width; the bars below show the number of images in each.",
        alt="Reliability diagram. The expected calibration error is"
        f" {percent(metrics.calibration_error)}.",
    )
