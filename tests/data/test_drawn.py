"""Tests of digits drawn from strokes."""

import numpy as np

from tasks.data.drawn import draw_digits
from tasks.data.mnist_form import has_mnist_form


def test_classes_are_equally_frequent_and_images_differ() -> None:
    images, labels = draw_digits(200, seed=1)
    assert (np.bincount(labels) == 20).all()
    assert len(np.unique(images.reshape(200, -1), axis=0)) == 200
    assert has_mnist_form(images).mean() > 0.95


def test_digits_depend_on_the_seed() -> None:
    first, again, other = (draw_digits(30, seed)[0] for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_no_digits() -> None:
    images, labels = draw_digits(0, seed=1)
    assert (images.shape, labels.shape) == ((0, 28, 28), (0,))


def test_digits_of_a_class_are_similar() -> None:
    """Nearest neighbours classify digits drawn with another seed."""
    images, labels = draw_digits(2000, seed=1)
    tests, truth = draw_digits(200, seed=2)
    known, asked = (x.reshape(len(x), -1) / 255 for x in (images, tests))
    squares = (known**2).sum(axis=1) - 2 * asked @ known.T
    assert (labels[squares.argmin(axis=1)] == truth).mean() > 0.95
