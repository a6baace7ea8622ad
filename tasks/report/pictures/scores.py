"""The data, how well it was learned, what it gets wrong, how sure it is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from tasks.records import Evaluation, Metrics
from tasks.report import figures
from tasks.report.pictures.book import Predicted, Sketchbook, by_confidence

FIRST_IMAGES = 9
PAIRS = 10
"""Confused pairs that are shown, the most frequent ones."""


def draw_first_images(
    book: Sketchbook, images: np.ndarray, labels: np.ndarray, names: list[str]
) -> None:
    count = min(FIRST_IMAGES, len(images))
    titles = [f"True: {names[label]}" for label in labels[:count]]
    book.add(
        figures.image_grid(images[:count], titles),
        name="first-test-images",
        title="What there is to learn",
        caption=f"The first {count} images of the test split, each with its true class.",
        alt="Images of the classes " + ", ".join(names[label] for label in labels[:count]) + ".",
    )


def draw_learning_curve(
    book: Sketchbook, curves: Sequence[Path], evaluations: tuple[Evaluation, ...]
) -> None:
    reports = pa.concat_tables(map(pq.read_table, curves)) if curves else None
    columns = ("iteration", "accuracy", "loss")
    iteration, accuracy, loss = (
        reports[name].to_numpy() if reports else np.array([]) for name in columns
    )
    first, last = evaluations[0], evaluations[-1]
    book.add(
        figures.learning_curve(
            iteration, accuracy, loss, [(e.iteration, e.correct, e.total) for e in evaluations]
        ),
        name="learning-curve",
        title="How it learned",
        caption="Accuracy and loss on the batch just trained on, every 100 iterations, and the"
        " accuracy on the test split at each milestone with its 95 % interval.",
        alt=f"Test accuracy rises from {first.correct / first.total:.1%} at iteration"
        f" {first.iteration:,} to {last.correct / last.total:.1%} at {last.iteration:,}.",
    )


def draw_errors(book: Sketchbook, data: Predicted, iteration: int) -> None:
    wrong = data.wrong
    shown = wrong[:FIRST_IMAGES]
    after = f"{iteration:,} iteration{'' if iteration == 1 else 's'}"
    book.add(
        figures.example_errors(data.images, data.true, data.predicted, data.names, iteration),
        name=f"errors-{iteration}",
        title=f"Errors after {after}",
        caption=f"The first {len(shown)} of {len(wrong):,} test images that it gets wrong."
        if len(wrong)
        else "It gets no test image wrong.",
        alt=data.taken_for(shown).capitalize() + "." if len(wrong) else "No errors.",
    )


def draw_confidences(book: Sketchbook, data: Predicted) -> None:
    """Add the most confident errors and the least confident right answers."""
    probable = "Beside each image the probability of each class"
    if len(data.names) > figures.SHOWN_CLASSES:
        probable = f"Beside each image the {figures.SHOWN_CLASSES} most probable classes"
    rows = by_confidence(data, data.wrong, FIRST_IMAGES, most=True)
    book.add(
        _confidences(data, rows, "No errors"),
        name="confident-errors",
        title="The most confident errors",
        caption=f"The errors whose wrong class is most probable. {probable}: orange the one"
        " predicted, blue the true one."
        if len(rows)
        else "It gets no test image wrong.",
        alt=_sure(data, rows),
    )
    right = np.flatnonzero(data.true == data.predicted)
    rows = by_confidence(data, right, FIRST_IMAGES, most=False)
    book.add(
        _confidences(data, rows, "Nothing is right"),
        name="unsure-correct",
        title="The least confident right answers",
        caption=f"The images that it gets right with the lowest probability. {probable}: blue"
        " the true one, which is also the one predicted."
        if len(rows)
        else "It gets no test image right.",
        alt=_sure(data, rows),
    )


def _confidences(data: Predicted, rows: np.ndarray, empty: str) -> Figure:
    images, probabilities, true = data.images[rows], data.probabilities[rows], data.true[rows]
    return figures.confidences(images, probabilities, true, data.names, empty)


def _sure(data: Predicted, rows: np.ndarray) -> str:
    """Each image, what it was taken for and how sure, in words."""
    return (
        "; ".join(
            f"true {data.names[data.true[i]]}, predicted {data.names[data.predicted[i]]}"
            f" with {data.probabilities[i].max():.1%}"
            for i in rows
        )
        or "No images."
    )


def draw_confusion(book: Sketchbook, matrix: np.ndarray, names: list[str]) -> None:
    errors = matrix - np.diag(np.diag(matrix))
    true, predicted = np.unravel_index(errors.argmax(), errors.shape)
    worst = int(errors[true, predicted])
    book.add(
        figures.confusion_matrix(matrix, names),
        name="confusion-matrix",
        title="What is taken for what",
        caption="Test images by true class (down) and predicted class (across). The colour scale"
        " is logarithmic, so that single errors show beside the diagonal.",
        alt=f"Confusion matrix. Most often confused: {names[true]} taken for"
        f" {names[predicted]}, {worst} times."
        if worst
        else "Confusion matrix without errors.",
    )


def draw_class_scores(book: Sketchbook, metrics: Metrics, names: list[str]) -> None:
    known = [
        (m.f1, name) for m, name in zip(metrics.classes, names, strict=True) if m.f1 is not None
    ]
    worst, best = min(known, default=(0.0, "")), max(known, default=(0.0, ""))
    book.add(
        figures.class_scores(metrics.classes, names),
        name="class-scores",
        title="Which classes are hard",
        caption="For each class the precision (how many of the images taken for it are of it), the"
        " recall (how many of its images are recognised), F1 (their harmonic mean), and its number"
        " of test images.",
        alt=f"F1 lies between {worst[0]:.1%} for {worst[1]} and {best[0]:.1%} for {best[1]}."
        if known
        else "Nothing is known of any class.",
    )


def draw_confused_pairs(book: Sketchbook, metrics: Metrics, data: Predicted) -> None:
    pairs = metrics.confused[:PAIRS]
    count = len(metrics.confused)
    shown = f"The {PAIRS} most frequent of {count}" if count > PAIRS else f"All {count}"
    book.add(
        figures.confused_pairs(
            [(pair.true, pair.predicted, pair.count) for pair in pairs],
            data.images,
            data.true,
            data.predicted,
            data.names,
        ),
        name="confused-pairs",
        title="Who is confused with whom",
        caption=f"{shown} kinds of error: the true class, what it is taken for, how"
        " many test images, and the first of them."
        if pairs
        else "It gets no test image wrong.",
        alt="; ".join(
            f"{data.names[pair.true]} taken for {data.names[pair.predicted]}: {pair.count}"
            for pair in pairs
        )
        or "No errors.",
    )


def draw_calibration(book: Sketchbook, metrics: Metrics) -> None:
    error = metrics.calibration_error
    book.add(
        figures.calibration(metrics.bins, error),
        name="calibration",
        title="Is it as sure as it is right?",
        caption="Above, the share of images that are right against how sure the network is of"
        " them: on the dashed line it is as sure as it is right, below it too sure. Each dot is"
        f" one of {len(metrics.bins)} bins of equal width; the bars below count its images.",
        alt=f"Reliability diagram. The expected calibration error is {error:.2%}.",
    )
