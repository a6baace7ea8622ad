"""What all figures share: sizes, colours, a sheet to draw on, and `save`.

Figures of images have one `Axes` over their whole area, the sheet. Its coordinates are dots, 160 to
the inch, from the upper left corner. Images, bars and texts are drawn directly on it: one `Axes`
for each of them takes matplotlib twenty times as long. Plots with a scale have `Axes` of their own.
"""

import textwrap
from collections.abc import Sequence
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import AxesImage
from matplotlib.legend import Legend
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.ticker import NullLocator
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
GREYS, SIGNS = colormaps["binary"], colormaps["seismic"]
BYTES = Normalize(0, 255)
NOT_FINITE = "#7fbf7f"
"""Colour of NaN and infinity: green is in neither `binary` nor `seismic`."""
Box = tuple[float, float, float, float]
"""Left, top, width, height in dots."""


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; see `save_bytes`."""
    path.write_bytes(save_bytes(figure))


def save_bytes(figure: Figure) -> bytes:
    """Return a figure as PNG with at most 256 colours.

    The same figure gives the same bytes: no date, no software version, a font that comes with
    matplotlib.
    """
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_fontfamily(FONT)
        text.set_parse_math(False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    dots = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    image = Image.fromarray(dots).convert("RGB")
    palette = image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    file = BytesIO()
    palette.save(file, format="PNG", optimize=True)
    return file.getvalue()


def plots(height: int, rows: int = 1, width: int = WIDTH, **options: Any) -> Figure:
    """Return a figure with axes below each other, laid out by matplotlib; sizes in dots."""
    figure = Figure((width / DPI, height / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.subplots(rows, **options)
    for axes in figure.axes:
        frame(axes)
        axes.tick_params(labelsize=TICK, labelcolor=INK, color=FRAME)
        axes.grid(color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
    return figure


def new_figure(width: int, height: int) -> Figure:
    """Return a figure with an empty sheet; width and height in dots."""
    figure = Figure((width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    sheet = figure.add_axes((0, 0, 1, 1))
    sheet.set(xlim=(0, width), ylim=(height, 0), zorder=-1)
    sheet.set_axis_off()
    for axis in (sheet.xaxis, sheet.yaxis):
        axis.set_major_locator(NullLocator())  # creating ticks is slow, even if they are hidden
    return figure


def scaled_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes with their own scales at a place on the sheet, in dots."""
    across, down = figure.get_size_inches() * DPI
    return figure.add_axes(
        (left / across, 1 - (top + height) / down, width / across, height / down)
    )


def draw_image(
    figure: Figure,
    image: NDArray[np.generic],
    box: Box,
    norm: Normalize = BYTES,
    colours: Colormap = GREYS,
) -> None:
    """Draw an image [height, width] on the sheet, with sharp pixel edges and a frame.

    Values that are not finite become green.
    """
    left, top, width, height = box
    sheet = figure.axes[0]
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


def rectangle(figure: Figure, box: Box, *, fill: str = "none", edge: str = "none") -> None:
    """Draw a rectangle on the sheet."""
    left, top, width, height = box
    figure.axes[0].add_artist(
        Rectangle((left, top), width, height, facecolor=fill, edgecolor=edge, linewidth=0.8)
    )


def arrow(figure: Figure, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw an arrow on the sheet."""
    figure.axes[0].add_artist(
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
        figure.axes[0].text(
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


def sentence(words: str) -> Figure:
    """Return a figure with a sentence, for data without anything to draw."""
    figure = new_figure(WIDTH, 160)
    write(figure, WIDTH // 2, 50, wrapped(words, WIDTH - 2 * MARGIN, LABEL), LABEL, align="center")
    return figure


def image_grid(
    images: NDArray[np.generic],
    labels: Sequence[str] = (),
    columns: int = 3,
    *,
    width: int = WIDTH,
    norm: Normalize = BYTES,
    colours: Colormap = GREYS,
    scale: str = "",
) -> Figure:
    """Return images side by side, each with its label below.

    Args:
        images: [n, height, width], at least one.
        labels: n texts, one line or more each; too long lines are shortened.
        columns: images in a row.
        width: of the figure in dots.
        norm: scale of the values.
        colours: colours of the values.
        scale: what the values are, for a bar with their colours below; none if empty.
    """
    gap = 20 if labels else 8
    cell = (width - 2 * MARGIN - (columns - 1) * gap) // columns
    across, down = enlarged(images.shape[1:], cell)
    size = LABEL if text_width("\n".join(labels), LABEL) <= cell else SMALL
    lines = max((label.count("\n") + 1 for label in labels), default=0)
    below = ceil(lines * size * 1.25 * DPI / 72) + 14 if labels else 0
    rows = ceil(len(images) / columns)
    top = MARGIN + rows * (down + below + gap) - gap
    figure = new_figure(width, top + (110 if scale else MARGIN // 2))
    for i, image in enumerate(images):
        left = MARGIN + i % columns * (cell + gap)
        y = MARGIN + i // columns * (down + below + gap)
        draw_image(figure, image, (left + (cell - across) / 2, y, across, down), norm, colours)
        if labels:
            text = "\n".join(shortened(labels[i].split("\n"), cell + gap - 4, size))
            write(figure, left + cell / 2, y + down + 6, text, size, align="center")
    if scale:
        colour_bar(figure, (MARGIN, top + 16, width - 2 * MARGIN, 20), norm, colours, scale)
    return figure


def colour_bar(figure: Figure, box: Box, norm: Normalize, colours: Colormap, label: str) -> None:
    """Draw a horizontal bar of the colours of a scale on the sheet."""
    bar = figure.colorbar(
        ScalarMappable(norm, colours), cax=scaled_axes(figure, *box), orientation="horizontal"
    )
    bar.ax.tick_params(labelsize=SMALL, labelcolor=INK, color=FRAME)
    bar.set_label(label, fontsize=SMALL, color=INK)
    bar.outline.set(edgecolor=FRAME, linewidth=0.8)


def frame(axes: Axes) -> None:
    """Give axes a thin grey frame."""
    for spine in axes.spines.values():
        spine.set(edgecolor=FRAME, linewidth=0.8)


def legend_above(axes: Axes) -> Legend:
    """Put a legend above axes."""
    return axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.3,
        ncols=4,
        frameon=False,
        fontsize=TICK,
        labelcolor=INK,
        handletextpad=0.4,
        columnspacing=1.2,
    )


def symmetric(values: NDArray[np.floating]) -> Normalize:
    """Return a scale with zero in the middle that covers all finite values."""
    limit = float(np.abs(values[np.isfinite(values)]).max(initial=0)) or 1.0
    return Normalize(-limit, limit)


def enlarged(shape: tuple[int, ...], box: float) -> tuple[int, int]:
    """Return width and height in dots of an image [height, width] that fills a square box.

    It is enlarged by a whole number, so that each pixel becomes a square with sharp edges.
    """
    scale = box / max(shape)
    scale = int(scale) or scale
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def text_width(text: str, size: float) -> int:
    """Return the width of the widest line in dots."""
    font = FontProperties(family=FONT, size=100)
    widths = (
        text_to_path.get_text_width_height_descent(line, font, False)[0]
        for line in text.splitlines()
    )
    return ceil(max(widths, default=0.0) * size / 100 * DPI / 72)


def wrapped(text: str, width: int, size: float) -> str:
    """Return text wrapped to a width in dots, at most three lines for each given line."""
    lines: list[str] = []
    for line in text.splitlines():
        letters = max(1, int(len(line) * width / max(1, text_width(line, size)) * 0.95))
        lines += textwrap.wrap(line, max(letters, 1), max_lines=3, placeholder="…")
    return "\n".join(lines)


def shortened(names: Sequence[str], width: float, size: float) -> list[str]:
    """Return names cut to about a width in dots, with an ellipsis."""
    return [
        name if wide <= width else name[: max(1, int(len(name) * width / wide) - 1)] + "…"
        for name, wide in ((name, text_width(name, size)) for name in names)
    ]
