"""The figure of how a convolution works: one filter at four places of one image."""

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tasks.report.figures.canvas import (
    INK,
    LABEL,
    MARGIN,
    SMALL,
    TITLE,
    WIDTH,
    arrow,
    draw_image,
    enlarged,
    new_figure,
    rectangle,
    symmetric,
    text_height,
    wrapped,
    write,
)
from tasks.report.figures.images import BYTES, GREYS
from tasks.report.figures.report_figure import Predictions, ReportFigure

SIGNS = colormaps["seismic"]
PLACES = 4
GAP = 32
ARROW = 44
"""Dots that an arrow takes with the air around it."""


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
    tops = patch_starts(pixels.shape[0], size, stride)
    lefts = patch_starts(pixels.shape[1], size, stride)
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


def telling_filter(
    pixels: NDArray[np.floating], weights: NDArray[np.floating], stride: int = 1
) -> int:
    """Return the filter whose sums differ most over an image.

    Args:
        pixels: [height, width].
        weights: of the first layer, [size, size, 1, filters].
        stride: from one place to the next.
    """
    spreads = [convolve(pixels, w, stride).std() for w in np.moveaxis(weights[:, :, 0], -1, 0)]
    return int(np.argmax(np.nan_to_num(spreads)))


def telling_places(
    pixels: NDArray[np.floating], sums: NDArray[np.floating], size: int, stride: int = 1
) -> list[tuple[int, int]]:
    """Choose four places (row, column) of the output to look at, in reading order.

    The largest sum, the smallest, the one nearest to zero among those with much ink under the
    filter, and one with the least ink. Where there is room, the filter lies inside the image, and
    its places do not overlap.
    """
    ink = convolve(pixels, np.ones((size, size)), stride)
    tops = patch_starts(pixels.shape[0], size, stride)
    lefts = patch_starts(pixels.shape[1], size, stride)
    inside = np.logical_and.outer(
        (tops >= 0) & (tops + size <= pixels.shape[0]),
        (lefts >= 0) & (lefts + size <= pixels.shape[1]),
    )
    allowed = np.flatnonzero(inside if inside.sum() >= PLACES else np.ones_like(inside))
    values, ink = np.nan_to_num(sums.ravel()[allowed]), ink.ravel()[allowed]
    some = ink[ink > 0]
    much = ink >= (np.median(some) if some.size else 0)
    wishes = [-values, values, np.where(much, np.abs(values), np.inf), ink]
    at = np.stack(np.unravel_index(allowed, sums.shape), axis=1)
    chosen: list[int] = []
    for wish in wishes:
        order = [int(k) for k in np.argsort(wish, kind="stable") if k not in chosen]
        # Filters that lie beside each other, where there is room.
        apart = (k for k in order if all(max(abs(at[k] - at[c])) >= size for c in chosen))
        chosen.append(next(apart, order[0]))
    return sorted((int(y), int(x)) for y, x in at[chosen])


def how_a_convolution_works(
    image: NDArray[np.uint8],
    weights: NDArray[np.floating],
    title: str,
    stride: int = 1,
) -> Figure:
    """Draw a filter over four places of an image, the products, their sums, and all sums.

    Args:
        image: [height, width], 0 is white and 255 black.
        weights: [size, size]; red is positive, blue negative.
        title: stands above.
        stride: from one place of the filter to the next.
    """
    pixels = image.astype(np.float64) / 255
    size = len(weights)
    sums = convolve(pixels, weights, stride)
    places = telling_places(pixels, sums, size, stride)
    tops, lefts = (patch_starts(length, size, stride) for length in image.shape)
    padded = np.pad(pixels, size)
    products = [
        padded[tops[y] + size :, lefts[x] + size :][:size, :size] * weights for y, x in places
    ]
    norms = {
        "weights": symmetric(weights),
        "products": symmetric(np.stack(products)),
        "sums": symmetric(sums),
    }

    cell = (WIDTH - 2 * MARGIN - (PLACES - 1) * GAP) // PLACES
    width, height = enlarged(image.shape, cell)
    small = enlarged((size, size), 110)[0]
    across, down = enlarged(sums.shape, 340)
    title = wrapped(title, WIDTH - 2 * MARGIN, TITLE)
    top = MARGIN + text_height(title, TITLE)
    line = 34
    second = top + line + height + ARROW
    third = second + line + small + ARROW
    last = third + 50 + line + ARROW + line
    figure = new_figure(WIDTH, last + down + MARGIN)
    write(figure, MARGIN, MARGIN, title, TITLE)
    for n, ((y, x), product) in enumerate(zip(places, products, strict=True)):
        left = MARGIN + n * (cell + GAP)
        middle = left + cell // 2
        corner = middle - width // 2
        write(figure, middle, top, f"Place {n + 1}", LABEL, align="center")
        draw_image(figure, image, (corner, top + line, width, height), BYTES, GREYS)
        # Where the filter reaches beyond the image, only the part inside is drawn.
        rows = np.arange(max(tops[y], 0), min(tops[y] + size, image.shape[0]))
        columns = np.arange(max(lefts[x], 0), min(lefts[x] + size, image.shape[1]))
        part = weights[np.ix_(rows - tops[y], columns - lefts[x])]
        across_pixel, down_pixel = width / image.shape[1], height / image.shape[0]
        over = (
            round(corner + columns[0] * across_pixel),
            round(top + line + rows[0] * down_pixel),
            round(len(columns) * across_pixel),
            round(len(rows) * down_pixel),
        )
        draw_image(figure, part, over, norms["weights"], SIGNS)
        rectangle(figure, over, edge=INK)
        foot = top + line + height
        arrow(figure, (middle, foot + 6), (middle, foot + ARROW - 6))
        write(figure, middle, second, "Ink × weights", SMALL, align="center")
        box = (middle - small // 2, second + line, small, small)
        draw_image(figure, product, box, norms["products"], SIGNS)
        foot = second + line + small
        arrow(figure, (middle, foot + 6), (middle, foot + ARROW - 6))
        value = float(sums[y, x])
        draw_image(figure, np.array([[value]]), (middle - 25, third, 50, 50), norms["sums"], SIGNS)
        words = f"Sum {value:.2f}".replace("-", "\N{MINUS SIGN}")
        write(figure, middle, third + 56, words, SMALL, align="center")
        # From each sum towards the output below.
        target = WIDTH / 2 + (n - (PLACES - 1) / 2) * across / (PLACES + 1)
        arrow(figure, (middle, third + 50 + line + 4), (target, last - line - 4))
    write(figure, WIDTH // 2, last - line, "The sums at all places", LABEL, align="center")
    left = (WIDTH - across) // 2
    draw_image(figure, sums, (left, last, across, down), norms["sums"], SIGNS)
    for n, (y, x) in enumerate(places):
        mark(figure, (left, last, across, down), sums.shape, (y, x), str(n + 1))
    return figure


def convolution_figure(
    predictions: Predictions, row: int, weights: NDArray[np.floating], stride: int
) -> ReportFigure:
    """Return the figure of how a filter of conv1 works on a test image.

    Args:
        predictions: predictions for the test split.
        row: row of the test image.
        weights: weights of conv1, [size, size, 1, filters].
        stride: stride of conv1, in pixels.
    """
    image = predictions.images[row]
    number = telling_filter(image / 255, weights, stride)
    title = f"How a convolution works: filter {number} of conv1 at four places"
    name = predictions.names[predictions.true[row]]
    return ReportFigure(
        figure=how_a_convolution_works(image, weights[:, :, 0, number], title, stride),
        name=f"convolution-{row}",
        title=f"A convolution of test image {row}",
        caption=f"Filter {number} of conv1 lies over a patch of the image: red weights are"
        " positive, blue ones negative. The ink of each pixel times the weight on it, all added"
        " up, is one pixel of the output, before the bias is added. The four numbers show where"
        " each sum stands among the sums at all places.",
        alt=f"Test image {row}, true class {name}, four times, with filter {number} of conv1 at"
        " another place each time; below each the products and their sum, and at the bottom the"
        " sums at all places.",
    )


def mark(
    figure: Figure,
    box: tuple[int, int, int, int],
    shape: tuple[int, ...],
    at: tuple[int, int],
    number: str,
) -> None:
    """Draw a frame around a pixel of an image on the sheet, and its number beside it."""
    left, top, width, height = box
    across, down = width / shape[1], height / shape[0]
    x, y = left + at[1] * across, top + at[0] * down
    for grow, colour in ((3, "white"), (1, INK)):
        rectangle(
            figure,
            (x - grow, y - grow, across + 2 * grow, down + 2 * grow),
            edge=colour,
        )
    beside = x + across + 14 if at[1] < shape[1] / 2 else x - 14
    rectangle(figure, (beside - 9, y + down / 2 - 12, 18, 24), fill="white")
    write(figure, beside, y + down / 2, number, SMALL, align="center", vertical="center")
