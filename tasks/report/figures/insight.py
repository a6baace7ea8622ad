"""Figures of the insights: exciting inputs, attribution maps, map of the test images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import Normalize, to_rgba_array
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tasks.records import Attribution
from tasks.report.figures.canvas import (
    FRAME,
    LABEL,
    MARGIN,
    SIGNS,
    SMALL,
    TICK,
    WIDTH,
    colour_bar,
    draw_image,
    enlarged,
    image_grid,
    legend_above,
    new_figure,
    plots,
    sentence,
    shortened,
    symmetric,
    write,
)
from tasks.report.figures.images import NO_ERRORS
from tasks.report.figures.report_figure import Predictions, ReportFigure
from tasks.words import percent

ATTRIBUTED = 6
"""Maximum number of errors whose attribution is shown."""


def exciting_inputs(found: Mapping[str, NDArray[Any]], names: Sequence[str]) -> ReportFigure:
    """Draw the input that excites each class most.

    Args:
        found: `images`, `logits` and `probabilities`; see `Excitation.file`.
        names: name of each class.
    """
    images, logits, probabilities = (found[k] for k in ("images", "logits", "probabilities"))
    columns = 5 if len(images) <= 30 else 7
    labels = [f"{name}: {percent(p, 0)}" for name, p in zip(names, probabilities, strict=True)]
    return ReportFigure(
        figure=image_grid(images, labels, columns, norm=Normalize(0, 1)),
        name="exciting-inputs",
        title="Exciting inputs",
        caption="For each class an input with a high logit, found from noise by gradient ascent"
        " with a blurred gradient and a price on ink, and the probability that the network gives"
        " it for the class: what it looks for, with little ink. It need not look like the class"
        " to a human, and without the price the logits would be higher still.",
        alt=f"{len(images)} generated images with logits of their own class from"
        f" {logits.min():.1f} to {logits.max():.1f}.",
    )


def attributions(
    data: Predictions, attribution: Attribution, tensors: Mapping[str, NDArray[np.floating]]
) -> ReportFigure:
    """Draw which pixels speak for the predicted and for the true class, for the first errors.

    Args:
        data: test split with its predictions.
        attribution: images and predictions of the maps.
        tensors: maps [n, rows, columns] by method and class, e.g. `gradient/predicted`.
    """
    rows, side = np.array(attribution.test_images[:ATTRIBUTED], int), attribution.patch
    return ReportFigure(
        figure=_draw_attributions(data, rows, side, tensors) if len(rows) else sentence(NO_ERRORS),
        name="attributions",
        title="Attribution of errors",
        caption="Red pixels speak for the predicted class (left of each pair) or the true class"
        " (right), blue pixels against it. The first pair is gradient × input, the second the"
        f" decrease of the logit when {side} × {side} pixels around the place are covered."
        if len(rows)
        else NO_ERRORS,
        alt=f"Maps of the first {len(rows)} errors: {data.described(rows)}.",
    )


def _draw_attributions(
    data: Predictions,
    rows: NDArray[np.intp],
    side: int,
    tensors: Mapping[str, NDArray[np.floating]],
) -> Figure:
    """Return a row for each image: its classes, the image, and two maps of each method."""
    columns, gap, words = 5, 12, 150
    cell = (WIDTH - 2 * MARGIN - words - columns * gap) // columns
    width, height = enlarged(data.images.shape[1:], cell)
    line, top = max(height, 60) + gap, MARGIN + 72
    foot = top + line * len(rows)
    figure = new_figure(WIDTH, foot + 110)
    places = [MARGIN + words + gap + k * (cell + gap) for k in range(columns)]

    def column(k: int, heading: str, images: NDArray[np.generic], *colours: Any) -> None:
        write(figure, places[k] + width / 2, MARGIN + 34, heading, SMALL, align="center")
        for i, image in enumerate(images):
            draw_image(figure, image, (places[k], top + i * line, width, height), *colours)

    for i, row in enumerate(rows):
        pair = f"True: {data.names[data.true[row]]}", f"Pred: {data.names[data.predicted[row]]}"
        label = "\n".join(shortened(pair, words, SMALL))
        write(figure, MARGIN, top + i * line + height / 2, label, SMALL, vertical="center")
    column(0, "the image", data.images[rows])
    methods = {"gradient": "gradient × input", "occlusion": f"{side} × {side} pixels covered"}
    for k, (method, title) in enumerate(methods.items()):
        maps = [tensors[f"{method}/{c}"][: len(rows)] for c in ("predicted", "true")]
        norm, first = symmetric(np.stack(maps)), 1 + 2 * k
        middle = (places[first] + places[first + 1] + width) / 2
        write(figure, middle, MARGIN, title, TICK, align="center")
        column(first, "for predicted", maps[0], norm, SIGNS)
        column(first + 1, "for true", maps[1], norm, SIGNS)
        box = (places[first], foot + 12, places[first + 1] + width - places[first], 20)
        colour_bar(figure, box, norm, SIGNS, "Logit")
    return figure


COLOURS = to_rgba_array(
    [
        *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
        *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
    ]
)
"""Ten colours, distinct with every kind of colour vision: M. A. Petroff, "Accessible
color sequences for data visualization", arXiv:2107.02270. They repeat after ten classes."""


def similarity_map(
    columns: Mapping[str, NDArray[Any]], names: Sequence[str], layer: str, total: int
) -> ReportFigure:
    """Draw a map of the test images by the outputs of a layer.

    Args:
        columns: `x`, `y`, `label` and `predicted` of each point; see `Embedding.file`.
        names: name of each class.
        layer: name of the layer.
        total: number of test images, as many as points or more.
    """
    true, predicted = columns["label"], columns["predicted"]
    count, wrong = len(true), int((true != predicted).sum())
    sample = f"{count:,} of {total:,} test images, errors first"
    if count == total:
        sample = f"All {total:,} test images"
    return ReportFigure(
        figure=_draw_map(columns, names),
        name="map",
        title=f"Map of the test images by {layer}",
        caption=f"{sample}: images with similar outputs of {layer} are close to each other (PCA,"
        " then t-SNE; distances between groups mean little). Colours are true classes, crosses"
        f" the {wrong:,} errors.",
        alt=f"A map of {count:,} points of {len(np.unique(true))} classes, {wrong:,} of them"
        " marked as errors.",
    )


def _draw_map(columns: Mapping[str, NDArray[Any]], names: Sequence[str]) -> Figure:
    """Return points coloured by true class, with the name of each class at their median."""
    x, y, true = columns["x"].astype(float), columns["y"].astype(float), columns["label"]
    if not np.isfinite([x, y]).all():
        return sentence("The outputs of the network are not finite: there is nothing to map.")
    figure = plots(WIDTH)
    (axes,) = figure.axes
    axes.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    colours, right = COLOURS[true.astype(int) % len(COLOURS)], true == columns["predicted"]
    axes.scatter(x[right], y[right], s=7, c=colours[right], lw=0, label="right")
    axes.scatter(
        x[~right],
        y[~right],
        s=26,
        c=colours[~right],
        marker="X",
        lw=0.6,
        edgecolors="black",
        label="wrong",
    )
    for c in np.unique(true):
        axes.text(
            np.median(x[true == c]),
            np.median(y[true == c]),
            shortened([names[c]], 200, LABEL)[0],
            ha="center",
            va="center",
            fontsize=LABEL if len(names) <= 30 else SMALL,
            bbox={
                "boxstyle": "round,pad=0.15",
                "fc": "white",
                "ec": "0.6",
                "lw": 0.6,
                "alpha": 0.85,
            },
            parse_math=False,
        )
    for handle in legend_above(axes).legend_handles:
        assert handle is not None
        handle.set(facecolor=FRAME)
    return figure
