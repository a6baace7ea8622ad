"""Figures of test images and errors."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from tasks.records import ConfusedPair
from tasks.report.figures.canvas import (
    BLUE,
    LABEL,
    MARGIN,
    TICK,
    WIDTH,
    draw_image,
    enlarged,
    image_grid,
    new_figure,
    rectangle,
    sentence,
    shortened,
    text_width,
    write,
)
from tasks.report.figures.report_figure import Predictions, ReportFigure
from tasks.words import percent, plural

SHOWN = 9
"""Number of images in a figure of examples."""
NARROW = 480
"""Width in dots of the errors at one milestone; there are several side by side."""
PAIRS = 10
"""Maximum number of confused pairs in their figure, the most frequent ones."""
EXAMPLES = 6
"""Maximum number of images beside each pair."""
NO_ERRORS = "No test image is misclassified."


def first_images(data: Predictions) -> ReportFigure:
    """Draw the first test images with their true classes."""
    count = min(SHOWN, len(data.images))
    names = [data.names[label] for label in data.true[:count]]
    return ReportFigure(
        figure=image_grid(data.images[:count], [f"True: {name}" for name in names]),
        name="first-test-images",
        title="The first test images",
        caption=f"The first {count} images of the test split, each with its true class.",
        alt=f"Images of the classes {', '.join(names)}.",
    )


def errors(data: Predictions, iteration: int) -> ReportFigure:
    """Draw the first errors after a number of training iterations."""
    wrong = data.wrong
    shown = wrong[:SHOWN]
    labels = [
        f"True: {data.names[data.true[i]]}\nPred: {data.names[data.predicted[i]]}" for i in shown
    ]
    return ReportFigure(
        figure=image_grid(data.images[shown], labels, width=NARROW)
        if len(shown)
        else sentence(NO_ERRORS),
        name=f"errors-{iteration}",
        title=f"After {plural(iteration, 'iteration')}",
        caption=f"The first {len(shown)} of {plural(len(wrong), 'error')}."
        if len(wrong)
        else NO_ERRORS,
        alt=f"{data.described(shown)}.",
    )


def confident_errors(data: Predictions) -> ReportFigure:
    """Draw the errors with the highest confidence."""
    wrong = data.wrong
    confidence = data.probabilities[wrong].max(axis=1)
    rows = wrong[np.argsort(-confidence, kind="stable")[:SHOWN]]

    def said(row: int, c: int) -> str:
        return f"{data.names[c]}, {percent(float(data.probabilities[row, c]), 1)}"

    labels = [
        f"True: {said(row, data.true[row])}\nPred: {said(row, data.predicted[row])}" for row in rows
    ]
    return ReportFigure(
        figure=image_grid(data.images[rows], labels) if len(rows) else sentence(NO_ERRORS),
        name="confident-errors",
        title="The most confident errors",
        caption="The misclassified test images with the highest confidence: the true class and the"
        " predicted one, each with the probability that the network gave it."
        if len(rows)
        else NO_ERRORS,
        alt="; ".join(label.replace("\n", ", ") for label in labels) or "No errors.",
    )


def confused_pairs(data: Predictions, confused: Sequence[ConfusedPair]) -> ReportFigure:
    """Draw the most frequent confusions with their counts and first images.

    Args:
        data: the test split with its predictions.
        confused: all pairs, in descending order of their count.
    """
    pairs = confused[:PAIRS]
    some = f"The {PAIRS} most frequent of {len(confused)} pairs"
    if len(confused) <= PAIRS:
        some = f"{plural(len(confused), 'pair')}"
    return ReportFigure(
        figure=_draw_pairs(data, pairs) if pairs else sentence(NO_ERRORS),
        name="confused-pairs",
        title="The most frequent confusions",
        caption=f"{some} of a true and a predicted class: the number of test images, and the first"
        " of them."
        if pairs
        else NO_ERRORS,
        alt="; ".join(
            f"{data.names[pair.true]} taken for {data.names[pair.predicted]}: {pair.count}"
            for pair in pairs
        )
        or "No errors.",
    )


def _draw_pairs(data: Predictions, pairs: Sequence[ConfusedPair]) -> Figure:
    """Return a row for each pair: its classes, a bar for its count, and its first images."""
    names = shortened(data.names, 150, LABEL)
    labels = [f"{names[p.true]} \N{RIGHTWARDS ARROW} {names[p.predicted]}" for p in pairs]
    heading = "True \N{RIGHTWARDS ARROW} predicted"
    width, height = enlarged(data.images.shape[1:], 64)
    start = MARGIN + max(text_width(label, LABEL) for label in [*labels, heading]) + 24
    images = WIDTH - MARGIN - EXAMPLES * (width + 8)
    longest = images - start - text_width(f"{pairs[0].count:,}", LABEL) - 36
    line, top = max(height, 28) + 14, MARGIN + 44
    figure = new_figure(WIDTH, top + len(pairs) * line + MARGIN - 14)
    for x, words in ((MARGIN, heading), (start, "Images"), (images, "The first of them")):
        write(figure, x, MARGIN, words, TICK)
    for k, (pair, label) in enumerate(zip(pairs, labels, strict=True)):
        y = top + k * line
        middle, length = y + height / 2, longest * pair.count / pairs[0].count
        write(figure, MARGIN, middle, label, LABEL, vertical="center")
        rectangle(figure, (start, middle - 12, length, 24), fill=BLUE)
        write(figure, start + length + 10, middle, f"{pair.count:,}", LABEL, vertical="center")
        same = (data.true == pair.true) & (data.predicted == pair.predicted)
        for i, row in enumerate(np.flatnonzero(same)[:EXAMPLES]):
            draw_image(figure, data.images[row], (images + i * (width + 8), y, width, height))
    return figure
