"""Figures of images: data, errors, and predictions for single images."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tasks.records import ConfusedPair
from tasks.report.figures.canvas import (
    BLUE,
    FRAME,
    LABEL,
    MARGIN,
    ORANGE,
    PALE,
    SMALL,
    TICK,
    TITLE,
    WIDTH,
    draw_image,
    enlarged,
    fitting_size,
    new_figure,
    rectangle,
    sentence,
    shortened,
    text_height,
    text_width,
    wrapped,
    write,
)
from tasks.report.figures.report_figure import Predictions, ReportFigure
from tasks.words import percent, plural

BYTES = Normalize(0, 255)
GREYS = colormaps["binary"]
SHOWN_CLASSES = 10
"""Maximum number of classes with a probability bar beside an image."""


def image_grid(
    images: NDArray[np.generic],
    titles: Sequence[str],
    columns: int = 3,
    heading: str = "",
    empty: str = "No images",
    norm: Normalize = BYTES,
) -> Figure:
    """Return a grid of images, each with its title below.

    Args:
        images: [n, height, width].
        titles: n texts; long ones are wrapped.
        columns: images per row.
        heading: heading above all images.
        empty: sentence to show if there are no images.
        norm: scale from white to black.
    """
    if len(images) == 0:
        return sentence(empty, heading)
    gap = 20
    cell = (WIDTH - 2 * MARGIN - 2 * gap) // max(3, columns)
    width, height = enlarged(images.shape[1:], cell)
    labels = [wrapped(title, cell, LABEL) for title in titles]
    below = max(text_height(label, LABEL) for label in labels) + 8

    columns = min(columns, len(images))
    rows = ceil(len(images) / columns)
    across = columns * cell + (columns - 1) * gap
    heading = wrapped(heading, across, TITLE)
    top = MARGIN + text_height(heading, TITLE)
    figure = new_figure(
        2 * MARGIN + across, top + rows * (height + below) + (rows - 1) * gap + MARGIN // 2
    )
    write(figure, MARGIN, MARGIN, heading, TITLE)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        row, column = divmod(i, columns)
        left = MARGIN + column * (cell + gap)
        y = top + row * (height + below + gap)
        draw_image(figure, image, (left + (cell - width) // 2, y, width, height), norm, GREYS)
        write(figure, left + cell // 2, y + height + 8, label, LABEL, align="center")
    return figure


def example_errors(
    images: NDArray[np.uint8],
    true: NDArray[np.integer],
    predicted: NDArray[np.integer],
    class_names: Sequence[str],
    iteration: int,
) -> Figure:
    """Return the first nine misclassified images, with true and predicted class.

    Args:
        images: [n, height, width].
        true: [n], indices into `class_names`.
        predicted: [n], indices into `class_names`.
        class_names: name of each class.
        iteration: number of training iterations before the predictions.
    """
    wrong = np.flatnonzero(true != predicted)[:9]
    titles = [f"True: {class_names[true[i]]}, Pred: {class_names[predicted[i]]}" for i in wrong]
    cell = (WIDTH - 2 * MARGIN - 40) // 3
    if any(text_width(title, LABEL) > cell for title in titles):
        titles = [title.replace(", Pred: ", ",\nPred: ") for title in titles]
    heading = f"After {plural(iteration, 'iteration')}"
    return image_grid(images[wrong], titles, 3, heading, "No errors at this milestone")


def single_image(image: NDArray[np.uint8], title: str) -> Figure:
    """Return one image [height, width], from 0 (white) to 255 (black), with its title above."""
    width, height = enlarged(image.shape, 420)
    across = max(width, 420)
    title = wrapped(title, across, TITLE)
    top = MARGIN + text_height(title, TITLE)
    figure = new_figure(across + 2 * MARGIN, top + height + MARGIN)
    write(figure, MARGIN + across // 2, MARGIN, title, TITLE, align="center")
    draw_image(figure, image, (MARGIN + (across - width) // 2, top, width, height), BYTES, GREYS)
    return figure


def confidences(
    images: NDArray[np.uint8],
    probabilities: NDArray[np.floating],
    true: NDArray[np.integer],
    class_names: Sequence[str],
    empty: str,
) -> Figure:
    """Return images, each with a bar for the probability of each class.

    Args:
        images: [n, height, width], from 0 (white) to 255 (black).
        probabilities: [n, classes], from 0 to 1.
        true: [n], indices into `class_names`.
        class_names: name of each class.
        empty: sentence to show if there are no images.
    """
    if len(images) == 0:
        return sentence(empty)
    names = shortened(class_names, 150, SMALL)
    names_wide = max(text_width(name, SMALL) for name in names)
    columns = 3 if names_wide <= 50 else 2
    gap, line, top = 20, 25, MARGIN + 44
    cell = (WIDTH - 2 * MARGIN - (columns - 1) * gap) // columns
    width, height = enlarged(images.shape[1:], 112)
    shown = min(SHOWN_CLASSES, len(names))
    pairs = [
        (f"True: {class_names[t]}", f"Pred: {class_names[p.argmax()]}")
        for t, p in zip(true, probabilities, strict=True)
    ]
    # The column of the image is as wide as the text below it, within limits.
    words = [text for pair in pairs for text in pair]
    most = max(width, 112 if columns == 3 else 160)
    size = fitting_size(words, most)
    part = max(width, 112, min(max(text_width(text, size) for text in words), most))
    labels = ["\n".join(shortened(pair, part, size)) for pair in pairs]
    tallest = max(text_height(label, TICK) for label in labels)
    down = max(shown * line, height + 8 + tallest) + 24
    figure = new_figure(WIDTH, top + ceil(len(images) / columns) * down)
    wrong = any(t != p.argmax() for t, p in zip(true, probabilities, strict=True))
    _key(figure, {"true class": BLUE, **({"predicted": ORANGE} if wrong else {}), "others": PALE})

    for i, (image, row) in enumerate(zip(images, probabilities, strict=True)):
        left, y = MARGIN + i % columns * (cell + gap), top + i // columns * down
        draw_image(figure, image, (left, y, width, height), BYTES, GREYS)
        write(figure, left, y + height + 8, labels[i], size)
        right, left = left + cell - 76, left + part + 14 + names_wide + 8
        for k, c in enumerate(most_probable(row, int(true[i]), shown)):
            middle = y + k * line + line / 2
            colour = ORANGE if c == row.argmax() else PALE
            colour = BLUE if c == true[i] else colour
            write(figure, left - 8, middle, names[c], SMALL, align="right", vertical="center")
            length = (right - left) * float(row[c]) if np.isfinite(row[c]) else 0
            rectangle(figure, (left, middle - 8, max(length, 1), 16), fill=colour)
            if c == true[i] or not row[c] < 0.005:
                write(
                    figure,
                    left + length + 6,
                    middle,
                    percent(row[c], 0),
                    SMALL,
                    vertical="center",
                )
        rectangle(figure, (left - 1, y, 1, shown * line), fill=FRAME)
    return figure


def _key(figure: Figure, colours: dict[str, str]) -> None:
    """Write a legend of the bar colours at the top of the figure."""
    x = MARGIN
    for meaning, colour in colours.items():
        rectangle(figure, (x, MARGIN + 3, 18, 18), fill=colour)
        write(figure, x + 28, MARGIN + 12, meaning, TICK, vertical="center")
        x += 28 + text_width(meaning, TICK) + 32


def most_probable(row: NDArray[np.floating], true: int, count: int) -> list[int]:
    """Return the classes to show: all in order, or the most probable and the true one."""
    if count == len(row):
        return list(range(count))
    order = [int(c) for c in np.argsort(-row, kind="stable")]
    first = order[:count]
    return first if true in first else [*first[:-1], true]


def confused_pair_grid(
    pairs: Sequence[tuple[int, int, int]],
    images: NDArray[np.uint8],
    true: NDArray[np.integer],
    predicted: NDArray[np.integer],
    class_names: Sequence[str],
) -> Figure:
    """Return counts of the most frequent confusions, with example images.

    Args:
        pairs: (true, predicted, count), one for each row of the figure.
        images: [n, height, width]; the first few of each pair are shown.
        true: [n], indices into `class_names`.
        predicted: [n], indices into `class_names`.
        class_names: name of each class.
    """
    if not pairs:
        return sentence("No errors")
    names = shortened(class_names, 150, LABEL)
    labels = [f"{names[t]} \N{RIGHTWARDS ARROW} {names[p]}" for t, p, _ in pairs]
    heading = "True \N{RIGHTWARDS ARROW} predicted"
    width, height = enlarged(images.shape[1:], 64)
    line, top = max(height, 28) + 14, MARGIN + 44
    names_wide = max(text_width(label, LABEL) for label in [*labels, heading])
    start = MARGIN + names_wide + 24
    most = max(count for _, _, count in pairs)
    number = text_width(f"{most:,}", LABEL) + 12
    room = WIDTH - MARGIN - start
    examples = max(1, min(6, (room - 160 - number) // (width + 8)))
    longest = room - examples * (width + 8) - 24 - number
    figure = new_figure(WIDTH, top + len(pairs) * line + MARGIN - 14)
    write(figure, MARGIN, MARGIN, heading, TICK)
    write(figure, start, MARGIN, "Images", TICK)
    write(figure, WIDTH - MARGIN - examples * (width + 8) + 8, MARGIN, "The first of them", TICK)
    for k, ((t, p, count), label) in enumerate(zip(pairs, labels, strict=True)):
        y = top + k * line
        middle = y + height / 2
        length = longest * count / most
        write(figure, MARGIN, middle, label, LABEL, vertical="center")
        rectangle(figure, (start, middle - 12, length, 24), fill=BLUE)
        write(figure, start + length + 10, middle, f"{count:,}", LABEL, vertical="center")
        for i, row in enumerate(np.flatnonzero((true == t) & (predicted == p))[:examples]):
            left = WIDTH - MARGIN - (examples - i) * (width + 8) + 8
            draw_image(figure, images[row], (left, y, width, height), BYTES, GREYS)
    return figure


FIRST_IMAGES = 9
"""Number of images in each figure of example images."""
PAIRS = 10
"""Maximum number of confused pairs in their figure, the most frequent ones."""
NO_ERRORS = "No test image is misclassified."


def first_images_figure(
    images: NDArray[np.uint8], labels: NDArray[np.integer], names: Sequence[str]
) -> ReportFigure:
    """Return the first test images with their true classes."""
    count = min(FIRST_IMAGES, len(images))
    titles = [f"True: {names[label]}" for label in labels[:count]]
    return ReportFigure(
        figure=image_grid(images[:count], titles),
        name="first-test-images",
        title="The first test images",
        caption=f"The first {count} images of the test split, each with its true class.",
        alt="Images of the classes " + ", ".join(names[label] for label in labels[:count]) + ".",
    )


def errors_figure(data: Predictions, iteration: int) -> ReportFigure:
    """Return the first errors after a number of training iterations."""
    wrong = data.wrong
    shown = wrong[:FIRST_IMAGES]
    return ReportFigure(
        figure=example_errors(data.images, data.true, data.predicted, data.names, iteration),
        name=f"errors-{iteration}",
        title=f"Errors after {plural(iteration, 'iteration')}",
        caption=f"The first {len(shown)} of {len(wrong):,} misclassified test images."
        if len(wrong)
        else NO_ERRORS,
        alt=data.described(shown).capitalize() + "." if len(wrong) else "No errors.",
    )


def confident_errors_figure(data: Predictions) -> ReportFigure:
    """Return the errors with the highest confidence."""
    rows = data.by_confidence(data.wrong, FIRST_IMAGES, highest=True)
    return ReportFigure(
        figure=_confidences_of(data, rows, "No errors"),
        name="confident-errors",
        title="The most confident errors",
        caption=f"The misclassified test images with the highest confidence. {_bars_shown(data)}:"
        " orange the predicted class, blue the true class."
        if len(rows)
        else NO_ERRORS,
        alt=data.described_with_confidence(rows),
    )


def unsure_correct_figure(data: Predictions) -> ReportFigure:
    """Return the correctly classified images with the lowest confidence."""
    rows = data.by_confidence(data.correct, FIRST_IMAGES, highest=False)
    return ReportFigure(
        figure=_confidences_of(data, rows, "Nothing is right"),
        name="unsure-correct",
        title="The least confident correct predictions",
        caption="The correctly classified test images with the lowest confidence."
        f" {_bars_shown(data)}: blue the true class, which is also the predicted one."
        if len(rows)
        else "No test image is classified correctly.",
        alt=data.described_with_confidence(rows),
    )


def _bars_shown(data: Predictions) -> str:
    """Return the beginning of a sentence about the bars beside each image."""
    if len(data.names) > SHOWN_CLASSES:
        return f"Beside each image the {SHOWN_CLASSES} most probable classes"
    return "Beside each image the probability of each class"


def _confidences_of(data: Predictions, rows: NDArray[np.integer], empty: str) -> Figure:
    """Return some images, each with the probability of each class."""
    images, probabilities, true = data.images[rows], data.probabilities[rows], data.true[rows]
    return confidences(images, probabilities, true, data.names, empty)


def confused_pairs_figure(data: Predictions, confused: Sequence[ConfusedPair]) -> ReportFigure:
    """Return the most frequent confusions, of all in descending order of their count."""
    pairs = confused[:PAIRS]
    shown = f"The {PAIRS} most frequent of {len(confused)}"
    if len(confused) <= PAIRS:
        shown = f"All {len(confused)}"
    return ReportFigure(
        figure=confused_pair_grid(
            [(pair.true, pair.predicted, pair.count) for pair in pairs],
            data.images,
            data.true,
            data.predicted,
            data.names,
        ),
        name="confused-pairs",
        title="The most frequent confusions",
        caption=f"{shown} pairs of a true and a predicted class: the number of test images, and"
        " the first of them."
        if pairs
        else NO_ERRORS,
        alt="; ".join(
            f"{data.names[pair.true]} taken for {data.names[pair.predicted]}: {pair.count}"
            for pair in pairs
        )
        or "No errors.",
    )


def sample_image_figure(data: Predictions, row: int) -> ReportFigure:
    """Return one test image."""
    name = data.names[data.true[row]]
    return ReportFigure(
        figure=single_image(data.images[row], f"Test image {row}: {name}"),
        name=f"image-{row}",
        title=f"Test image {row}",
        caption=f"A {name}, as the network receives it.",
        alt=f"Image of a {name}.",
    )
