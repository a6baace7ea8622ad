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


def test_each_image_is_told_by_its_own_ink() -> None:
    """Ink, extent and centre of mass, counted one by one; half of the images are in the form."""
    draw = np.random.default_rng(0)
    sizes = [(20, 10), (18, 9), (21, 3), (8, 20), (19, 19), (5, 17)]
    images = np.stack([digit(*sizes[i]) for i in draw.integers(0, 6, 300)])
    images = np.where(draw.random(images.shape) < 0.5, images, images // 2 * 2)
    images = np.stack([np.roll(i, draw.integers(0, 2), axis=draw.integers(0, 2)) for i in images])

    def expected(image: np.ndarray) -> bool:
        y, x = np.nonzero(image)
        ink = image[y, x].astype(int)
        longer = max(np.ptp(y), np.ptp(x)) + 1
        off = max(abs((place * ink).sum() / ink.sum() - 14) for place in (y, x))
        return bool(19 <= longer <= 20 and off <= 0.53 and image.max() >= 254)

    found = has_mnist_form(images)
    assert found.tolist() == [expected(image) for image in images]
    assert 0.2 < found.mean() < 0.8


def test_no_images() -> None:
    assert has_mnist_form(np.zeros((0, 28, 28), np.uint8)).shape == (0,)


def test_ink_beyond_the_border_is_moved_back() -> None:
    ink = np.full((20, 20), 0.01)
    ink[:, -1] = 1
    image = put_in_field(ink, 28, 28)
    assert (image > 0).sum() == 400


def test_reduction_pads_with_background() -> None:
    assert reduce_by(np.ones((3, 4)), 2).tolist() == [[1.0, 1.0], [0.5, 0.5]]
