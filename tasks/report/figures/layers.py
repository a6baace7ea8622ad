"""Figures of the layers: how a convolution works, weights, and all outputs for one image."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, sqrt
from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tasks.records import LayerOutputs
from tasks.report.figures.canvas import (
    BLUE,
    BYTES,
    INK,
    LABEL,
    MARGIN,
    ORANGE,
    PALE,
    SIGNS,
    SMALL,
    WIDTH,
    arrow,
    draw_image,
    enlarged,
    frame,
    image_grid,
    new_figure,
    rectangle,
    scaled_axes,
    shortened,
    symmetric,
    text_width,
    write,
)
from tasks.report.figures.report_figure import Predictions, ReportFigure
from tasks.runtime.errors import PipelineError
from tasks.words import percent

PLACES = 4
"""Number of places at which the filter is shown."""
ARROW = 44
"""Dots that an arrow takes with the air around it."""
NARROW = 720
"""Width in dots of a figure of filters."""
ALL_CLASSES, SOME_CLASSES = 30, 10
"""Number of classes up to which each has a bar, and number of bars if there are more."""


def images_in_layers(
    data: Predictions,
    layers: LayerOutputs,
    arrays: Mapping[str, NDArray[Any]],
    strides: Sequence[int],
) -> Iterator[ReportFigure]:
    """Draw how a convolution works on the first image, and each image in all layers."""
    if strides and layers.test_images:
        weights = arrays["conv1/weights"]
        if enough_places(data.images.shape[1:], len(weights), strides[0]):
            yield convolution(data, layers.test_images[0], weights, strides[0])
    for position, row in enumerate(layers.test_images):
        outputs = [(name, arrays[f"{name}/outputs"][position]) for name in layers.layers]
        yield flow(data, row, outputs)


def convolve(
    pixels: NDArray[np.floating], weights: NDArray[np.floating], stride: int = 1
) -> NDArray[np.float64]:
    """Compute the sums of products of one filter at all its places, with "same" padding.

    Args:
        pixels: [height, width].
        weights: [size, size].
        stride: from one place to the next.

    Returns:
        [height / stride, width / stride], rounded up; no bias is added.
    """
    size = len(weights)
    tops, lefts = (patch_starts(length, size, stride) for length in pixels.shape)
    padded = np.pad(pixels.astype(np.float64), size)
    patches = np.lib.stride_tricks.sliding_window_view(padded, (size, size))
    chosen = patches[np.ix_(tops + size, lefts + size)]
    sums: NDArray[np.float64] = np.einsum("yxij,ij->yx", chosen, weights.astype(np.float64))
    return sums


def patch_starts(length: int, size: int, stride: int) -> NDArray[np.intp]:
    """Return the first row (or column) under the filter at each place; below 0 is padding."""
    count = -(-length // stride)
    before = max((count - 1) * stride + size - length, 0) // 2
    return np.arange(count) * stride - before


def telling_filter(pixels: NDArray[np.floating], weights: NDArray[np.floating], stride: int) -> int:
    """Return the filter [size, size, 1, filters] whose sums differ most over an image."""
    spreads = [convolve(pixels, w, stride).std() for w in np.moveaxis(weights[:, :, 0], -1, 0)]
    return int(np.argmax(np.nan_to_num(spreads)))


def inside(shape: tuple[int, ...], size: int, stride: int) -> NDArray[np.bool_]:
    """Return at which places [rows, columns] of the output the filter lies inside the image."""
    starts = [patch_starts(length, size, stride) for length in shape]
    rows, columns = (
        (at >= 0) & (at + size <= length) for at, length in zip(starts, shape, strict=True)
    )
    return np.logical_and.outer(rows, columns)


def enough_places(shape: tuple[int, ...], size: int, stride: int) -> bool:
    """Return whether a filter lies inside an image at as many places as are shown."""
    return int(inside(shape, size, stride).sum()) >= PLACES


def telling_places(
    pixels: NDArray[np.floating], sums: NDArray[np.floating], size: int, stride: int
) -> list[tuple[int, int]]:
    """Choose four places (row, column) of the output to look at, in reading order.

    The largest sum, the smallest, the one nearest to zero among those with much ink under the
    filter, and one with the least ink; where there is room, without overlap.
    """
    at = np.argwhere(inside(pixels.shape, size, stride))
    ink = convolve(pixels, np.ones((size, size)), stride)[tuple(at.T)]
    values = np.nan_to_num(sums[tuple(at.T)])
    much = ink >= np.median(ink[ink > 0]) if ink.any() else ink >= 0
    chosen: list[int] = []
    for wish in (-values, values, np.where(much, np.abs(values), np.inf), ink):
        order = [int(k) for k in np.argsort(wish, kind="stable") if k not in chosen]
        apart = (k for k in order if all(max(abs(at[k] - at[c])) >= size for c in chosen))
        chosen.append(next(apart, order[0]))
    return sorted((int(y), int(x)) for y, x in at[chosen])


def convolution(
    data: Predictions, row: int, all_weights: NDArray[np.floating], stride: int
) -> ReportFigure:
    """Draw how a filter of conv1 works on a test image.

    Args:
        data: the test split.
        row: row of the test image.
        all_weights: weights of conv1, [size, size, 1, filters].
        stride: stride of conv1, in pixels.
    """
    pixels = data.images[row] / 255
    number = telling_filter(pixels, all_weights, stride)
    return ReportFigure(
        figure=draw_convolution(data.images[row], all_weights[:, :, 0, number], stride),
        name=f"convolution-{row}",
        title=f"How a convolution works: filter {number} of conv1 at four places",
        caption=f"The filter lies over a patch of test image {row}: red weights are positive, blue"
        " ones negative. The ink of each pixel times the weight on it, all added up, is one pixel"
        " of the output, before the bias is added. The four numbers show where each sum stands"
        " among the sums at all places.",
        alt=f"Test image {row}, a {data.names[data.true[row]]}, four times, with the filter at"
        " another place each time; below each the products and their sum, and at the bottom the"
        " sums at all places.",
    )


def draw_convolution(
    image: NDArray[np.uint8], weights: NDArray[np.floating], stride: int
) -> Figure:
    """Return a filter over four places of an image, the products, their sums, and all sums."""
    pixels, size, gap, line = image / 255, len(weights), 32, 34
    sums = convolve(pixels, weights, stride)
    places = telling_places(pixels, sums, size, stride)
    starts = [
        [patch_starts(n, size, stride)[p] for p in at]
        for n, at in zip(image.shape, zip(*places, strict=True), strict=True)
    ]
    products = [
        pixels[top : top + size, left : left + size] * weights
        for top, left in zip(*starts, strict=True)
    ]
    product_scale, sum_scale = symmetric(np.stack(products)), symmetric(sums)
    cell = (WIDTH - 2 * MARGIN - (PLACES - 1) * gap) // PLACES
    width, height = enlarged(image.shape, cell)
    small = enlarged((size, size), 110)[0]
    across, down = enlarged(sums.shape, 340)
    second = MARGIN + height + ARROW
    third = second + line + small + ARROW
    last = third + 90 + ARROW + line
    figure = new_figure(WIDTH, last + down + MARGIN)
    for n, (place, top, left, product) in enumerate(zip(places, *starts, products, strict=True)):
        middle = MARGIN + n * (cell + gap) + cell // 2
        corner, dots = middle - width / 2, width / image.shape[1]
        draw_image(figure, image, (corner, MARGIN, width, height))
        over = (corner + left * dots, MARGIN + top * dots, size * dots, size * dots)
        draw_image(figure, weights, over, symmetric(weights), SIGNS)
        rectangle(figure, over, edge=INK)
        arrow(figure, (middle, second - ARROW + 6), (middle, second - 6))
        write(figure, middle, second, "Ink × weights", SMALL, align="center")
        box = (middle - small / 2, second + line, small, small)
        draw_image(figure, product, box, product_scale, SIGNS)
        arrow(figure, (middle, third - ARROW + 6), (middle, third - 6))
        value = float(sums[place])
        draw_image(figure, np.array([[value]]), (middle - 25, third, 50, 50), sum_scale, SIGNS)
        words = f"{n + 1}: {value:.2f}".replace("-", "\N{MINUS SIGN}")
        write(figure, middle, third + 56, words, SMALL, align="center")
        target = WIDTH / 2 + (n - (PLACES - 1) / 2) * across / (PLACES + 1)
        arrow(figure, (middle, third + 90), (target, last - line - 4))
    write(figure, WIDTH // 2, last - line, "The sums at all places", LABEL, align="center")
    output = ((WIDTH - across) / 2, last, across, down)
    draw_image(figure, sums, output, sum_scale, SIGNS)
    for n, place in enumerate(places):
        mark(figure, output, sums.shape, place, str(n + 1))
    return figure


def mark(
    figure: Figure,
    box: tuple[float, float, float, float],
    shape: tuple[int, ...],
    at: tuple[int, int],
    number: str,
) -> None:
    """Draw a frame around a pixel of an image on the sheet, and its number beside it."""
    left, top, width, height = box
    across, down = width / shape[1], height / shape[0]
    x, y = left + at[1] * across, top + at[0] * down
    for grow, colour in ((3, "white"), (1, INK)):
        rectangle(figure, (x - grow, y - grow, across + 2 * grow, down + 2 * grow), edge=colour)
    beside = x + across + 14 if at[1] < shape[1] / 2 else x - 14
    rectangle(figure, (beside - 9, y + down / 2 - 12, 18, 24), fill="white")
    write(figure, beside, y + down / 2, number, SMALL, align="center", vertical="center")


def filters(
    arrays: Mapping[str, NDArray[Any]], conv2_channels: Sequence[int]
) -> Iterator[ReportFigure]:
    """Draw the weights of the first two convolutional layers, if there are such.

    Raises:
        PipelineError: `conv2_channels` names a channel that does not exist.
    """
    for layer, channels in (("conv1", (0,)), ("conv2", conv2_channels)):
        for channel in channels if f"{layer}/weights" in arrays else ():
            values = arrays[f"{layer}/weights"]
            if channel >= values.shape[2]:
                raise PipelineError(
                    f"--conv2-channels {channel}: conv2 has {values.shape[2]} input channels,"
                    " numbered from 0"
                )
            yield weights(layer, values, channel)


def weights(layer: str, values: NDArray[np.floating], channel: int) -> ReportFigure:
    """Draw the filters of a convolutional layer for one input channel.

    Args:
        layer: name of the layer.
        values: [height, width, input channels, filters].
        channel: input channel, from 0.
    """
    height, width, channels, filters = values.shape
    scale = symmetric(values)
    where = "" if channels == 1 else f" for input channel {channel}"
    tiles = np.moveaxis(values[:, :, channel, :], -1, 0)
    return ReportFigure(
        figure=image_grid(
            tiles,
            columns=max(3, ceil(sqrt(filters))),
            width=NARROW,
            norm=scale,
            colours=SIGNS,
            scale="Weight",
        ),
        name=f"{layer}-weights-{channel}",
        title=f"Filters of {layer}{where}",
        caption=f"The {filters} filters{where}: red is positive, blue negative, one scale for all"
        f" filters of {layer}.",
        alt=f"{filters} filters of {height} × {width} weights between -{scale.vmax:.2f} and"
        f" {scale.vmax:.2f}.",
    )


def flow(
    data: Predictions, row: int, outputs: Sequence[tuple[str, NDArray[np.floating]]]
) -> ReportFigure:
    """Draw one test image, the outputs of each layer and the probabilities, from top to bottom.

    Args:
        data: the test split with its predictions.
        row: row of the image.
        outputs: name and output of each layer, [height, width, filters] or [neurons]; the last
            one's are the logits, which the probabilities replace.
    """
    hidden = outputs[:-1]
    true, predicted = data.names[data.true[row]], data.names[data.predicted[row]]
    return ReportFigure(
        figure=draw_flow(data, row, hidden),
        name=f"flow-{row}",
        title=f"Test image {row}, a {true}, in all layers",
        caption="From top to bottom: the image, the outputs of each layer (darker is larger, each"
        " layer on its own scale), and the probability of each class, blue for the true one.",
        alt=f"Test image {row}, a {true}, goes through {', '.join(name for name, _ in hidden)}"
        f" and is taken for a {predicted} with {percent(float(data.probabilities[row].max()), 1)}.",
    )


def draw_flow(
    data: Predictions, row: int, layers: Sequence[tuple[str, NDArray[np.floating]]]
) -> Figure:
    """Return the figure of `flow`."""
    image = data.images[row]
    bands = [(f"Test image {row}", image[np.newaxis], BYTES)]
    for name, outputs in layers:
        bands.append((*described(name, outputs), from_zero(outputs)))
    grids = [placed(tiles) for _, tiles, _ in bands]
    names, probabilities, colours = bars_of(data, row)
    below = max(text_width(name, SMALL) for name in names)
    tall = round(sum(grid[-1][1] + grid[-1][3] for grid in grids))
    figure = new_figure(WIDTH, tall + len(bands) * (34 + ARROW) + 230 + below + 2 * MARGIN)
    top = MARGIN
    for (label, tiles, norm), grid in zip(bands, grids, strict=True):
        write(figure, WIDTH // 2, top, label, LABEL, align="center")
        for tile, (x, y, width, height) in zip(tiles, grid, strict=False):
            draw_image(figure, tile, (x, top + 34 + y, width, height), norm)
        top += 34 + round(grid[-1][1] + grid[-1][3]) + ARROW
        arrow(figure, (WIDTH / 2, top - ARROW + 6), (WIDTH / 2, top - 6))
    write(figure, WIDTH // 2, top, "Probabilities", LABEL, align="center")
    axes = scaled_axes(figure, 80, top + 50, WIDTH - 160, 150)
    bars = axes.bar(range(len(names)), probabilities, color=colours)
    axes.bar_label(
        bars, [percent(p, 0) if p >= 0.005 else "" for p in probabilities], fontsize=SMALL
    )
    turned = below > (WIDTH - 160) / len(names) - 8
    axes.set_xticks(range(len(names)), names, rotation=90 if turned else 0, parse_math=False)
    axes.set(yticks=[], ylim=(0, 1.2))
    axes.tick_params(length=0, labelsize=SMALL, labelcolor=INK)
    frame(axes)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    return figure


def described(name: str, outputs: NDArray[np.floating]) -> tuple[str, NDArray[np.floating]]:
    """Return the label of a layer's outputs, and their tiles [n, height, width]."""
    if outputs.ndim == 1:
        rows = ceil(len(outputs) / 64)
        strip = np.zeros(rows * ceil(len(outputs) / rows), outputs.dtype)
        strip[: len(outputs)] = outputs
        return f"{name}: {len(outputs)} neurons", strip.reshape(1, rows, -1)
    height, width, filters = outputs.shape
    shown = min(filters, MOST_TILES)
    part = f"the first {shown} of " if shown < filters else ""
    label = f"{name}: {part}{filters} outputs of {height} × {width}"
    return label, np.moveaxis(outputs, -1, 0)[:shown]


ROW_OF_TILES, MOST_TILES = 18, 54
"""Maximum number of a layer's outputs in a row, and in all."""


def placed(tiles: NDArray[np.generic]) -> list[tuple[float, float, int, int]]:
    """Return a box for each tile [n, height, width], in rows in the middle of the sheet."""
    count, gap = len(tiles), 8
    columns = ceil(count / ceil(count / ROW_OF_TILES))
    room = (WIDTH - 2 * MARGIN - (columns - 1) * gap) / columns
    is_strip = count == 1 and tiles.shape[2] > 2 * tiles.shape[1]
    width, height = enlarged(tiles.shape[1:], room if is_strip else min(room, 140))
    left = (WIDTH - columns * (width + gap) + gap) / 2
    return [
        (left + i % columns * (width + gap), i // columns * (height + gap), width, height)
        for i in range(count)
    ]


def bars_of(data: Predictions, row: int) -> tuple[list[str], NDArray[np.floating], list[str]]:
    """Return name, probability and colour of each bar: of all classes, or the most probable."""
    probabilities, true = np.nan_to_num(data.probabilities[row]), int(data.true[row])
    classes = list(range(len(probabilities)))
    if len(classes) > ALL_CLASSES:
        first = np.argsort(-probabilities, kind="stable")[:SOME_CLASSES].tolist()
        classes = first if true in first else [*first[:-1], true]
    best = int(probabilities.argmax())
    colours = [BLUE if c == true else ORANGE if c == best else PALE for c in classes]
    return shortened([data.names[c] for c in classes], 160, SMALL), probabilities[classes], colours


def from_zero(values: NDArray[np.floating]) -> Normalize:
    """Return a scale from zero, or the smallest negative value, to the largest finite value."""
    finite = values[np.isfinite(values)]
    low, high = float(finite.min(initial=0.0)), float(finite.max(initial=0.0))
    return Normalize(low, high if high > low else low + 1)
