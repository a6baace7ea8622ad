"""Arrays in, matplotlib figures out.

Every function is pure and uses no global state (no pyplot), so stages can draw
at the same time in several threads. Places and sizes are whole dots, 160 to the
inch, and small images are enlarged by whole numbers: each pixel of a digit or a
filter becomes a square with sharp edges. `save` writes the same bytes for the
same figure every time.
"""

import textwrap
from collections.abc import Iterator, Sequence
from math import ceil, floor, log10, sqrt
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    MaxNLocator,
    NullLocator,
    PercentFormatter,
)
from numpy.typing import NDArray
from PIL import Image

from tasks.report.statistics import wilson_interval

DPI = 160
WIDTH = 960
"""Usual width in dots: 480 CSS pixels on a screen of twice the density."""
MARGIN = 24
FONT = "DejaVu Sans"
"""Comes with matplotlib, so that text looks the same on every machine."""
TITLE, LABEL, TICK = 13.0, 12.0, 11.0
"""Font sizes in points."""
INK, FRAME = "0.13", "0.6"
BLUE, ORANGE = "#0072b2", "#d55e00"
"""From Okabe and Ito's palette: told apart with every kind of colour vision."""
NOT_FINITE = "#7fbf7f"
"""Green is in neither `binary` nor `seismic`: NaN and infinity show."""


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as PNG, 160 dots to the inch, at most 256 colours.

    The same figure gives the same bytes: no date, no software version, a font
    that comes with matplotlib.
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


def image_grid(
    images: NDArray[np.uint8],
    titles: Sequence[str],
    columns: int = 3,
    heading: str = "",
    empty: str = "No images",
) -> Figure:
    """Images side by side, each with its title below.

    Args:
        images: [n, height, width], 0 is white and 255 black.
        titles: n texts; long ones are broken into lines.
        columns: images per row.
        heading: stands above them all.
        empty: what to say instead if there are no images.
    """
    if len(images) == 0:
        return _sentence(empty, heading)
    gap = 20
    cell = (WIDTH - 2 * MARGIN - 2 * gap) // max(3, columns)
    width, height = _enlarged(images.shape[1:], cell)
    labels = [_wrapped(title, cell, LABEL) for title in titles]
    below = max(_text_height(label, LABEL) for label in labels) + 8

    columns = min(columns, len(images))
    rows = ceil(len(images) / columns)
    across = columns * cell + (columns - 1) * gap
    heading = _wrapped(heading, across, TITLE)
    top = MARGIN + _text_height(heading, TITLE)
    figure = _figure(
        2 * MARGIN + across, top + rows * (height + below) + (rows - 1) * gap + MARGIN // 2
    )
    _write(figure, MARGIN, MARGIN, heading, TITLE)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        row, column = divmod(i, columns)
        left = MARGIN + column * (cell + gap)
        y = top + row * (height + below + gap)
        axes = _axes(figure, left + (cell - width) // 2, y, width, height)
        _draw(axes, image, Normalize(0, 255), colormaps["binary"])
        _write(figure, left + cell // 2, y + height + 8, label, LABEL, align="center")
    return figure


def example_errors(
    images: NDArray[np.uint8],
    true: NDArray[np.integer],
    predicted: NDArray[np.integer],
    class_names: Sequence[str],
    iteration: int,
) -> Figure:
    """The first nine wrong images, with their true and their predicted class.

    Args:
        images: [n, height, width], the whole split or any part of it.
        true, predicted: [n], indices into `class_names`.
        iteration: how long the network that predicted was trained.
    """
    wrong = np.flatnonzero(true != predicted)[:9]
    titles = [f"True: {class_names[true[i]]}, Pred: {class_names[predicted[i]]}" for i in wrong]
    cell = (WIDTH - 2 * MARGIN - 40) // 3
    if any(_text_width(title, LABEL) > cell for title in titles):
        titles = [title.replace(", Pred: ", ",\nPred: ") for title in titles]
    heading = f"After {iteration:,} {'iteration' if iteration == 1 else 'iterations'}"
    return image_grid(images[wrong], titles, 3, heading, "No errors at this milestone")


def single_image(image: NDArray[np.uint8], title: str) -> Figure:
    """One image [height, width], 0 is white and 255 black, with its title above."""
    width, height = _enlarged(image.shape, 420)
    across = max(width, 420)
    title = _wrapped(title, across, TITLE)
    top = MARGIN + _text_height(title, TITLE)
    figure = _figure(across + 2 * MARGIN, top + height + MARGIN)
    _write(figure, MARGIN + across // 2, MARGIN, title, TITLE, align="center")
    axes = _axes(figure, MARGIN + (across - width) // 2, top, width, height)
    _draw(axes, image, Normalize(0, 255), colormaps["binary"])
    return figure


def weight_limit(weights: NDArray[np.floating]) -> float:
    """The largest magnitude among the finite weights; 1 if there is none above 0."""
    finite = np.abs(weights[np.isfinite(weights)])
    return float(finite.max(initial=0.0)) or 1.0


def conv_weights(weights: NDArray[np.floating], channel: int, limit: float) -> Figure:
    """All filters of a convolutional layer for one of its input channels.

    Args:
        weights: [height, width, input channels, filters].
        channel: the input channel, from 0.
        limit: weights from -limit (blue) over 0 (white) to limit (red); give
            `weight_limit(weights)` so that all channels share one scale.
    """
    filters = np.moveaxis(weights[:, :, channel, :], -1, 0)
    title = f"Filters for input channel {channel}"
    return _tiles(filters, title, Normalize(-limit, limit), colormaps["seismic"], "Weight")


def layer_outputs(outputs: NDArray[np.floating], title: str) -> Figure:
    """What each filter of a layer makes of one image, on one scale from white to black.

    Args:
        outputs: [height, width, filters].
        title: stands above.
    """
    finite = outputs[np.isfinite(outputs)]
    low, high = float(finite.min(initial=0.0)), float(finite.max(initial=0.0))
    norm = Normalize(low, high if high > low else low + 1)
    return _tiles(np.moveaxis(outputs, -1, 0), title, norm, colormaps["binary"], "Output")


def confusion_matrix(matrix: NDArray[np.integer], class_names: Sequence[str]) -> Figure:
    """How many images of each class were taken for which.

    The colour scale is logarithmic, so that single mistakes show beside a
    diagonal of thousands; white is zero. Counts stand in the cells where there
    is room for them.

    Args:
        matrix: [classes, classes], rows true, columns predicted.
        class_names: one for each class.
    """
    classes = len(class_names)
    cell = min(160, max(40 if classes <= 30 else 28, 720 // classes))
    side = cell * classes
    size = TICK if cell >= 40 else 9.0
    names = [name if len(name) <= 20 else name[:19] + "…" for name in class_names]
    widest = max(_text_width(name, size) for name in names)
    upright = widest <= 0.9 * cell
    most = max(10, int(matrix.max(initial=0)))
    left = MARGIN + 56 + widest
    figure = _figure(
        left + side + 32 + 28 + _text_width(f"{most:,}", TICK) + 72,
        MARGIN + side + (28 if upright else widest) + 72,
    )
    axes = _axes(figure, left, MARGIN, side, side)

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
    _frame(axes)

    bar = _axes(figure, left + side + 32, MARGIN, 28, side)
    ticks = {10.0**k: f"{10**k:,}" for k in range(len(str(most)))}
    _colour_bar(bar, norm, colours, ticks, "Images (white: none)")
    return figure


def learning_curve(
    iterations: Sequence[int] | NDArray[np.integer],
    batch_accuracy: Sequence[float] | NDArray[np.floating],
    batch_loss: Sequence[float] | NDArray[np.floating],
    milestones: Sequence[tuple[int, int, int]],
) -> Figure:
    """Accuracy and loss over training.

    Args:
        iterations: where the batch was measured.
        batch_accuracy: accuracy on that batch, from 0 to 1.
        batch_loss: mean cross-entropy of that batch.
        milestones: (iteration, correct, total) of the test split.
    """
    left, across = 150, WIDTH - 150 - MARGIN - 16
    figure = _figure(WIDTH, 910)
    upper = _axes(figure, left, 72, across, 420)
    lower = _axes(figure, left, 72 + 420 + 36, across, 280)

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
        upper.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            borderaxespad=0.3,
            ncols=2,
            frameon=False,
            fontsize=TICK,
            labelcolor=INK,
        )
    return figure


def _milestones(axes: Axes, milestones: Sequence[tuple[int, int, int]]) -> None:
    """Test accuracy (iteration, correct, total) as points with 95 % intervals."""
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
    """A logarithmic axis that begins with 0, for milestones 0, 1, 100, 1,000 …"""
    axes.set_xscale("symlog", linthresh=1, linscale=0.5)
    axes.set_xlim(-0.25, last * 1.6)
    powers = [10**k for k in range(len(str(last)))]
    axes.xaxis.set_major_locator(FixedLocator([0, *powers]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.tick_params(labelsize=TICK, labelcolor=INK, color=FRAME)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    _frame(axes)


def _loss_axis(axes: Axes, loss: NDArray[np.float64]) -> None:
    """A logarithmic axis around the losses above zero, with a few round numbers."""
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


def _tiles(
    tiles: NDArray[np.floating], title: str, norm: Normalize, colours: Colormap, unit: str
) -> Figure:
    """Tiles [n, height, width] in a grid about as wide as high, and their colour bar."""
    count, height, width = tiles.shape
    columns = min(count, max(1, ceil(sqrt(count * height / width))))
    rows = ceil(count / columns)
    gap = 10
    scale = min(
        240 / max(height, width),
        (720 - (columns - 1) * gap) / columns / width,
        (720 - (rows - 1) * gap) / rows / height,
    )
    width, height = _scaled(height, width, max(2.0, scale) if scale >= 1 else scale)
    across = columns * (width + gap) - gap
    down = max(rows * (height + gap) - gap, 160)

    title = _wrapped(title, across + 200, TITLE)
    top = MARGIN + _text_height(title, TITLE)
    figure = _figure(MARGIN + across + 32 + 28 + 180, top + down + MARGIN)
    _write(figure, MARGIN, MARGIN, title, TITLE)
    for i, tile in enumerate(tiles):
        row, column = divmod(i, columns)
        left, y = MARGIN + column * (width + gap), top + row * (height + gap)
        _draw(_axes(figure, left, y, width, height), tile, norm, colours)

    assert norm.vmin is not None and norm.vmax is not None
    ticks = MaxNLocator(6 if down > 300 else 2, steps=[1, 2, 2.5, 5, 10]).tick_values(
        norm.vmin, norm.vmax
    )
    names = {
        tick: f"{tick:g}".replace("-", "\N{MINUS SIGN}")
        for tick in ticks
        if norm.vmin <= tick <= norm.vmax
    }
    if not np.isfinite(tiles).all():
        unit += " (green: not finite)"
    bar = _axes(figure, MARGIN + across + 32, top, 28, down)
    _colour_bar(bar, norm, colours, names, unit)
    return figure


def _sentence(sentence: str, heading: str) -> Figure:
    """Words where there is nothing to draw."""
    top = MARGIN + _text_height(heading, TITLE)
    figure = _figure(WIDTH, top + 160)
    _write(figure, MARGIN, MARGIN, heading, TITLE)
    _write(figure, WIDTH // 2, top + 40, sentence, LABEL, align="center")
    return figure


def _counts(
    axes: Axes, matrix: NDArray[np.integer], colours: NDArray[np.float64], cell: int
) -> None:
    """Write each count above zero into its cell, if the longest one fits in legibly."""
    digits = len(str(matrix.max(initial=0)))
    size = min(LABEL, 85 * cell / _text_width("0" * digits, 100))
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
    """Black or white, whichever has more contrast (WCAG 2.2, relative luminance)."""
    channels = colour[:3]
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ (0.2126, 0.7152, 0.0722) > 0.179 else "white"


def _colour_bar(
    axes: Axes,
    norm: Normalize,
    colours: Colormap,
    ticks: dict[float, str],
    label: str,
) -> None:
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    bar = figure.colorbar(ScalarMappable(norm, colours), cax=axes)
    bar.set_ticks(list(ticks), labels=list(ticks.values()))
    bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=TICK, labelcolor=INK, color=FRAME)
    bar.set_label(label, fontsize=TICK, color=INK)
    bar.outline.set(edgecolor=FRAME, linewidth=0.8)


def _draw(axes: Axes, image: NDArray[np.generic], norm: Normalize, colours: Colormap) -> None:
    """One image [height, width] that fills its axes, each pixel with sharp edges."""
    colours = colours.with_extremes(bad=NOT_FINITE)
    shown = np.ma.masked_invalid(image)
    axes.imshow(shown, norm=norm, cmap=colours, interpolation="nearest", aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    _frame(axes)


def _frame(axes: Axes) -> None:
    for spine in axes.spines.values():
        spine.set(edgecolor=FRAME, linewidth=0.8)


def _figure(width: int, height: int) -> Figure:
    """An empty figure of so many dots."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _axes(figure: Figure, left: int, top: int, width: int, height: int) -> Axes:
    """Axes at a place in dots, counted from the upper left corner."""
    across, down = figure.get_size_inches() * DPI
    return figure.add_axes(
        (left / across, 1 - (top + height) / down, width / across, height / down)
    )


def _write(figure: Figure, x: int, y: int, text: str, size: float, *, align: str = "left") -> None:
    """Text whose upper edge is at a place in dots, counted from the upper left corner."""
    across, down = figure.get_size_inches() * DPI
    if text:
        figure.text(
            x / across,
            1 - y / down,
            text,
            fontsize=size,
            ha=align,
            va="top",
            color=INK,
            parse_math=False,
        )


def _enlarged(shape: tuple[int, ...], box: int) -> tuple[int, int]:
    """Width and height in dots of an image [height, width] that fills a square box."""
    height, width = shape
    return _scaled(height, width, box / max(height, width))


def _scaled(height: int, width: int, scale: float) -> tuple[int, int]:
    """Width and height in dots of an image [height, width], enlarged by a whole number."""
    scale = int(scale) if scale >= 1 else scale
    return max(1, round(width * scale)), max(1, round(height * scale))


def _text_width(text: str, size: float) -> int:
    """Width in dots of the widest line."""
    font = FontProperties(family=FONT, size=100)
    widths: Iterator[float] = (
        text_to_path.get_text_width_height_descent(line, font, False)[0]
        for line in text.splitlines()
    )
    return ceil(max(widths, default=0.0) * size / 100 * DPI / 72)


def _text_height(text: str, size: float) -> int:
    """Height in dots that lines of text take, with some air below; nothing for no text."""
    return ceil(len(text.splitlines()) * 1.25 * size * DPI / 72) + 10 if text else 0


def _wrapped(text: str, width: int, size: float) -> str:
    """Text in lines that are no wider than so many dots, three at most for each line given."""
    lines: list[str] = []
    for line in text.splitlines():
        if (needed := _text_width(line, size)) <= width:
            lines.append(line)
        else:
            letters = max(1, int(len(line) * width / needed * 0.95))
            lines += textwrap.wrap(line, letters, max_lines=3, placeholder="…")
    return "\n".join(lines)
