"""Tests of figures of attributions and of the map of test images."""

import numpy as np
from helpers.arrays import noise, normal
from helpers.figures import drawn_images, pixels_of, texts

from tasks.report import figures


def test_attributions_of_a_method_share_a_symmetric_scale() -> None:
    one, other = normal(2, 8, 8), -3 * normal(2, 8, 8)
    figure = figures.attributions(
        noise(2, 8, 8), [0, 1], [1, 0], [("m", one, other), ("n", one, one)], ["a", "b"]
    )
    drawn = drawn_images(figure)
    maps = [d for d in drawn if d.get_clim()[0] < 0]
    assert len(drawn) == 10 and len(maps) == 8
    limits = [float(np.abs(other).max())] * 4 + [float(np.abs(one).max())] * 4
    assert [d.get_clim() for d in maps] == [(-limit, limit) for limit in limits]
    for d, expected in zip(maps[:4], (*one, *other), strict=True):
        assert np.array_equal(pixels_of(d), expected)
    assert {"True: a\nPred: b", "True: b\nPred: a"} <= set(texts(figure))


def test_map_marks_errors_and_names_each_class_near_its_points() -> None:
    places = np.array([[0, 0], [1, 0], [0, 1], [9, 9], [10, 9], [9, 10]], float)
    true, predicted = np.array([0, 0, 0, 2, 2, 2]), np.array([0, 0, 1, 2, 2, 2])
    figure = figures.embedding_map(places, true, predicted, ["a", "b", "c"])
    _, axes = figure.axes
    right, wrong = axes.collections
    assert np.asarray(right.get_offsets()).tolist() == places[[0, 1, 3, 4, 5]].tolist()
    assert np.asarray(wrong.get_offsets()).tolist() == [[0, 1]]
    written = {text.get_text(): text.get_position() for text in axes.texts}
    assert set(written) == {"a", "c"}, "no name for a class without points"
    assert np.hypot(*np.subtract(written["a"], (0, 0))) < 1
    assert np.hypot(*np.subtract(written["c"], (9, 9))) < 1
