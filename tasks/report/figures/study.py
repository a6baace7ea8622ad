"""Figure of a study: variants below each other, and curves where the question asks for them.

It is as wide as a phone's screen shows at two dots for each CSS pixel, and no wider, so that its
text can be read there and on a large screen.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from tasks.records import ChartPanel, ChartRow, ChartSeries, StudyChart
from tasks.report.figures.canvas import (
    BLUE,
    FRAME,
    GREEN,
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

WIDE = 760
ROW = 104
"""Height of a variant in dots: a line of text, and its dots."""
PANEL = 470
"""Height of a panel's axes in dots."""
LEGEND = 36
"""Height of a line of the legend in dots."""
AXIS = 124
"""Width of a vertical axis with its label in dots."""
LEAST_ERROR = 1e-4
"""Smallest error on the log scale, which has no zero: one image in 10,000."""
COLOURS = {"better": BLUE, "worse": ORANGE, "the same": GREEN}
"""Colours of verdicts; everything else is black."""
LINES = (BLUE, ORANGE, GREEN, INK)


def study(chart: StudyChart) -> Figure:
    """Return the test errors of each variant: each seed, and the mean with its interval.

    Panels below show curves: error by learning rate, iterations or parameters.
    """
    if not chart.rows:
        return sentence("Nothing has been run")
    heading = wrapped(
        "Test errors: each seed a dot, the mean a circle with its 95 % interval. Further left is"
        " better. At the right, what is claimed against the first, and time per iteration.",
        WIDE - 2 * MARGIN,
        SMALL + 1,
    )
    top = MARGIN + 30 * len(heading.splitlines()) + 12
    high = ROW * len(chart.rows)
    panels = sum(PANEL + 160 + LEGEND * len(panel.series) for panel in chart.panels)
    figure = new_figure(WIDE, top + high + 100 + panels)
    write(figure, MARGIN, MARGIN, heading, SMALL + 1)
    axes = scaled_axes(figure, MARGIN, top, WIDE - 2 * MARGIN, high)
    axes.patch.set_alpha(0)  # names are written on the sheet below
    draw_errors(axes, chart.rows)
    style_axes(axes)
    axes.set_xlabel("Test error, log scale", fontsize=LABEL, color=INK)
    axes.set_ylim(len(chart.rows) - 0.5, -0.5)
    axes.yaxis.set_major_locator(NullLocator())
    for n, row in enumerate(chart.rows):
        write_row(figure, top + ROW * n, row)
    place = top + high + 100
    for panel in chart.panels:
        write(figure, MARGIN, place, wrapped(panel.title, WIDE - 2 * MARGIN, TICK), TICK)
        place += 50 + LEGEND * len(panel.series)
        draw_panel(
            scaled_axes(figure, MARGIN + AXIS, place, WIDE - 2 * MARGIN - AXIS, PANEL), panel
        )
        place += PANEL + 110
    return figure


def write_row(figure: Figure, top: float, row: ChartRow) -> None:
    """Write name, verdict and time of a variant above its dots."""
    right = WIDE - MARGIN - 10
    write(figure, right, top + 8, row.note, TICK, align="right")
    room = right - MARGIN - 30 - text_width(row.note, TICK)
    name = wrapped(row.label, max(room, 200), TICK).splitlines()
    write(figure, MARGIN + 10, top + 8, name[0] + ("…" if len(name) > 1 else ""), TICK)


def style_axes(axes: Axes) -> None:
    """Give axes the usual ticks and frame."""
    axes.tick_params(labelsize=TICK, labelcolor=INK, color=FRAME)
    axes.set_axisbelow(True)
    frame(axes)


def percent_axis(axes: Axes, horizontal: bool, shares: Sequence[float]) -> None:
    """Set a logarithmic axis around shares, with round percentages as ticks."""
    low = max(LEAST_ERROR, min(shares)) / 1.25
    high = min(1.0, max(shares)) * 1.25
    ticks = [m * 10.0**p for p in range(-5, 1) for m in (1, 2, 5)]
    inside = [tick for tick in ticks if low <= tick <= high]
    if len(inside) < 2:
        ticks = [m * 10.0**p for p in range(-5, 1) for m in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)]
        inside = [tick for tick in ticks if low <= tick <= high]
    while len(inside) > 6:
        inside = inside[::2]
    axis = axes.xaxis if horizontal else axes.yaxis
    (axes.set_xscale if horizontal else axes.set_yscale)("log")
    (axes.set_xlim if horizontal else axes.set_ylim)(low, high)
    axis.set_major_locator(FixedLocator(inside))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g} %"))
    axis.set_minor_formatter(NullFormatter())
    if horizontal and inside and inside[-1] > high / 1.08:
        axes.get_xticklabels()[-1].set_horizontalalignment("right")
    axes.grid(color="0.9", linewidth=0.8)


def draw_errors(axes: Axes, rows: Sequence[ChartRow]) -> None:
    """Draw test errors on a log scale; further left is better."""
    shown = [max(LEAST_ERROR, e) for row in rows for e in (*row.errors, row.mean)]
    least, most = min(shown) / 2, min(1.0, 2 * max(shown))
    for n, row in enumerate(rows):
        axes.plot(
            np.maximum(row.errors, LEAST_ERROR),
            [n + 0.32] * len(row.errors),
            "o",
            color=PALE,
            ms=5,
            mec="0.4",
            mew=0.6,
        )
        colour = COLOURS.get(row.verdict, INK)
        mean = max(LEAST_ERROR, row.mean)
        if row.low is not None and row.high is not None:
            # The interval of few seeds is wide and may reach below zero: clip it to the axes.
            ends = max(least, row.low), min(most, row.high)
            shown += ends
            axes.plot(ends, [n + 0.12] * 2, "|-", color=colour, lw=2, ms=9, mew=2)
        axes.plot([mean], [n + 0.12], "o", color=colour, ms=7)
        if n:
            axes.axhline(n - 0.5, color="0.85", lw=0.8)
    percent_axis(axes, True, shown)


def draw_panel(axes: Axes, panel: ChartPanel) -> None:
    """Draw the series of a panel: errors on a log scale over something else on a log scale."""
    colours = iter(LINES)
    for series in panel.series:
        coloured = series.style in ("line", "steps")
        draw_series(axes, series, next(colours, INK) if coloured else INK)
    style_axes(axes)
    percent_axis(axes, False, [max(LEAST_ERROR, y) for s in panel.series for y in s.ys])
    axes.set_xscale("log")
    axes.margins(x=0.08)  # room for half of a label at the end
    numbers = [x for series in panel.series for x in series.xs]
    ticks = round_ticks(min(numbers), max(numbers))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    )
    axes.set_xlabel(panel.x_label, fontsize=LABEL, color=INK)
    axes.set_ylabel(panel.y_label, fontsize=LABEL, color=INK)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        fontsize=SMALL + 1,
        frameon=False,
        labelcolor=INK,
        borderaxespad=0,
    )


def round_ticks(low: float, high: float) -> list[float]:
    """Return at most four round numbers from low to high, evenly spread on a log scale."""
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [
            m * 10.0**p
            for p in range(-6, 9)
            for m in digits
            if low / 1.01 <= m * 10.0**p <= 1.01 * high
        ]
        if len(ticks) <= 4:
            return ticks
    return ticks[:: len(ticks) // 4 + 1]


def draw_series(axes: Axes, series: ChartSeries, colour: str) -> None:
    """Draw one series in its style."""
    ys = np.maximum(series.ys, LEAST_ERROR)
    if series.style == "dots":
        axes.plot(series.xs, ys, "o", color=PALE, mec="0.4", mew=0.6, ms=6, label=series.label)
    elif series.style == "rings":
        axes.plot(series.xs, ys, "o", color="none", mec=ORANGE, mew=2.5, ms=14, label=series.label)
    else:
        steps = "steps-post" if series.style == "steps" else "default"
        axes.plot(series.xs, ys, "o-", color=colour, ms=7, drawstyle=steps, label=series.label)
