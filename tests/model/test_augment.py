"""Tests of augmentation: limits of the transformations, reproducibility."""

import numpy as np
import pytest

from tasks.model.augment import transform_images
from tasks.model.device import load_tensorflow
from tasks.settings import TrainingSettings

pytestmark = pytest.mark.tensorflow

SIDE = 29
MIDDLE = SIDE // 2


def augmented(settings: TrainingSettings, images: np.ndarray, iteration: int = 0) -> np.ndarray:
    """Return augmented images, float32 [n, height, width]."""
    tf = load_tensorflow()
    x = tf.constant(images[..., np.newaxis], tf.float32)
    return np.asarray(transform_images(x, tf.constant(iteration, tf.int64), settings))[..., 0]


def squares(row: int, column: int, count: int = 200) -> np.ndarray:
    """Return images of a square of 3 × 3 pixels around a position."""
    images = np.zeros((count, SIDE, SIDE), np.float32)
    images[:, row - 1 : row + 2, column - 1 : column + 2] = 1
    return images


def centres_of_mass(images: np.ndarray) -> np.ndarray:
    """Return the centre of mass of each image, relative to its centre: (down, across), [n, 2]."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - MIDDLE
    mass = images.sum(axis=(1, 2))
    return np.stack(
        [(images * rows).sum(axis=(1, 2)) / mass, (images * columns).sum(axis=(1, 2)) / mass], 1
    )


def test_shifts_cover_the_range_in_all_directions() -> None:
    found = centres_of_mass(augmented(TrainingSettings(shift=3), squares(MIDDLE, MIDDLE)))
    assert (np.abs(found) <= 3.01).all()
    assert (found.min(axis=0) < -2.7).all()
    assert (found.max(axis=0) > 2.7).all()
    assert np.abs(np.corrcoef(found.T)[0, 1]) < 0.2


def test_rotations_keep_the_distance_from_the_centre() -> None:
    found = centres_of_mass(augmented(TrainingSettings(rotation=20), squares(MIDDLE, MIDDLE + 9)))
    np.testing.assert_allclose(np.hypot(*found.T), 9, atol=0.1)
    angles = np.degrees(np.arctan2(*found.T))
    assert -20.5 < angles.min() < -17
    assert 17 < angles.max() < 20.5


def test_zooms_move_points_along_the_line_to_the_centre() -> None:
    found = centres_of_mass(augmented(TrainingSettings(zoom=0.25), squares(MIDDLE, MIDDLE + 8)))
    np.testing.assert_allclose(found[:, 0], 0, atol=0.05)
    assert 8 * 0.74 < found[:, 1].min() < 8 * 0.8
    assert 8 * 1.2 < found[:, 1].max() < 8 * 1.26


def test_augmentation_depends_on_seed_and_iteration() -> None:
    images, settings = squares(MIDDLE, MIDDLE, 5), TrainingSettings(shift=2, rotation=30, zoom=0.1)
    first = augmented(settings, images, iteration=7)
    np.testing.assert_array_equal(first, augmented(settings, images, iteration=7))
    assert (first != augmented(settings, images, iteration=8)).any()
    other = settings.model_copy(update={"seed": 2**63})
    assert (first != augmented(other, images, iteration=7)).any()
    assert (first[0] != first[1]).any()
