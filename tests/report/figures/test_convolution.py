"""Tests of the figure that explains a convolution."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers.arrays import normal
from matplotlib.image import AxesImage
from matplotlib.text import Text

from tasks.report.figures.canvas import save
from tasks.report.figures.convolution import (
    convolve,
    how_a_convolution_works,
    telling_filter,
    telling_places,
)


def digit() -> np.ndarray:
    """Return an image with a bar of ink."""
    image = np.zeros((28, 28), np.uint8)
    image[6:22, 12:16] = 200
    return image


@pytest.mark.tensorflow
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("shape", [(28, 28), (9, 14)])
def test_sums_equal_those_of_keras(size: int, stride: int, shape: tuple[int, int]) -> None:
    import keras

    pixels, weights = normal(*shape), normal(size, size)
    wanted = keras.ops.conv(
        pixels[np.newaxis, ..., np.newaxis].astype(np.float32),
        weights[..., np.newaxis, np.newaxis].astype(np.float32),
        stride,
        "same",
    )
    found = convolve(pixels, weights, stride)
    np.testing.assert_allclose(found, np.asarray(wanted)[0, ..., 0], atol=1e-4)


def test_products_at_four_places_sum_to_the_outputs() -> None:
    image, weights = digit(), normal(5, 5)
    figure = how_a_convolution_works(image, weights, "A filter")
    shown = [
        np.asarray(i.get_array()) for i in figure.findobj(AxesImage) if isinstance(i, AxesImage)
    ]
    (sums,) = [a for a in shown if a.shape == (28, 28) and a.dtype == np.float64]
    np.testing.assert_allclose(sums, convolve(image / 255, weights))
    pixels = [float(a[0, 0]) for a in shown if a.shape == (1, 1)]
    places = telling_places(image / 255, sums, 5)
    np.testing.assert_allclose(pixels, [sums[place] for place in places])
    products = [a for a in shown if a.shape == (5, 5) and not np.array_equal(a, weights)]
    totals = sorted(a.sum() for a in products)
    np.testing.assert_allclose(totals, sorted(pixels), atol=1e-12)
    texts = {t.get_text() for t in figure.findobj(Text) if isinstance(t, Text)}
    assert {"A filter", "Place 1", "Place 4"} <= texts


def test_places_include_extremes_and_do_not_overlap() -> None:
    pixels, weights = digit() / 255, normal(5, 5)
    sums = convolve(pixels, weights)
    places = telling_places(pixels, sums, 5)
    inside = sums[2:-2, 2:-2]
    values = [sums[place] for place in places]
    assert max(values) == inside.max()
    assert min(map(abs, values)) == 0
    for i, (y, x) in enumerate(places):
        assert all(max(abs(y - v), abs(x - w)) >= 5 for v, w in places[:i])


def test_filter_with_the_strongest_response_is_chosen() -> None:
    weights = 0.01 * normal(3, 3, 1, 4)
    weights[..., 2] *= 100
    assert telling_filter(digit() / 255, weights) == 2


@pytest.mark.parametrize(
    ("image", "weights"),
    [
        (np.zeros((28, 28), np.uint8), normal(5, 5)),
        (np.zeros((8, 8), np.uint8), normal(8, 8)),
        (np.full((60, 20), 255, np.uint8), normal(3, 3)),
        (digit(), np.full((5, 5), np.nan)),
        (digit(), np.zeros((5, 5))),
        (np.zeros((2, 2), np.uint8), normal(1, 1)),
    ],
)
def test_unusual_input_is_drawn_without_warnings(
    image: np.ndarray, weights: np.ndarray, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(how_a_convolution_works(image, weights, "Odd"), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000
