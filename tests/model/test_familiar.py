"""Distances from what the network knows."""

import numpy as np

from tasks.model.calibration import choose_rows, distances, learn_familiar

RNG = np.random.default_rng(0)
CLASSES = RNG.normal(0, 1, (10, 64))


def features(count: int) -> np.ndarray:
    """Ten clusters, as a trained network makes them."""
    return CLASSES[np.arange(count) % 10] + RNG.normal(0, 0.3, (count, 64))


def test_the_limit_marks_the_share_that_was_asked_for() -> None:
    familiar = learn_familiar(features(1000), features(4000), false_alarms=0.02)
    marked = (distances(features(4000), familiar) > familiar.limit).mean()
    assert 0.01 < marked < 0.03


def test_other_features_are_beyond_it() -> None:
    familiar = learn_familiar(features(1000), features(1000))
    far = distances(RNG.normal(0, 1, (500, 64)), familiar)
    assert (far > familiar.limit).mean() > 0.99
    assert (distances(np.zeros((1, 64)), familiar) > familiar.limit).all()


def test_chosen_rows_are_reproducible() -> None:
    assert (choose_rows(60_000, 128) == choose_rows(60_000, 128)).all()
    assert len(choose_rows(60_000, 128)) == 2000
    assert choose_rows(5, 128).tolist() == [0, 1, 2, 3, 4]
    assert len(choose_rows(60_000, 40_000)) == 100  # bounded memory
