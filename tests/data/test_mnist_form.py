"""Tests of the recognition of images in MNIST's form."""

import numpy as np
import pytest

from tasks.data.mnist_form import has_mnist_form, put_in_field, reduce_by


def digit(height: int = 20, width: int = 10) -> np.ndarray:
    """Return a filled rectangle in MNIST's form."""
    return put_in_field(np.ones((height, width)), 28, 28)


def test_digits_in_mnist_form_are_recognised() -> None:
    assert has_mnist_form(np.stack([digit(), digit(7, 20), digit(19, 19)])).all()


@pytest.mark.parametrize(
    "image",
    [
        digit(18, 10),
        digit(21, 10),
        np.roll(digit(), 2, axis=0),
        np.roll(digit(), -2, axis=1),
        255 - digit(),
        digit() // 2,
        np.zeros((28, 28), np.uint8),
        np.maximum(digit(), 1),
        np.zeros((28, 20), np.uint8),
    ],
)
def test_other_images_are_not_in_mnist_form(image: np.ndarray) -> None:
    assert not has_mnist_form(image[np.newaxis]).any()


def test_no_images() -> None:
    assert has_mnist_form(np.zeros((0, 28, 28), np.uint8)).shape == (0,)


def test_ink_beyond_the_border_is_moved_back() -> None:
    ink = np.full((20, 20), 0.01)
    ink[:, -1] = 1
    image = put_in_field(ink, 28, 28)
    assert (image > 0).sum() == 400


def test_reduction_pads_with_background() -> None:
    assert reduce_by(np.ones((3, 4)), 2).tolist() == [[1.0, 1.0], [0.5, 0.5]]
