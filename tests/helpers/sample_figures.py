"""Figures of usual and unusual inputs, by name."""

from collections.abc import Callable

import numpy as np
from helpers.arrays import noise, normal
from helpers.figures import ALPHANUMERIC, CLOTHES, DIGITS, LONG, random_probabilities
from matplotlib.figure import Figure

from tasks.records import ClassMetrics, ConfidenceBin
from tasks.report import figures


def confusion_counts(classes: int, most: int = 900) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.poisson(0.3, (classes, classes)) + np.diag(rng.integers(most // 2, most, classes))


def sample_confidences(images: int, names: list[str], *shape: int) -> Figure:
    true = np.arange(images) % len(names)
    return figures.confidences(
        noise(images, *shape), random_probabilities(images, len(names)), true, names, "No errors"
    )


def sample_pairs(pairs: int, names: list[str], *shape: int, most: int = 900) -> Figure:
    classes = len(names)
    true = np.arange(pairs) % classes
    wrong = (true + 1) % classes
    counted = [(int(true[k]), int(wrong[k]), most // (k + 1)) for k in range(pairs)]
    # Three images of each pair.
    return figures.confused_pair_grid(
        counted, noise(3 * pairs, *shape), np.tile(true, 3), np.tile(wrong, 3), names
    )


def sample_scores(names: list[str], low: float = 0.3) -> Figure:
    values = np.random.default_rng(0).uniform(low, 1, (len(names), 3))
    metrics = [
        ClassMetrics(support=1000 + i, precision=p, recall=r, f1=f)
        for i, (p, r, f) in enumerate(values.tolist())
    ]
    # The second class has no images, the first is never predicted.
    metrics[1] = ClassMetrics(support=0, precision=0.0, recall=None, f1=0.0)
    metrics[0] = ClassMetrics(support=100_000, precision=None, recall=0.0, f1=0.0)
    return figures.class_scores(metrics, names)


def sample_calibration(*bins: tuple[int, int]) -> Figure:
    """Draw the calibration of bins (count, correct) after empty bins, 15 in all."""
    counted = [(0, 0)] * (15 - len(bins)) + list(bins)
    return figures.calibration(
        [
            ConfidenceBin(
                low=k / 15,
                high=(k + 1) / 15,
                count=n,
                correct=right,
                confidence=(k + 0.5) / 15 if n else None,
            )
            for k, (n, right) in enumerate(counted)
        ],
        0.0123,
    )


def sample_flow(names: list[str], *layers: tuple[int, ...], size: tuple[int, int]) -> Figure:
    """Draw the flow through layers with outputs of the given shapes."""
    outputs = [(f"layer{n}", np.abs(normal(*shape))) for n, shape in enumerate(layers, 1)]
    return figures.flow(
        noise(*size), outputs, random_probabilities(1, len(names))[0], len(names) - 1, names
    )


def sample_attributions(images: int, names: list[str], *shape: int) -> Figure:
    maps = [
        ("gradient × input", normal(images, *shape), -normal(images, *shape)),
        ("11 × 11 pixels covered", 9 * normal(images, *shape), normal(images, *shape)),
    ]
    true = [i % 2 for i in range(images)]
    return figures.attributions(
        noise(images, *shape), true, [1 - t for t in true], maps if images else [], names
    )


def sample_map(images: int, names: list[str], spread: float = 20) -> Figure:
    true = np.arange(images) % len(names)
    angle = 2 * np.pi * true / len(names)
    middle = spread * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    predicted = np.where(np.arange(images) % 9 == 0, (true + 1) % len(names), true)
    return figures.embedding_map(normal(images, 2) + middle, true, predicted, names)


SAMPLES: dict[str, Callable[[], Figure]] = {
    "confident": lambda: sample_confidences(9, DIGITS, 28, 28),
    "confident, one": lambda: sample_confidences(1, DIGITS, 8, 8),
    "confident, none": lambda: sample_confidences(0, DIGITS, 28, 28),
    "confident, 2 long names": lambda: sample_confidences(5, LONG, 32, 20),
    "confident, named": lambda: sample_confidences(9, CLOTHES, 28, 28),
    "confident, 62 classes": lambda: sample_confidences(9, ALPHANUMERIC, 64, 64),
    "confident, tall": lambda: sample_confidences(4, DIGITS, 64, 16),
    "confident, not finite": lambda: figures.confidences(
        noise(1, 8, 8), np.full((1, 10), np.nan), np.array([1]), DIGITS, ""
    ),
    "pairs": lambda: sample_pairs(10, DIGITS, 28, 28),
    "pairs, one": lambda: sample_pairs(1, LONG, 8, 8),
    "pairs, none": lambda: sample_pairs(0, DIGITS, 28, 28),
    "pairs, named": lambda: sample_pairs(8, CLOTHES, 32, 20, most=100_000),
    "pairs, large": lambda: sample_pairs(5, ALPHANUMERIC, 200, 100),
    "scores": lambda: sample_scores(DIGITS),
    "scores, 2 long names": lambda: sample_scores(LONG),
    "scores, 62 classes": lambda: sample_scores(ALPHANUMERIC, 0.96),
    "calibration": lambda: sample_calibration((1, 0), (7, 3), (55_000, 52_000), (9999, 9998)),
    "calibration, nothing": sample_calibration,
    "calibration, full": lambda: sample_calibration(*[(99_999, 50_000)] * 14, (123_456, 9)),
    "flow": lambda: sample_flow(DIGITS, (14, 14, 16), (7, 7, 36), (128,), size=(28, 28)),
    "flow, 8 × 8": lambda: sample_flow(DIGITS, (4, 4, 4), (2, 2, 6), (1024,), (16,), size=(8, 8)),
    "flow, no hidden layer": lambda: sample_flow(LONG, (28, 28, 1), size=(28, 28)),
    "flow, 26 classes": lambda: sample_flow(ALPHANUMERIC[10:36], (4, 4, 3), size=(8, 8)),
    "flow, wide": lambda: sample_flow(ALPHANUMERIC, (64, 64, 256), (100,), size=(64, 64)),
    "flow, many": lambda: sample_flow(CLOTHES, *[(16, 10, 600)] * 4, (64,), (3,), size=(32, 20)),
    "flow, large": lambda: sample_flow(DIGITS, (300, 300, 2), size=(300, 300)),
    "exciting": lambda: figures.exciting_inputs(
        normal(10, 28, 28), random_probabilities(1, 10)[0], DIGITS
    ),
    "exciting, 2": lambda: figures.exciting_inputs(
        normal(2, 32, 20), random_probabilities(1, 2)[0], LONG
    ),
    "exciting, 62": lambda: figures.exciting_inputs(
        normal(62, 8, 8), random_probabilities(1, 62)[0], ALPHANUMERIC
    ),
    "attributions": lambda: sample_attributions(9, DIGITS, 28, 28),
    "attributions, one": lambda: sample_attributions(1, LONG, 8, 8),
    "attributions, none": lambda: sample_attributions(0, DIGITS, 28, 28),
    "attributions, tall": lambda: sample_attributions(3, CLOTHES, 64, 20),
    "map": lambda: sample_map(1500, DIGITS),
    "map, 62 classes": lambda: sample_map(1500, ALPHANUMERIC),
    "map, one place": lambda: sample_map(300, ALPHANUMERIC, spread=0),
    "map, long names": lambda: sample_map(40, LONG),
    "map, one image": lambda: sample_map(1, DIGITS),
    "map, not finite": lambda: figures.embedding_map(
        np.full((3, 2), np.nan), np.zeros(3, int), np.zeros(3, int), DIGITS
    ),
    "first nine": lambda: figures.image_grid(noise(9, 28, 28), [f"True: {i}" for i in range(9)]),
    "small": lambda: figures.image_grid(noise(9, 8, 8), [f"True: {i}" for i in range(9)]),
    "long titles": lambda: figures.image_grid(noise(4, 64, 40), ["a quite long title " * 4] * 4),
    "five columns": lambda: figures.image_grid(noise(7, 28, 28), ["True: 7"] * 7, columns=5),
    "no images": lambda: figures.image_grid(noise(0, 28, 28), []),
    "errors": lambda: figures.example_errors(
        noise(30, 28, 28), np.zeros(30, int), np.ones(30, int), DIGITS, 1000
    ),
    "one error": lambda: figures.example_errors(
        noise(3, 28, 28), np.array([0, 1, 2]), np.array([0, 1, 3]), DIGITS, 10_000
    ),
    "no errors": lambda: figures.example_errors(
        noise(3, 28, 28), np.array([0, 1, 2]), np.array([0, 1, 2]), DIGITS, 1
    ),
    "long names": lambda: figures.example_errors(
        noise(9, 28, 28), np.full(9, 0), np.full(9, 7), CLOTHES, 100
    ),
    "2 classes": lambda: figures.confusion_matrix(np.array([[12, 3], [0, 7]]), ["cat", "dog"]),
    "10 classes": lambda: figures.confusion_matrix(confusion_counts(10, 1100), DIGITS),
    "26 classes": lambda: figures.confusion_matrix(confusion_counts(26), ALPHANUMERIC[10:36]),
    "62 classes": lambda: figures.confusion_matrix(confusion_counts(62), ALPHANUMERIC),
    "named classes": lambda: figures.confusion_matrix(confusion_counts(8, 100_000), CLOTHES),
    "endless names": lambda: figures.confusion_matrix(
        confusion_counts(3), ["W" * 80, "X" * 80, "Y"]
    ),
    "nothing predicted": lambda: figures.confusion_matrix(np.zeros((3, 3), int), ["a", "b", "c"]),
    "1 filter": lambda: figures.conv_weights(normal(5, 5, 1, 1), 0, 3.0),
    "16 filters": lambda: figures.conv_weights(normal(5, 5, 1, 16), 0, 3.0),
    "64 filters": lambda: figures.conv_weights(normal(3, 3, 2, 64), 1, 3.0),
    "tiny weights": lambda: figures.conv_weights(1e-7 * normal(3, 3, 1, 2), 0, 3e-7),
    "outputs": lambda: figures.output_grid(np.abs(normal(7, 7, 36)), "Test image 0 after conv2"),
    "flat outputs": lambda: figures.output_grid(np.abs(normal(2, 20, 3)), "flat"),
    "tall outputs": lambda: figures.output_grid(np.abs(normal(64, 40, 5)), "tall"),
    "big outputs": lambda: figures.output_grid(np.abs(normal(300, 300, 4)), "big"),
    "single": lambda: figures.single_image(noise(28, 28), "Test image 13: 0"),
    "single, tall": lambda: figures.single_image(noise(64, 40), "a title that needs two lines"),
    "curve": lambda: figures.learning_curve(
        [1, 101, 201], [0.1, 0.6, 0.9], [2.3, 1.1, 0.3], [(0, 9, 100), (1, 11, 100), (201, 90, 100)]
    ),
    "curve, one point": lambda: figures.learning_curve([1], [0.1], [2.3], [(0, 9, 99), (1, 9, 99)]),
    "curve, no point": lambda: figures.learning_curve([], [], [], [(0, 9, 99)]),
    "curve, diverging": lambda: figures.learning_curve(
        [1, 101, 201], [0.1, 0.1, 0.1], [1e-5, 1e9, float("nan")], [(0, 9, 100)]
    ),
}
