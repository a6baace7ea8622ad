"""Figures of the layers: weights, outputs, and all outputs for one image."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tasks.report.figures.canvas import (
    BLUE,
    FRAME,
    LABEL,
    MARGIN,
    ORANGE,
    PALE,
    SMALL,
    TITLE,
    WIDTH,
    arrow,
    colour_bar,
    columns_of,
    draw_image,
    from_zero,
    largest,
    new_figure,
    rectangle,
    scaled,
    scaled_axes,
    shortened,
    text_height,
    text_width,
    wrapped,
    write,
)
from tasks.report.figures.images import BYTES, GREYS, SHOWN_CLASSES, most_probable
from tasks.report.figures.report_figure import Predictions, ReportFigure
from tasks.words import percent


def conv_weights(weights: NDArray[np.floating], channel: int, limit: float) -> Figure:
    """Return the filters of a convolutional layer for one input channel.

    Args:
        weights: [height, width, input channels, filters].
        channel: input channel, from 0.
        limit: end of the colour scale from -limit (blue) over 0 (white) to limit (red);
            `largest(weights)` gives all channels the same scale.
    """
    filters = np.moveaxis(weights[:, :, channel, :], -1, 0)
    title = f"Filters for input channel {channel}"
    return _tiles(filters, title, Normalize(-limit, limit), colormaps["seismic"], "Weight")


def output_grid(outputs: NDArray[np.floating], title: str) -> Figure:
    """Return the outputs of a layer for one image, on one scale from white to black.

    Args:
        outputs: [height, width, filters].
        title: heading above the outputs.
    """
    tiles = np.moveaxis(outputs, -1, 0)
    return _tiles(tiles, title, from_zero(outputs), colormaps["binary"], "Output")


def _tiles(
    tiles: NDArray[np.floating], title: str, norm: Normalize, colours: Colormap, unit: str
) -> Figure:
    """Return tiles [n, height, width] in a nearly square grid, with a colour bar."""
    count, height, width = tiles.shape
    columns = columns_of(count, height, width)
    rows = ceil(count / columns)
    gap = 10
    scale = min(
        240 / max(height, width),
        (720 - (columns - 1) * gap) / columns / width,
        (720 - (rows - 1) * gap) / rows / height,
    )
    width, height = scaled(height, width, max(2.0, scale) if scale >= 1 else scale)
    across = columns * (width + gap) - gap
    down = max(rows * (height + gap) - gap, 160)

    title = wrapped(title, across + 200, TITLE)
    top = MARGIN + text_height(title, TITLE)
    figure = new_figure(MARGIN + across + 32 + 28 + 180, top + down + MARGIN)
    write(figure, MARGIN, MARGIN, title, TITLE)
    for i, tile in enumerate(tiles):
        row, column = divmod(i, columns)
        left, y = MARGIN + column * (width + gap), top + row * (height + gap)
        draw_image(figure, tile, (left, y, width, height), norm, colours)
    if not np.isfinite(tiles).all():
        unit += " (green: not finite)"
    bar = scaled_axes(figure, MARGIN + across + 32, top, 28, down)
    colour_bar(bar, norm, colours, unit)
    return figure


STEP = 96
"""Dots between two rows of the flow, for the arrow and the next label."""


def flow(
    image: NDArray[np.uint8],
    layers: Sequence[tuple[str, NDArray[np.floating]]],
    probabilities: NDArray[np.floating],
    true: int,
    class_names: Sequence[str],
) -> Figure:
    """Return one image, the outputs of each layer and the probabilities, from top to bottom.

    Args:
        image: [height, width], from 0 (white) to 255 (black).
        layers: name and outputs of each layer before the logits, in order: [height, width,
            filters] or [neurons], each layer with a grey scale of its own.
        probabilities: [classes], from 0 to 1.
        true: true class, an index into `class_names`.
        class_names: name of each class.
    """
    rows: list[tuple[str, Grid, Normalize]] = [
        (f"Image, {image.shape[0]} × {image.shape[1]}", _maps(image[..., np.newaxis]), BYTES)
    ]
    for name, outputs in layers:
        grid = _maps(outputs) if outputs.ndim == 3 else _neurons(outputs)
        rows.append((_described(name, outputs, len(grid)), grid, from_zero(outputs)))
    heights = [max(y + height for _, (_, y, _, height) in grid) for _, grid, _ in rows]
    classes = _shown_classes(probabilities, true)
    names = shortened([class_names[c] for c in classes], 160, SMALL)
    figure = new_figure(
        WIDTH, MARGIN + sum(heights) + (STEP + 32) * len(rows) + _bars_high(names) + MARGIN
    )
    top = MARGIN
    for (label, grid, norm), high in zip(rows, heights, strict=True):
        write(figure, WIDTH // 2, top, label, LABEL, align="center")
        left = (WIDTH - max(x + width for _, (x, _, width, _) in grid)) // 2
        for tile, (x, y, width, height) in grid:
            draw_image(figure, tile, (left + x, top + 32 + y, width, height), norm, GREYS)
        top += 32 + high
        arrow(figure, (WIDTH / 2, top + 10), (WIDTH / 2, top + STEP - 10))
        top += STEP
    part = (
        f" of the {len(classes)} most probable classes" if len(classes) < len(class_names) else ""
    )
    write(figure, WIDTH // 2, top, f"Probabilities{part}", LABEL, align="center")
    shares = np.nan_to_num(probabilities[classes], nan=0.0)
    _bars(figure, top + 32, shares, classes.index(true), names)
    return figure


Grid = list[tuple[NDArray[np.generic], tuple[int, int, int, int]]]
"""Tiles, each with its box: left, top, width, height in dots."""


def _maps(outputs: NDArray[np.generic]) -> Grid:
    """Return the outputs of a convolutional layer [height, width, filters] in a few long rows.

    Tiles are as large as the height of the rows allows. Tiles that do not fit are left out.
    """
    height, width, filters = outputs.shape
    gap, across, down = 6, WIDTH - 2 * MARGIN, 190
    largest_scale = 140 / max(height, width)
    scales = [float(s) for s in range(int(largest_scale), 0, -1)] or [largest_scale]
    for scale in scales:
        w, h = scaled(height, width, scale)
        columns = min(filters, (across + gap) // (w + gap))
        rows = ceil(filters / columns)
        if rows * (h + gap) - gap <= max(down, h):
            break
    rows = min(rows, max(1, (down + gap) // (h + gap)))
    columns = ceil(filters / rows) if rows * columns >= filters else columns
    return [
        (outputs[..., i], (i % columns * (w + gap), i // columns * (h + gap), w, h))
        for i in range(min(filters, rows * columns))
    ]


def _neurons(outputs: NDArray[np.floating]) -> Grid:
    """Return the outputs of a dense layer [neurons] as one strip of squares."""
    rows = ceil(len(outputs) / 64) if len(outputs) <= 256 else ceil(len(outputs) / 114)
    columns = ceil(len(outputs) / rows)
    cell = min(20, (WIDTH - 2 * MARGIN) // columns)
    filler = np.zeros(rows * columns - len(outputs), outputs.dtype)
    strip = np.concatenate([outputs, filler]).reshape(rows, columns)
    return [(strip, (0, 0, columns * cell, rows * cell))]


def _described(name: str, outputs: NDArray[np.floating], shown: int) -> str:
    """Return the label of a layer in the flow."""
    if outputs.ndim == 1:
        return f"{name}: {len(outputs)} neurons"
    height, width, filters = outputs.shape
    part = f"the first {shown} of " if shown < filters else ""
    return f"{name}: {part}{filters} outputs of {height} × {width}"


BARS = 130
"""Height in dots of the bar of probability 1."""
ALL_CLASSES = 30
"""Maximum number of classes for which every class has a bar."""


def _shown_classes(probabilities: NDArray[np.floating], true: int) -> list[int]:
    """Return the classes that have a bar in the flow."""
    classes = len(probabilities)
    return most_probable(probabilities, true, classes if classes <= ALL_CLASSES else SHOWN_CLASSES)


def _slot(names: Sequence[str]) -> int:
    """Return the distance between two bars in dots."""
    return min(90, (WIDTH - 2 * MARGIN) // len(names))


def _turned(names: Sequence[str]) -> bool:
    """Return whether names are rotated because they do not fit side by side."""
    return max(text_width(name, SMALL) for name in names) > _slot(names) - 4


def _bars_high(names: Sequence[str]) -> int:
    """Return the height of the bars with their labels in dots."""
    below = max(text_width(name, SMALL) for name in names) if _turned(names) else 24
    return 32 + 30 + BARS + 8 + below


def _bars(
    figure: Figure,
    top: int,
    shares: NDArray[np.floating],
    true: int,
    names: Sequence[str],
) -> None:
    """Draw a bar for each class: blue for the true one, orange for a wrong prediction."""
    slot = _slot(names)
    left, foot = (WIDTH - slot * len(names)) // 2, top + 30 + BARS
    best = int(shares.argmax())
    rectangle(figure, (left, foot, slot * len(names), 1), fill=FRAME)
    for c, (name, share) in enumerate(zip(names, shares, strict=True)):
        middle, high = left + (c + 0.5) * slot, max(1.0, BARS * float(share))
        colour = BLUE if c == true else ORANGE if c == best else PALE
        rectangle(figure, (middle - 0.35 * slot, foot - high, 0.7 * slot, high), fill=colour)
        if share >= 0.005 and (slot >= 64 or c == best):
            write(figure, middle, foot - high - 26, percent(share, 0), SMALL, align="center")
        rotation = 90 if _turned(names) else 0
        write(figure, middle, foot + 8, name, SMALL, align="center", rotation=rotation)


def weights_figure(layer: str, weights: NDArray[np.floating], channel: int) -> ReportFigure:
    """Return the filters of a convolutional layer for one input channel.

    Args:
        layer: name of the layer.
        weights: [height, width, input channels, filters].
        channel: input channel, from 0.
    """
    height, width, channels, filters = weights.shape
    limit = largest(weights)
    where = "" if channels == 1 else f" for input channel {channel}"
    return ReportFigure(
        figure=conv_weights(weights, channel, limit),
        name=f"{layer}-weights-{channel}",
        title=f"Filters of {layer}{where}",
        caption=f"The {filters} filters{where}: red is positive, blue negative, one scale for all"
        f" filters of {layer}.",
        alt=f"{filters} filters of {height} × {width} weights between -{limit:.2f} and"
        f" {limit:.2f}.",
    )


def outputs_figure(
    data: Predictions, row: int, layer: str, output: NDArray[np.floating]
) -> ReportFigure:
    """Return the outputs of a convolutional layer for one test image.

    Args:
        data: test split with its predictions.
        row: row of the image.
        layer: name of the layer.
        output: [height, width, filters].
    """
    height, width, filters = output.shape
    return ReportFigure(
        figure=output_grid(output, f"Output of {layer} for test image {row}"),
        name=f"{layer}-outputs-{row}",
        title=f"Outputs of {layer} for test image {row}",
        caption=f"{filters} outputs of {height} × {width} pixels; darker is larger.",
        alt=f"{filters} small images, the output of each filter of {layer} for a"
        f" {data.names[data.true[row]]}.",
    )


def flow_figure(
    data: Predictions, row: int, outputs: Sequence[tuple[str, NDArray[np.floating]]]
) -> ReportFigure:
    """Return the outputs of all layers for one test image.

    Args:
        data: test split with its predictions.
        row: row of the image.
        outputs: name and output of each layer, in order; the last one's are the logits, which the
            probabilities replace.
    """
    hidden = outputs[:-1]
    true, predicted = data.names[data.true[row]], data.names[data.predicted[row]]
    return ReportFigure(
        figure=flow(data.images[row], hidden, data.probabilities[row], data.true[row], data.names),
        name=f"flow-{row}",
        title=f"Test image {row} in all layers",
        caption="From top to bottom: the image, the outputs of each layer (darker is larger, each"
        " layer on its own scale), and the probability of each class, blue for the true one.",
        alt=f"Test image {row}, a {true}, goes through {', '.join(name for name, _ in hidden)}"
        f" and is taken for a {predicted} with {percent(data.probabilities[row].max(), 1)}.",
    )
