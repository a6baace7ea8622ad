"""Images brought to one size."""

import numpy as np
import pytest

from tasks.data.resize import edge_level, resize_all_to_squares, resize_to_square


@pytest.mark.parametrize(("height", "width"), [(6, 3), (3, 6), (1, 9), (9, 1), (7, 7), (2, 1)])
def test_aspect_is_kept_and_the_rest_has_the_level_of_the_edge(height: int, width: int) -> None:
    square = resize_to_square(np.full((height, width), 70, np.uint8), 12)
    assert square.shape == (12, 12)
    assert (square == 70).all()


def test_the_image_is_in_the_middle() -> None:
    pixels = np.full((4, 2), 255, np.uint8)
    pixels[1:3] = [[10, 10], [10, 10]]
    assert edge_level(pixels) == 132
    square = resize_to_square(pixels, 8)
    assert (square[:, :2] == 132).all()
    assert (square[:, 6:] == 132).all()
    assert (square[3:5, 2:6] == 10).all()


def test_many_pixels_become_their_average() -> None:
    checks = np.indices((64, 64)).sum(axis=0) % 2 * 200
    small = resize_to_square(checks.astype(np.uint8), 4)
    assert abs(small.astype(int) - 100).max() <= 2


def test_an_image_of_that_size_stays_as_it_is() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 5), np.uint8)
    np.testing.assert_array_equal(resize_all_to_squares(images, 5), images)
