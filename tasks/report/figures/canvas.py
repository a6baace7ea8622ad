"""Drawing functions that all figures share.

A figure has one `Axes` over its whole area, the sheet. Its coordinates are dots, 160 to the inch,
from the upper left corner. Small images, bars and texts are drawn directly on the sheet: one
`Axes` for each of them takes matplotlib twenty times as long. Small images are enlarged by whole
numbers, so each pixel becomes a square with sharp edges. Only plots with a scale have `Axes` of
their own. `save` writes the same bytes for the same figure every time.
"""

import textwrap
from collections.abc import Iterator, Sequence
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import AxesImage
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray
from PIL import Image

DPI = 160
WIDTH = 960
"""Usual width in dots: 480 CSS pixels at two dots per pixel."""
MARGIN = 24
FONT = "DejaVu Sans"
"""Font that comes with matplotlib, so text looks the same on every machine."""
TITLE, LABEL, TICK, SMALL = 13.0, 12.0, 11.0, 9.0
"""Font sizes in points."""
INK, FRAME, PALE = "0.13", "0.6", "0.75"
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
"""Colours of Okabe and Ito's palette, distinct with every kind of colour vision."""
NOT_FINITE = "#7fbf7f"
"""Colour of NaN and infinity: green is in neither `binary` nor `seismic`."""


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as PNG with at most 256 colours.

    The same figure gives the same bytes: no date, no software version, a font that comes with
    matplotlib.
    """
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_fontfamily(FONT)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    dots = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    image = Image.fromarray(dots).convert("RGB")
    palette = image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette.save(path, format="PNG", optimize=True)


def new_figure(width: int, height: int) -> Figure:
    """Return a figure with an empty sheet; width and height in dots."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    sheet = figure.add_axes((0, 0, 1, 1))
    sheet.set(xlim=(0, width), ylim=(height, 0), zorder=-1)
    sheet.set_axis_off()
    for axis in (sheet.xaxis, sheet.yaxis):
        axis.set_major_locator(NullLocator())  # creating ticks is slow, even if they are hidden
    return figure


def sheet_of(figure: Figure) -> Axes:
    """Return the axes that cover the figure."""
    return figure.axes[0]


def scaled_axes(figure: Figure, left: int, top: int, width: int, height: int) -> Axes:
    """Add axes with their own scales at a place on the sheet, in dots."""
    across, down = figure.get_size_inches() * DPI
    return figure.add_axes(
        (left / across, 1 - (top + height) / down, width / across, height / down)
    )


def draw_image(
    figure: Figure,
    image: NDArray[np.generic],
    box: tuple[int, int, int, int],
    norm: Normalize,
    colours: Colormap,
) -> None:
    """Draw an image on the sheet, with sharp pixel edges and a frame.

    Args:
        figure: figure of `new_figure`.
        image: [height, width]; values that are not finite become green.
        box: left, top, width, height in dots.
        norm: scale of the values.
        colours: colour map.
    """
    left, top, width, height = box
    sheet = sheet_of(figure)
    shown = AxesImage(
        sheet,
        norm=norm,
        cmap=colours.with_extremes(bad=NOT_FINITE),
        interpolation="nearest",
        origin="upper",
        extent=(left, left + width, top + height, top),
    )
    shown.set_data(np.ma.masked_invalid(image))
    sheet.add_image(shown)
    rectangle(figure, box, edge=FRAME)


def rectangle(
    figure: Figure, box: tuple[float, float, float, float], *, fill: str = "none", edge: str = ""
) -> None:
    """Draw a rectangle (left, top, width, height) on the sheet."""
    left, top, width, height = box
    sheet_of(figure).add_artist(
        Rectangle(
            (left, top),
            width,
            height,
            facecolor=fill,
            edgecolor=edge or "none",
            linewidth=0.8 if edge else 0,
        )
    )


def arrow(figure: Figure, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow on the sheet."""
    sheet_of(figure).add_artist(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=9, color=FRAME, shrinkA=0, shrinkB=0
        )
    )


def write(
    figure: Figure,
    x: float,
    y: float,
    text: str,
    size: float,
    *,
    align: str = "left",
    vertical: str = "top",
    rotation: float = 0,
) -> None:
    """Write text on the sheet; `align` and `vertical` say which point of it (x, y) is."""
    if text:
        sheet_of(figure).text(
            x,
            y,
            text,
            fontsize=size,
            ha=align,
            va=vertical,
            color=INK,
            rotation=rotation,
            parse_math=False,
        )


def sentence(words: str, heading: str = "") -> Figure:
    """Return a figure with a sentence, for data without anything to draw."""
    top = MARGIN + text_height(heading, TITLE)
    words = wrapped(words, WIDTH - 2 * MARGIN, LABEL)
    figure = new_figure(WIDTH, top + 160)
    write(figure, MARGIN, MARGIN, heading, TITLE)
    write(figure, WIDTH // 2, top + 40, words, LABEL, align="center")
    return figure


def colour_bar(
    axes: Axes,
    norm: Normalize,
    colours: Colormap,
    label: str,
    ticks: dict[float, str] | None = None,
) -> None:
    """Fill axes with a vertical or horizontal colour bar.

    Args:
        axes: axes of the bar; its longer side is the direction of the scale.
        norm: scale of the values.
        colours: colour map.
        label: label of the scale.
        ticks: text of each tick by its value; round numbers by default.
    """
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    box = axes.get_window_extent()
    bar = figure.colorbar(
        ScalarMappable(norm, colours),
        cax=axes,
        orientation="vertical" if box.height > box.width else "horizontal",
    )
    ticks = ticks or round_numbers(norm, 6 if box.height > 300 else 2)
    bar.set_ticks(list(ticks), labels=list(ticks.values()))
    bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=TICK, labelcolor=INK, color=FRAME)
    bar.set_label(label, fontsize=TICK, color=INK)
    bar.outline.set(edgecolor=FRAME, linewidth=0.8)


def round_numbers(norm: Normalize, about: int) -> dict[float, str]:
    """Return round numbers within a scale as ticks, with their text."""
    assert norm.vmin is not None and norm.vmax is not None
    ticks = MaxNLocator(about, steps=[1, 2, 2.5, 5, 10]).tick_values(norm.vmin, norm.vmax)
    return {
        tick: f"{tick:g}".replace("-", "\N{MINUS SIGN}")
        for tick in ticks
        if norm.vmin <= tick <= norm.vmax
    }


def frame(axes: Axes) -> None:
    """Give axes a thin grey frame."""
    for spine in axes.spines.values():
        spine.set(edgecolor=FRAME, linewidth=0.8)


def symmetric(values: NDArray[np.floating]) -> Normalize:
    """Return a scale with zero in the middle that covers all finite values."""
    limit = largest(values)
    return Normalize(-limit, limit)


def largest(values: NDArray[np.floating]) -> float:
    """Return the largest magnitude of the finite values; 1 if there is none above 0."""
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0)) or 1.0


def from_zero(values: NDArray[np.floating]) -> Normalize:
    """Return a scale from zero, or the smallest negative value, to the largest finite value."""
    finite = values[np.isfinite(values)]
    low, high = float(finite.min(initial=0.0)), float(finite.max(initial=0.0))
    return Normalize(low, high if high > low else low + 1)


def enlarged(shape: tuple[int, ...], box: int) -> tuple[int, int]:
    """Return width and height in dots of an image [height, width] that fills a square box."""
    height, width = shape
    return scaled(height, width, box / max(height, width))


def scaled(height: int, width: int, scale: float) -> tuple[int, int]:
    """Return width and height in dots of an image [height, width], enlarged by a whole number."""
    scale = int(scale) if scale >= 1 else scale
    return max(1, round(width * scale)), max(1, round(height * scale))


def columns_of(count: int, height: float, width: float, proportion: float = 1.0) -> int:
    """Return the columns of a grid of tiles; the grid is `proportion` times as wide as high."""
    return min(count, max(1, ceil(sqrt(proportion * count * height / width))))


def text_width(text: str, size: float) -> int:
    """Return the width of the widest line in dots."""
    font = FontProperties(family=FONT, size=100)
    widths: Iterator[float] = (
        text_to_path.get_text_width_height_descent(line, font, False)[0]
        for line in text.splitlines()
    )
    return ceil(max(widths, default=0.0) * size / 100 * DPI / 72)


def text_height(text: str, size: float) -> int:
    """Return the height of lines of text in dots, with a margin below; 0 for no text."""
    return ceil(len(text.splitlines()) * 1.25 * size * DPI / 72) + 10 if text else 0


def wrapped(text: str, width: int, size: float) -> str:
    """Return text wrapped to a width in dots, at most three lines for each given line."""
    lines: list[str] = []
    for line in text.splitlines():
        if (needed := text_width(line, size)) <= width:
            lines.append(line)
        else:
            letters = max(1, int(len(line) * width / needed * 0.95))
            lines += textwrap.wrap(line, letters, max_lines=3, placeholder="…")
    return "\n".join(lines)


def shortened(names: Sequence[str], width: int, size: float) -> list[str]:
    """Return names cut to a width in dots, with an ellipsis."""
    return [_shortened(name, width, size) for name in names]


def fitting_size(texts: Sequence[str], width: int) -> float:
    """Return the usual size of text, or the small one if a text is wider than so many dots."""
    return TICK if all(text_width(text, TICK) <= width for text in texts) else SMALL


def _shortened(name: str, width: int, size: float) -> str:
    """Return a name cut to a width in dots."""
    while len(name) > 2 and text_width(name, size) > width:
        name = name.removesuffix("…")[:-1].rstrip() + "…"
    return name
