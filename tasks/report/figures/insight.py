"""Figures of the insights: exciting inputs, attribution maps, map of the test images."""

from collections.abc import Mapping, Sequence
from math import cos, sin

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from tasks.records import Attribution
from tasks.report.figures.canvas import (
    FRAME,
    INK,
    LABEL,
    MARGIN,
    SMALL,
    TICK,
    WIDTH,
    colour_bar,
    draw_image,
    enlarged,
    fitting_size,
    frame,
    new_figure,
    scaled_axes,
    sentence,
    shortened,
    symmetric,
    text_height,
    text_width,
    write,
)
from tasks.report.figures.images import BYTES, GREYS, NO_ERRORS, image_grid
from tasks.report.figures.report_figure import Predictions, ReportFigure
from tasks.words import percent


def exciting_inputs(
    images: NDArray[np.floating], probabilities: NDArray[np.floating], class_names: Sequence[str]
) -> Figure:
    """Return the input that excites each class most, with its probability.

    Args:
        images: [classes, height, width], from 0 (white) to 1 (black).
        probabilities: [classes], probability of the class for its own image, from 0 to 1.
        class_names: name of each class.
    """
    titles = [
        f"{name}: {percent(p, 0)}" for name, p in zip(class_names, probabilities, strict=True)
    ]
    columns = 5 if len(images) > 4 else 3
    return image_grid(images, titles, columns if len(images) <= 30 else 7, norm=Normalize(0, 1))


def attributions(
    images: NDArray[np.uint8],
    true: Sequence[int],
    predicted: Sequence[int],
    maps: Sequence[tuple[str, NDArray[np.floating], NDArray[np.floating]]],
    class_names: Sequence[str],
) -> Figure:
    """Return maps of the pixels that speak for the predicted and for the true class.

    Args:
        images: [n, height, width], from 0 (white) to 255 (black).
        true: n indices into `class_names`.
        predicted: n indices into `class_names`.
        maps: for each method its name, and maps [n, rows, columns] for the predicted and for the
            true class, on one colour scale: red speaks for the class, blue against it.
        class_names: name of each class.
    """
    if len(images) == 0:
        return sentence("No errors")
    pairs = [
        (f"True: {class_names[t]}", f"Pred: {class_names[p]}")
        for t, p in zip(true, predicted, strict=True)
    ]
    size = fitting_size([text for pair in pairs for text in pair], 150)
    words_wide, gap = 150 if size == TICK else 180, 12
    columns = 1 + 2 * len(maps)
    cell = (WIDTH - 2 * MARGIN - words_wide - columns * gap) // columns
    width, height = enlarged(images.shape[1:], cell)
    labels = ["\n".join(shortened(pair, words_wide, size)) for pair in pairs]
    line = max(height, text_height(labels[0], TICK)) + gap
    top, down = MARGIN + 72, line * len(images)
    figure = new_figure(WIDTH, top + down + 120)
    places = [MARGIN + words_wide + gap + k * (cell + gap) for k in range(columns)]
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        y = top + i * line
        write(figure, MARGIN, y + height / 2, label, size, vertical="center")
        draw_image(figure, image, (places[0], y, width, height), BYTES, GREYS)
    write(figure, places[0] + width / 2, MARGIN + 34, "the image", SMALL, align="center")
    for k, (name, *pair) in enumerate(maps):
        norm = symmetric(np.stack(pair))
        left, right = places[1 + 2 * k], places[2 + 2 * k]
        write(figure, (left + right + width) / 2, MARGIN, name, TICK, align="center")
        for x, shown, heading in zip(
            (left, right), pair, ("for predicted", "for true"), strict=True
        ):
            write(figure, x + width / 2, MARGIN + 34, heading, SMALL, align="center")
            for i, tile in enumerate(shown):
                box = (x, top + i * line, width, height)
                draw_image(figure, tile, box, norm, colormaps["seismic"])
        bar = scaled_axes(figure, left, top + down + 12, right + width - left, 20)
        colour_bar(bar, norm, colormaps["seismic"], "Logit")
    return figure


COLOURS = to_rgba_array(
    [
        *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
        *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
    ]
)
"""Ten colours, distinct with every kind of colour vision: M. A. Petroff, "Accessible
color sequences for data visualization", arXiv:2107.02270."""


def embedding_map(
    places: NDArray[np.floating],
    true: NDArray[np.integer],
    predicted: NDArray[np.integer],
    class_names: Sequence[str],
) -> Figure:
    """Return a map of images as points, coloured by true class, with errors marked.

    The name of each class is written near the median of its points. Colours repeat after ten
    classes.

    Args:
        places: [n, 2], coordinates of the points.
        true: [n], indices into `class_names`.
        predicted: [n], indices into `class_names`.
        class_names: name of each class.
    """
    if not np.isfinite(places).all():
        return sentence("The outputs of the network are not finite: there is nothing to map.")
    side = WIDTH - 2 * MARGIN
    figure = new_figure(WIDTH, side + 2 * MARGIN + 44)
    axes = scaled_axes(figure, MARGIN, MARGIN + 44, side, side)
    middle = (places.max(axis=0) + places.min(axis=0)) / 2
    reach = 0.54 * float(np.ptp(places, axis=0).max()) or 1.0
    axes.set(xlim=middle[0] + [-reach, reach], ylim=middle[1] + [-reach, reach])
    axes.set(xticks=[], yticks=[])
    frame(axes)
    x, y = places.T
    right = true == predicted
    axes.scatter(
        x[right], y[right], s=7, c=COLOURS[true[right] % len(COLOURS)], lw=0, label="right"
    )
    axes.scatter(
        x[~right],
        y[~right],
        s=26,
        c=COLOURS[true[~right] % len(COLOURS)],
        marker="X",
        lw=0.6,
        edgecolors="black",
        label="wrong",
    )
    _name_classes(axes, places, true, class_names)
    legend = axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.3, ncols=2, frameon=False,
        fontsize=TICK, labelcolor=INK, handletextpad=0.2,
    )  # fmt: skip
    for handle in legend.legend_handles:
        assert handle is not None
        handle.set(facecolor=FRAME)
    return figure


def _name_classes(
    axes: Axes,
    places: NDArray[np.floating],
    true: NDArray[np.integer],
    class_names: Sequence[str],
) -> None:
    """Write the name of each class at the median of its points, or at a free place nearby."""
    box = axes.get_window_extent()
    taken: list[tuple[float, float, float, float]] = []
    names = shortened(class_names, 200, LABEL)
    for c in np.unique(true):
        x, y = axes.transData.transform(np.median(places[true == c], axis=0))
        wide, high = text_width(names[c], LABEL) / 2 + 6, 20
        for k in range(4000):
            # Search outwards along a spiral for the first free place.
            at = x + 1.5 * k**0.75 * cos(0.7 * k), y + 1.5 * k**0.75 * sin(0.7 * k)
            inside = box.x0 + wide < at[0] < box.x1 - wide and box.y0 + high < at[1] < box.y1 - high
            if inside and not any(
                abs(at[0] - u) < wide + w and abs(at[1] - v) < high + h for u, v, w, h in taken
            ):
                break
        taken.append((*at, wide, high))
        u, v = axes.transData.inverted().transform(at)
        axes.text(
            u,
            v,
            names[c],
            ha="center",
            va="center",
            fontsize=LABEL,
            color=INK,
            parse_math=False,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )


def exciting_inputs_figure(
    images: NDArray[np.floating],
    logits: NDArray[np.floating],
    probabilities: NDArray[np.floating],
    names: Sequence[str],
) -> ReportFigure:
    """Return the input that excites each class most.

    Args:
        images: [classes, height, width], from 0 (white) to 1 (black).
        logits: [classes], logit of the class for its own image.
        probabilities: [classes], probability of the class for its own image, from 0 to 1.
        names: name of each class.
    """
    return ReportFigure(
        figure=exciting_inputs(images, probabilities, names),
        name="exciting-inputs",
        title="Exciting inputs",
        caption="For each class the input that maximises its logit, and its probability. Gradient"
        " ascent starts from noise; the gradient is smoothed, and ink has a small cost. The input"
        " need not look like the class to a human.",
        alt=f"{len(images)} generated images with logits of their own class from"
        f" {logits.min():.1f} to {logits.max():.1f}.",
    )


def attributions_figure(
    data: Predictions, attribution: Attribution, tensors: Mapping[str, NDArray[np.floating]]
) -> ReportFigure:
    """Return the attribution maps of the first errors.

    Args:
        data: test split with its predictions.
        attribution: images and predictions of the maps.
        tensors: maps [n, rows, columns] by method and class, e.g. `gradient/predicted`.
    """
    rows = np.array(attribution.test_images, int)
    side = attribution.patch
    methods = (("gradient", "gradient × input"), ("occlusion", f"{side} × {side} pixels covered"))
    maps = [
        (title, tensors[f"{method}/predicted"], tensors[f"{method}/true"])
        for method, title in methods
        if len(rows)
    ]
    return ReportFigure(
        figure=attributions(
            data.images[rows], data.true[rows].tolist(), attribution.predicted, maps, data.names
        ),
        name="attributions",
        title="Attribution of errors",
        caption="Red pixels speak for the predicted class (left of each pair) or the true class"
        " (right), blue pixels against it. The first pair is gradient × input, the second the"
        f" decrease of the logit when {side} × {side} pixels around the place are covered."
        if len(rows)
        else NO_ERRORS,
        alt=f"Maps of the first {len(rows)} errors: {data.described(rows)}."
        if len(rows)
        else "No errors.",
    )


def map_figure(
    places: NDArray[np.floating],
    true: NDArray[np.integer],
    predicted: NDArray[np.integer],
    names: Sequence[str],
    layer: str,
    total: int,
) -> ReportFigure:
    """Return a map of the test images by the outputs of a layer.

    Args:
        places: [n, 2], coordinates of the points.
        true: [n], indices into `names`.
        predicted: [n], indices into `names`.
        names: name of each class.
        layer: name of the layer.
        total: number of test images, n or more.
    """
    count, wrong = len(places), int((true != predicted).sum())
    sample = f"{count:,} of {total:,} test images, errors first"
    if count == total:
        sample = f"All {total:,} test images"
    return ReportFigure(
        figure=embedding_map(places, true, predicted, names),
        name="map",
        title=f"Map of the test images by {layer}",
        caption=f"{sample}: images with similar outputs of {layer} are close to each other (PCA,"
        " then t-SNE; distances between groups mean little). Colours are true classes, crosses"
        f" the {wrong:,} errors.",
        alt=f"A map of {count:,} points of {len(np.unique(true))} classes, {wrong:,} of them"
        " marked as errors.",
    )
