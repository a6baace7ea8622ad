"""How the answers of a model are to be read: honest probabilities, and what it does not know.

Probabilities mean what they say after temperature scaling (Guo et al. 2017): a network that was
trained with label smoothing gives its surest answers 92 %. An image is unfamiliar if it is farther
from all training images than 99 % of the validation images are, in the outputs of the last hidden
layer (nearest neighbours: Sun et al. 2022, "Out-of-distribution detection with deep nearest
neighbors"). Pure functions of arrays, and the file of the two.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

NEIGHBOURS = 2000  # training images that are kept to compare with, at most
MOST_VALUES = 4_000_000  # of all kept images together: 8 MB
FALSE_ALARMS = 0.01  # share of validation images beyond the limit


@dataclass(frozen=True)
class Familiar:
    """Features of training images, and the limit of the distance from them."""

    features: np.ndarray
    """float16 [n, neurons], each row of length 1."""
    limit: float
    """Largest distance of a familiar image, 1 minus the cosine."""


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Scale each row to length 1; rows of 0 stay.

    Args:
        features: float [n, neurons].
    """
    length = np.linalg.norm(features, axis=1, keepdims=True)
    rows: np.ndarray = features / np.maximum(length, 1e-9)
    return rows


def choose_rows(count: int, neurons: int, seed: int = 0) -> np.ndarray:
    """Choose the training images that are kept.

    Args:
        count: of training images.
        neurons: of the last hidden layer.
        seed: of the choice.

    Returns:
        int [n], ascending; n is `NEIGHBOURS`, or less for a small data set or a very wide layer.
    """
    rng = np.random.default_rng(seed)
    kept = min(count, NEIGHBOURS, max(1, MOST_VALUES // neurons))
    return np.sort(rng.choice(count, kept, replace=False))


def learn_familiar(
    training: np.ndarray, validation: np.ndarray, false_alarms: float = FALSE_ALARMS
) -> Familiar:
    """Set the limit so that a given share of the validation images is beyond it.

    Args:
        training: float [n, neurons], features of training images; see `choose_rows`.
        validation: float [m, neurons], features of images that were not trained on.
        false_alarms: share of validation images beyond the limit.
    """
    kept = Familiar(unit_rows(training).astype(np.float16), 2.0)
    limit = np.quantile(distances(validation, kept), 1 - false_alarms)
    return Familiar(kept.features, float(limit))


def distances(features: np.ndarray, familiar: Familiar) -> np.ndarray:
    """Return the distance to the nearest training image, 1 minus the cosine.

    Args:
        features: float [n, neurons].
        familiar: what to compare with.

    Returns:
        float32 [n], from 0 to 2.
    """
    rows = unit_rows(features.astype(np.float32))
    closest = (rows @ familiar.features.astype(np.float32).T).max(axis=1)
    distance: np.ndarray = 1 - closest
    return distance


COLDEST, WARMEST = 0.05, 20.0  # temperatures that are looked at


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return probabilities, float64 [n, classes].

    Args:
        logits: float [n, classes].
        temperature: that they are divided by.
    """
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def cross_entropy(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    """Return the mean cross-entropy at a temperature."""
    scaled = logits.astype(np.float64) / temperature
    top = scaled.max(axis=1)
    total = top + np.log(np.exp(scaled - top[:, np.newaxis]).sum(axis=1))
    return float(np.mean(total - scaled[np.arange(len(labels)), labels]))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature that makes the cross-entropy smallest.

    Args:
        logits: float [n, classes], of validation images.
        labels: int [n].
    """
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log: cross_entropy(logits, labels, float(np.exp(log))),
        bounds=(np.log(COLDEST), np.log(WARMEST)),
        method="bounded",
    )
    return float(np.exp(found.x))


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error: how far confidence is from accuracy, on average.

    Args:
        probabilities: float [n, classes].
        labels: int [n].
        bins: of confidence, equally wide.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(float((right[place == k] - confidence[place == k]).sum())) for k in np.unique(place)
    ]
    return sum(gaps) / len(labels)


@dataclass(frozen=True)
class Calibrated:
    """Content of a calibration file."""

    familiar: Familiar
    temperature: float
    """Divisor of the logits."""


def load_calibration(path: Path) -> Calibrated:
    """Load the file that the stage `calibrate` wrote."""
    tensors = load_file(path)
    familiar = Familiar(tensors["familiar"], float(tensors["limit"]))
    return Calibrated(familiar, float(tensors["temperature"]))
