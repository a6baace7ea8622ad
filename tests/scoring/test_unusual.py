"""Tests of distances from the training images' features."""

import numpy as np

from tasks.scoring.unusual import choose_rows, distances, learn_familiar, mark_unlike

RNG = np.random.default_rng(0)
CLASSES = RNG.normal(0, 1, (10, 64))


def features(count: int) -> np.ndarray:
    """Return ten clusters, like a trained network's features."""
    return CLASSES[np.arange(count) % 10] + RNG.normal(0, 0.3, (count, 64))


def test_limit_marks_the_requested_share() -> None:
    familiar = learn_familiar(features(1000), features(4000), false_alarms=0.02)
    marked = (distances(features(4000), familiar) > familiar.limit).mean()
    assert 0.01 < marked < 0.03


def test_other_features_are_beyond_the_limit() -> None:
    familiar = learn_familiar(features(1000), features(1000))
    far = distances(RNG.normal(0, 1, (500, 64)), familiar)
    assert (far > familiar.limit).mean() > 0.99
    assert (distances(np.zeros((1, 64)), familiar) > familiar.limit).all()


def test_marks_of_the_ink_come_first() -> None:
    marks = mark_unlike(["blank", "several digits", "", ""], np.array([9, 9, 9, 0]), 0.5)
    assert marks == ["blank", "several digits", "no digit", ""]


def test_chosen_rows_are_reproducible() -> None:
    assert (choose_rows(60_000) == choose_rows(60_000)).all()
    assert len(choose_rows(60_000)) == 2000
    assert choose_rows(5).tolist() == [0, 1, 2, 3, 4]
