"""Probabilities that mean what they say, by temperature scaling (Guo et al. 2017).

A network that was trained with label smoothing gives its surest answers 92 %. Pure functions.
"""

import numpy as np

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
