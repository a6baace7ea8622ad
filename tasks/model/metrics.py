"""Stage: predictions → precision, recall and F1 of each class, confused pairs, calibration."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tasks.engine.models import FileRef
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.prediction_table import class_probabilities, read_predictions
from tasks.records import ClassMetrics, ConfidenceBin, ConfusedPair, Metrics

BINS = 15
"""As in C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural
networks", ICML 2017."""


def class_metrics(
    true: NDArray[np.integer], predicted: NDArray[np.integer], classes: int
) -> tuple[ClassMetrics, ...]:
    """Return precision, recall, F1 and support of each class.

    Args:
        true: int [n], from 0 to classes - 1.
        predicted: int [n], likewise.
        classes: number of classes, whether or not each occurs.
    """
    from sklearn.metrics import precision_recall_fscore_support

    precision, recall, f1, support = precision_recall_fscore_support(
        true, predicted, labels=range(classes), zero_division=np.nan
    )
    return tuple(
        ClassMetrics(
            support=int(n),
            precision=finite_or_none(p),
            recall=finite_or_none(r),
            f1=finite_or_none(f),
        )
        for p, r, f, n in zip(precision, recall, f1, support, strict=True)
    )


def finite_or_none(value: float) -> float | None:
    """Return a number, or None for NaN, which JSON cannot represent."""
    return None if np.isnan(value) else float(value)


def confused_pairs(
    true: NDArray[np.integer], predicted: NDArray[np.integer]
) -> tuple[ConfusedPair, ...]:
    """Return all pairs of classes with an error, the most frequent first, then by class."""
    wrong = np.flatnonzero(true != predicted)
    pairs, counts = np.unique(
        np.stack([true[wrong], predicted[wrong]], axis=1), axis=0, return_counts=True
    )
    return tuple(
        ConfusedPair(true=int(pairs[i, 0]), predicted=int(pairs[i, 1]), count=int(counts[i]))
        for i in np.argsort(-counts, kind="stable")
    )


def confidence_bins(
    confidence: NDArray[np.floating], right: NDArray[np.bool_]
) -> tuple[ConfidenceBin, ...]:
    """Count images by confidence, in `BINS` bins of equal width.

    Args:
        confidence: [n], highest probability of each image; images with NaN are left out.
        right: [n], whether the predicted class is the true one.
    """
    finite = np.isfinite(confidence)
    confidence, right = confidence[finite].astype(np.float64), right[finite]
    edges = np.linspace(0, 1, BINS + 1)
    places = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, BINS - 1)
    bins = []
    for place, (low, high) in enumerate(pairwise(edges.tolist())):
        here = places == place
        bins.append(
            ConfidenceBin(
                low=low,
                high=high,
                count=int(here.sum()),
                correct=int(right[here].sum()),
                confidence=float(confidence[here].mean()) if here.any() else None,
            )
        )
    return tuple(bins)


def expected_calibration_error(bins: tuple[ConfidenceBin, ...]) -> float:
    """Return the mean gap between confidence and accuracy of the bins, weighted by their images.

    Guo et al. 2017, equation 3. It is 0 if there are no images.
    """
    total = sum(b.count for b in bins)
    gaps = (
        b.count * abs(b.correct / b.count - b.confidence) for b in bins if b.confidence is not None
    )
    return float(sum(gaps)) / max(total, 1)


@stage()
def measure(work: Workspace, predictions: FileRef, classes: int) -> Metrics:
    """Measure precision, recall, F1, confused pairs and calibration from predictions."""
    table = read_predictions(work.input(predictions))
    true, predicted = table["label"].to_numpy(), table["predicted"].to_numpy()
    confidence = class_probabilities(table).max(axis=1)
    bins = confidence_bins(confidence, true == predicted)
    return Metrics(
        classes=class_metrics(true, predicted, classes),
        confused=confused_pairs(true, predicted),
        bins=bins,
        calibration_error=expected_calibration_error(bins),
    )
