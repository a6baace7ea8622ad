"""Tests of figures of weights and layer outputs."""

from pathlib import Path

import numpy as np
import pytest
from helpers.arrays import noise, normal
from helpers.figures import (
    BLUE,
    LONG,
    RED,
    WHITE,
    centre_colour,
    drawn_images,
    filled_rectangles,
    pixels_of,
    random_probabilities,
    saved_pixels,
    texts,
)

from tasks.report import figures


def test_positive_weights_are_red_zero_white_negative_blue(tmp_path: Path) -> None:
    weights = np.zeros((5, 5, 2, 3))
    weights[:, :, 1, :] = [2.0, 0.0, -2.0]
    figure = figures.conv_weights(weights, 1, 2.0)
    saved = saved_pixels(figure, tmp_path)
    seen = [centre_colour(figure, image, saved) for image in drawn_images(figure)[:3]]
    assert np.abs(np.subtract(seen, [RED, WHITE, BLUE])).max() <= 4


def test_filters_of_a_layer_share_one_colour_scale() -> None:
    weights = normal(5, 5, 3, 36)
    limit = figures.largest(weights)
    assert limit == np.abs(weights).max()
    for channel in (0, 1):
        tiles = drawn_images(figures.conv_weights(weights, channel, limit))
        assert len(tiles) == 36
        for k, image in enumerate(tiles):
            assert image.get_clim() == (-limit, limit)
            assert np.array_equal(pixels_of(image), weights[:, :, channel, k])


def test_zero_and_non_finite_weights_are_drawn(tmp_path: Path) -> None:
    nothing = np.zeros((3, 3, 1, 2))
    assert figures.largest(nothing) == 1
    assert figures.largest(np.full((3, 3, 1, 2), np.nan)) == 1
    broken = nothing.copy()
    broken[..., 1], broken[0, 0, 0, 0] = np.nan, np.inf
    figure = figures.conv_weights(broken, 0, 1.0)
    saved = saved_pixels(figure, tmp_path)
    zero, bad = (centre_colour(figure, image, saved) for image in drawn_images(figure)[:2])
    assert min(zero) > 250 and min(bad) < 200, "NaN differs from zero"
    assert any("not finite" in text for text in texts(figure))


def test_layer_outputs_share_one_scale_from_white_to_black(tmp_path: Path) -> None:
    outputs = np.zeros((7, 7, 3))
    outputs[..., 1], outputs[..., 2] = 2.0, 4.0
    figure = figures.output_grid(outputs, "Test image 0 after conv2")
    saved = saved_pixels(figure, tmp_path)
    assert [
        centre_colour(figure, image, saved)[0] for image in drawn_images(figure)[:3]
    ] == pytest.approx([255, 128, 0], abs=4)
    assert len(drawn_images(figure)) == 3 and len(figure.axes) == 2, (
        "three outputs and a colour bar"
    )
    assert "Test image 0 after conv2" in texts(figure)


def test_zero_outputs_are_white(tmp_path: Path) -> None:
    figure = figures.output_grid(np.zeros((7, 7, 4)), "dead")
    assert centre_colour(figure, drawn_images(figure)[0], saved_pixels(figure, tmp_path)) == WHITE


def test_flow_shows_every_output_in_order_and_a_bar_for_each_class() -> None:
    image, conv, dense = noise(8, 8), np.abs(normal(4, 4, 3)), np.abs(normal(70))
    shares = np.array([0.1, 0.2, 0.7], np.float32)
    figure = figures.flow(image, [("conv1", conv), ("fc1", dense)], shares, 1, ["a", "b", "c"])
    first, *maps, strip = (pixels_of(drawn) for drawn in drawn_images(figure))
    assert np.array_equal(first, image)
    for k, tile in enumerate(maps):
        assert np.array_equal(tile, conv[..., k])
    assert len(maps) == 3
    assert np.array_equal(strip.ravel()[:70], dense) and not strip.ravel()[70:].any()
    assert {d.get_clim() for d in drawn_images(figure)[1:4]} == {(0, float(conv.max()))}
    bars = filled_rectangles(figure)[1:]
    assert [colour for colour, _, _ in bars] == ["#bfbfbf", "#0072b2", "#d55e00"]
    heights = [height for _, _, height in bars]
    assert heights == pytest.approx([13, 26, 91], rel=1e-3)


def test_flow_states_how_many_outputs_are_left_out() -> None:
    figure = figures.flow(
        noise(64, 64), [("conv1", normal(64, 64, 256))], random_probabilities(1, 2)[0], 0, LONG
    )
    left = len(drawn_images(figure)) - 1
    assert 10 < left < 256
    assert f"conv1: the first {left} of 256 outputs of 64 × 64" in texts(figure)
