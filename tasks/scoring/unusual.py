"""Pictures that are nothing like a digit, by what the network's last hidden layer sees.

A picture is marked if it is farther from all training images than 99 % of the validation images
are (nearest neighbours: Sun et al. 2022, "Out-of-distribution detection with deep nearest
neighbors"). What the ink alone tells, fit.py has marked before: blank pictures, blobs, several
digits. All functions are pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.scoring.fit import Mark

NEIGHBOURS = 2000  # training images that are kept to compare with
FALSE_ALARMS = 0.01  # share of validation images beyond the limit


@dataclass(frozen=True)
class Familiar:
    """Features of training images, and how far from them a digit may be."""

    features: np.ndarray
    """float16 [n, neurons], each row of length 1."""
    limit: float
    """Largest distance of a digit, 1 minus the cosine."""


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Scale each row to length 1; rows of 0 stay.

    Args:
        features: float [n, neurons].
    """
    length = np.linalg.norm(features, axis=1, keepdims=True)
    rows: np.ndarray = features / np.maximum(length, 1e-9)
    return rows


def choose_rows(count: int, seed: int = 0) -> np.ndarray:
    """Choose the training images that are kept, int [min(count, NEIGHBOURS)], ascending."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(count, min(count, NEIGHBOURS), replace=False))


def learn_familiar(
    training: np.ndarray, validation: np.ndarray, false_alarms: float = FALSE_ALARMS
) -> Familiar:
    """Set the limit so that a given share of the validation images is beyond it.

    Args:
        training: float [n, neurons], features of training images; see `choose_rows`.
        validation: float [m, neurons], features of images that were not trained on.
        false_alarms: share of digits that may be marked.
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


def mark_unlike(marks: Sequence[Mark], far: np.ndarray, limit: float) -> list[Mark]:
    """Mark pictures that are unlike any training image, where they have no mark yet.

    Args:
        marks: `Fitted.mark` of each picture.
        far: float [n], `distances`.
        limit: of the distance.
    """
    return [
        mark or ("no digit" if distance > limit else "")
        for mark, distance in zip(marks, far, strict=True)
    ]
