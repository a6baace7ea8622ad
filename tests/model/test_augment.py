"""Augmentation: transformations within their limits, the same for the same seed."""

import numpy as np
import pytest

from tasks.model.augment import transform_images
from tasks.model.device import load_tensorflow
from tasks.settings import TrainingSettings

pytestmark = pytest.mark.tensorflow

SIDE = 29
MIDDLE = SIDE // 2


def moved(settings: TrainingSettings, images: np.ndarray, iteration: int = 0) -> np.ndarray:
    """Images after their movements: float32 [n, height, width]."""
    tf = load_tensorflow()
    x = tf.constant(images[..., np.newaxis], tf.float32)
    return np.asarray(transform_images(x, tf.constant(iteration, tf.int64), settings))[..., 0]


def dots(row: int, column: int, count: int = 200) -> np.ndarray:
    """Images of a disc of 3 × 3 pixels around a place."""
    images = np.zeros((count, SIDE, SIDE), np.float32)
    images[:, row - 1 : row + 2, column - 1 : column + 2] = 1
    return images


def places(images: np.ndarray) -> np.ndarray:
    """Where the mass of each image lies from its middle, (down, across): [n, 2]."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - MIDDLE
    mass = images.sum(axis=(1, 2))
    return np.stack(
        [(images * rows).sum(axis=(1, 2)) / mass, (images * columns).sum(axis=(1, 2)) / mass], 1
    )


def test_shifts_reach_as_far_as_asked_for_in_all_directions() -> None:
    found = places(moved(TrainingSettings(shift=3), dots(MIDDLE, MIDDLE)))
    assert (np.abs(found) <= 3.01).all()
    assert (found.min(axis=0) < -2.7).all()
    assert (found.max(axis=0) > 2.7).all()
    assert np.abs(np.corrcoef(found.T)[0, 1]) < 0.2


def test_rotations_keep_the_distance_from_the_middle() -> None:
    found = places(moved(TrainingSettings(rotation=20), dots(MIDDLE, MIDDLE + 9)))
    np.testing.assert_allclose(np.hypot(*found.T), 9, atol=0.1)
    angles = np.degrees(np.arctan2(*found.T))
    assert -20.5 < angles.min() < -17
    assert 17 < angles.max() < 20.5


def test_zooms_move_along_the_line_to_the_middle() -> None:
    found = places(moved(TrainingSettings(zoom=0.25), dots(MIDDLE, MIDDLE + 8)))
    np.testing.assert_allclose(found[:, 0], 0, atol=0.05)
    assert 8 * 0.74 < found[:, 1].min() < 8 * 0.8
    assert 8 * 1.2 < found[:, 1].max() < 8 * 1.26


def test_the_seed_and_the_iteration_decide() -> None:
    images, settings = dots(MIDDLE, MIDDLE, 5), TrainingSettings(shift=2, rotation=30, zoom=0.1)
    first = moved(settings, images, iteration=7)
    np.testing.assert_array_equal(first, moved(settings, images, iteration=7))
    assert (first != moved(settings, images, iteration=8)).any()
    other = settings.model_copy(update={"seed": 2**63})
    assert (first != moved(other, images, iteration=7)).any()
    assert (first[0] != first[1]).any()
