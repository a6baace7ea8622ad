"""Figure of an exercise: its variants below each other, each run a dot.

It is as wide as a phone's screen shows at two dots for each CSS pixel, and no wider, so that its
text can be read there and on a large screen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from tasks.report.figures.canvas import (
    BLUE,
    GREEN,
    INK,
    LABEL,
    MARGIN,
    ORANGE,
    PALE,
    TICK,
    frame,
    new_figure,
    scaled_axes,
    text_width,
    wrapped,
    write,
)

WIDE = 760
ROW = 96
"""Height of a variant in dots: a line of text, and its dots."""
LEAST_ERROR = 1e-4
"""Smallest error on the log scale, which has no zero: one image in 10,000."""
COLOURS = {"better": BLUE, "worse": ORANGE, "same": GREEN}
"""Colours of verdicts; everything else is black."""


@dataclass(frozen=True)
class PlottedVariant:
    """A variant in the plot."""

    label: str
    note: str
    """Text at the right."""
    errors: Sequence[float]
    """Share of wrong test images of each run."""
    low: float
    high: float
    """The 95 % interval of their mean."""
    verdict: str


def study(variants: Sequence[PlottedVariant]) -> Figure:
    """Return the test errors of each variant: each run a dot, the mean with its interval."""
    high = ROW * len(variants)
    figure = new_figure(WIDE, MARGIN + high + 110)
    axes = scaled_axes(figure, MARGIN, MARGIN, WIDE - 2 * MARGIN, high)
    axes.patch.set_alpha(0)  # names are written on the sheet below
    for place, variant in enumerate(variants):
        top = MARGIN + ROW * place + 8
        draw_variant(axes, place + 0.22, variant)
        write(figure, WIDE - MARGIN - 10, top, variant.note, TICK, align="right")
        room = WIDE - 2 * MARGIN - 50 - text_width(variant.note, TICK)
        name, *more = wrapped(variant.label, max(room, 200), TICK).splitlines()
        write(figure, MARGIN + 10, top, name + ("…" if more else ""), TICK)
    style(axes, [error for one in variants for error in one.errors], len(variants))
    return figure


def draw_variant(axes: Axes, place: float, variant: PlottedVariant) -> None:
    """Draw the runs of a variant, and their mean with its interval."""
    colour = COLOURS.get(variant.verdict, INK)
    errors = [max(error, LEAST_ERROR) for error in variant.errors]
    mean = max(sum(variant.errors) / len(variant.errors), LEAST_ERROR)
    axes.plot(errors, [place] * len(errors), "o", color=PALE, mec="0.4", mew=0.6, ms=6)
    axes.plot([max(variant.low, LEAST_ERROR), variant.high], [place] * 2, color=colour, lw=2.5)
    axes.plot([mean], [place], "o", color="white", mec=colour, mew=2.5, ms=9)


def style(axes: Axes, shares: Sequence[float], rows: int) -> None:
    """Set a logarithmic axis around the runs, with round percentages as ticks."""
    low, high = max(LEAST_ERROR, min(shares)) / 1.3, max(LEAST_ERROR, *shares) * 1.3
    axes.set(xlim=(low, high), ylim=(rows - 0.5, -0.5), xscale="log")
    axes.yaxis.set_major_locator(NullLocator())
    axes.xaxis.set_major_locator(FixedLocator(round_ticks(low, high)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.set_xlabel("Wrong test images; each run a dot, the mean a ring", fontsize=LABEL, color=INK)
    axes.tick_params(labelsize=TICK, labelcolor=INK)
    for row in range(1, rows):
        axes.axhline(row - 0.5, color="0.9", lw=0.8)
    frame(axes)


def round_ticks(low: float, high: float) -> list[float]:
    """Return a few round shares between low and high, evenly spread on a log scale."""
    for steps in ((1.0,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.2, 1.4, 1.6, 2, 2.5)):
        ticks = [m * 10.0**p for p in range(-4, 1) for m in steps if low <= m * 10.0**p <= high]
        if len(ticks) >= 3:
            break
    return ticks
