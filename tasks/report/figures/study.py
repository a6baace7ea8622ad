"""Figure of a study: variants side by side, and networks by size and error."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from tasks.records import ChartPoint, ChartRow, StudyChart
from tasks.report.figures.canvas import (
    BLUE,
    FRAME,
    INK,
    LABEL,
    MARGIN,
    ORANGE,
    PALE,
    SMALL,
    TICK,
    frame,
    new_figure,
    scaled_axes,
    sentence,
    text_width,
    wrapped,
    write,
)

WIDE = 1280
ROW = 72
LABELS = 380
"""Maximum width of the variant names in dots."""
TIMES = 230
"""Width of the time bars in dots."""
LEAST_ERROR = 1e-4
"""Smallest error on the log scale, which has no zero: one image in 10,000."""


def study(chart: StudyChart) -> Figure:
    """Return test error and time of each variant: each seed, and the mean with its interval.

    The networks of a search are shown below, by parameters and validation error.
    """
    if not chart.rows:
        return sentence("Nothing has been run")
    rows_high = ROW * len(chart.rows)
    search_high = 560 if chart.points else 0
    top = 64
    figure = new_figure(WIDE, top + rows_high + 110 + search_high)
    left = 2 * MARGIN + min(LABELS, max(text_width(row.label, TICK) for row in chart.rows))
    across = WIDE - left - TIMES - 5 * MARGIN
    errors = scaled_axes(figure, left, top, across, rows_high)
    times = scaled_axes(figure, left + across + 2 * MARGIN, top, TIMES, rows_high)
    draw_errors(errors, chart.rows)
    draw_times(times, chart.rows)
    for axes, name in ((errors, "Test error, log scale"), (times, "CPU ms per iteration")):
        axes.set_xlabel(name, fontsize=LABEL, color=INK)
        axes.set_ylim(len(chart.rows) - 0.5, -0.5)
        axes.yaxis.set_major_locator(NullLocator())
        axes.tick_params(labelsize=TICK, labelcolor=INK, color=FRAME)
        axes.set_axisbelow(True)
        frame(axes)
    for n, row in enumerate(chart.rows):
        write(
            figure,
            left - 12,
            top + ROW * (n + 0.5),
            wrapped(row.label, LABELS, TICK),
            TICK,
            align="right",
            vertical="center",
        )
    write(figure, left, 18, "dots: seeds; circle and bar: mean and 95 % interval", TICK)
    if chart.points:
        place = scaled_axes(
            figure, left, top + rows_high + 150, WIDE - left - 3 * MARGIN, search_high - 170
        )
        draw_search(place, chart.points)
    return figure


def percent_axis(axes: Axes, horizontal: bool, shares: Sequence[float]) -> None:
    """Set a logarithmic axis around shares, with round percentages as ticks."""
    low = max(LEAST_ERROR, min(shares)) / 1.25
    high = min(1.0, max(shares)) * 1.25
    ticks = [m * 10.0**p for p in range(-5, 1) for m in (1, 2, 5)]
    inside = [tick for tick in ticks if low <= tick <= high]
    if len(inside) < 2:
        ticks = [m * 10.0**p for p in range(-5, 1) for m in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)]
        inside = [tick for tick in ticks if low <= tick <= high]
    while len(inside) > 7:
        inside = inside[::2]
    axis = axes.xaxis if horizontal else axes.yaxis
    (axes.set_xscale if horizontal else axes.set_yscale)("log")
    (axes.set_xlim if horizontal else axes.set_ylim)(low, high)
    axis.set_major_locator(FixedLocator(inside))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g} %"))
    axis.set_minor_formatter(NullFormatter())
    axes.grid(color="0.9", linewidth=0.8)


def draw_errors(axes: Axes, rows: Sequence[ChartRow]) -> None:
    """Draw test errors on a log scale; further left is better."""
    shown = [max(LEAST_ERROR, e) for row in rows for e in (*row.errors, row.mean)]
    least, most = min(shown) / 2, min(1.0, 2 * max(shown))
    for n, row in enumerate(rows):
        axes.plot(
            np.maximum(row.errors, LEAST_ERROR),
            [n + 0.2] * len(row.errors),
            "o",
            color=PALE,
            ms=5,
            mec="0.4",
            mew=0.6,
        )
        mean = max(LEAST_ERROR, row.mean)
        if row.low is not None and row.high is not None:
            # The interval of few seeds is wide and may reach below zero: clip it to the axes.
            ends = max(least, row.low), min(most, row.high)
            shown += ends
            axes.plot(ends, [n - 0.1] * 2, "|-", color=BLUE, lw=2, ms=9, mew=2)
        axes.plot([mean], [n - 0.1], "o", color=BLUE, ms=7)
    percent_axis(axes, True, shown)


def draw_times(axes: Axes, rows: Sequence[ChartRow]) -> None:
    """Draw milliseconds as bars with their number."""
    most = max(row.milliseconds for row in rows) or 1.0
    axes.barh(range(len(rows)), [row.milliseconds for row in rows], height=0.45, color="0.82")
    for n, row in enumerate(rows):
        text = f"{row.milliseconds:.1f}"
        axes.text(0.04 * most, n, text, fontsize=TICK, color=INK, va="center")
    axes.set_xlim(0, 1.08 * most)
    axes.xaxis.set_major_locator(NullLocator())


def draw_search(axes: Axes, points: Sequence[ChartPoint]) -> None:
    """Draw networks by parameters and validation error on log scales, and the Pareto front."""
    others = [p for p in points if not p.on_front]
    best = sorted((p for p in points if p.on_front), key=lambda p: p.parameters)
    axes.plot(
        [p.parameters for p in others],
        [max(LEAST_ERROR, p.error) for p in others],
        "o",
        color=PALE,
        mec="0.4",
        mew=0.6,
        ms=6,
        label="tried",
    )
    axes.plot(
        [p.parameters for p in best],
        [max(LEAST_ERROR, p.error) for p in best],
        "o-",
        color=BLUE,
        ms=7,
        drawstyle="steps-post",
        label="none is smaller and as good",
    )
    if chosen := [p for p in points if p.chosen]:
        axes.plot(
            [p.parameters for p in chosen],
            [max(LEAST_ERROR, p.error) for p in chosen],
            "o",
            color="none",
            mec=ORANGE,
            mew=2.5,
            ms=14,
            label="the smallest good one",
        )
    percent_axis(axes, False, [max(LEAST_ERROR, p.error) for p in points])
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("Parameters, log scale", fontsize=LABEL, color=INK)
    axes.set_ylabel("Validation error, log scale", fontsize=LABEL, color=INK)
    axes.tick_params(labelsize=TICK, labelcolor=INK, color=FRAME)
    axes.legend(loc="upper right", fontsize=SMALL + 1, frameon=True, labelcolor=INK)
    frame(axes)
