"""Distance of images from the training images, in the outputs of the last hidden layer.

An image is unfamiliar if it is farther from all training images than 99 % of the validation images
are (nearest neighbours: Sun et al. 2022, "Out-of-distribution detection with deep nearest
neighbors"). All functions are pure.
"""

from dataclasses import dataclass

import numpy as np

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
