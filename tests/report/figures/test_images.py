"""Tests of figures of test images."""

from pathlib import Path

import numpy as np
import pytest
from helpers.arrays import noise
from helpers.figures import (
    ALPHANUMERIC,
    DIGITS,
    drawn_images,
    filled_rectangles,
    pixels_of,
    saved_pixels,
    texts,
)
from helpers.sample_figures import SAMPLES

from tasks.report import figures
from tasks.report.figures.images import confident_errors_figure, errors_figure
from tasks.report.figures.report_figure import Predictions


def test_image_grid_draws_each_pixel_as_a_uniform_square(tmp_path: Path) -> None:
    given = noise(2, 28, 28)
    figure = figures.image_grid(given, ["True: 3", "True: 4"])
    saved = saved_pixels(figure, tmp_path)
    assert texts(figure) == ["True: 3", "True: 4"]
    for image, drawn in zip(given, drawn_images(figure), strict=True):
        box = drawn.get_window_extent()
        scale, remainder = divmod(round(box.width), 28)
        assert remainder == 0 and round(box.height) == scale * 28
        left, top = round(box.x0), round(figure.bbox.height - box.y1)
        inside = saved[top : top + scale * 28, left : left + scale * 28, 0].astype(int)
        squares = inside.reshape(28, scale, 28, scale)[1:-1, :, 1:-1]  # the frame hides the edge
        assert np.ptp(squares, axis=(1, 3)).max() == 0, "sharp edges"
        assert np.abs(squares[:, 0, :, 0] - (255 - image[1:-1, 1:-1].astype(int))).max() <= 4


def test_example_errors_are_the_first_nine_errors() -> None:
    true = np.arange(40) % 10
    predicted = true.copy()
    wrong = np.arange(5, 40, 3)
    predicted[wrong] = (true[wrong] + 1) % 10
    given = noise(40, 28, 28)
    figure = figures.example_errors(given, true, predicted, DIGITS, 1000)
    expected = [f"True: {true[i]}, Pred: {predicted[i]}" for i in wrong[:9]]
    assert sorted(texts(figure)) == sorted(["After 1,000 iterations", *expected])
    for i, image in zip(wrong, drawn_images(figure), strict=False):
        assert np.array_equal(pixels_of(image), given[i])
    assert len(drawn_images(figure)) == 9


@pytest.mark.parametrize("errors", [1, 4, 8])
def test_fewer_than_nine_errors_are_all_drawn(errors: int) -> None:
    true = np.zeros(20, int)
    predicted = (np.arange(20) < errors).astype(int)
    figure = figures.example_errors(noise(20, 28, 28), true, predicted, DIGITS, 1)
    assert len(drawn_images(figure)) == errors
    assert texts(figure).count("True: 0, Pred: 1") == errors


def test_figure_without_errors_shows_a_sentence() -> None:
    figure = SAMPLES["no errors"]()
    assert not drawn_images(figure)
    assert set(texts(figure)) == {"After 1 iteration", "No errors at this milestone"}


def test_probabilities_are_drawn_as_bars_beside_each_image() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1, 0], [0.001, 0.1, 0.899, 0]], np.float32)
    given, names = noise(2, 8, 8), ["a", "b", "c", "d"]
    figure = figures.confidences(given, probabilities, np.array([1, 2]), names, "")
    assert [
        np.array_equal(pixels_of(image), i)
        for image, i in zip(drawn_images(figure), given, strict=True)
    ]
    bars = [bar for bar in filled_rectangles(figure) if bar[2] == 16]
    longest = bars[0][1] / 0.7
    blue, orange, grey = "#0072b2", "#d55e00", "#bfbfbf"
    expected = [
        *[(orange, 0.7), (blue, 0.2), (grey, 0.1), (grey, 0)],
        *[(grey, 0.001), (grey, 0.1), (blue, 0.899), (grey, 0)],
    ]
    for (colour, width, _), (expected_colour, share) in zip(bars, expected, strict=True):
        assert colour == expected_colour
        assert width == pytest.approx(max(share * longest, 1), rel=1e-3)
    written = texts(figure)
    assert {"True: b\nPred: a", "True: c\nPred: c", "true class", "predicted"} <= set(written)
    assert [t for t in written if "%" in t] == [
        "70\xa0%",
        "20\xa0%",
        "10\xa0%",
        "10\xa0%",
        "90\xa0%",
    ]


def test_of_many_classes_only_the_most_probable_and_the_true_one_are_shown() -> None:
    probabilities = np.zeros((1, 62), np.float32)
    probabilities[0, 20:35] = np.linspace(0.01, 0.1, 15)
    figure = figures.confidences(noise(1, 8, 8), probabilities, np.array([3]), ALPHANUMERIC, "")
    shown_names = [text for text in texts(figure) if text in ALPHANUMERIC]
    assert shown_names == [*(ALPHANUMERIC[c] for c in range(34, 25, -1)), ALPHANUMERIC[3]]


def test_confused_pairs_show_their_count_and_first_images() -> None:
    true, predicted = np.array([1, 1, 0, 1, 0]), np.array([0, 0, 0, 0, 1])
    given = noise(5, 8, 8)
    figure = figures.confused_pair_grid([(1, 0, 3), (0, 1, 1)], given, true, predicted, ["a", "b"])
    drawn = [pixels_of(image) for image in drawn_images(figure)]
    for array, row in zip(drawn, (0, 1, 3, 4), strict=True):
        assert np.array_equal(array, given[row])
    (_, long, _), (_, short, _) = filled_rectangles(figure)
    assert long == pytest.approx(3 * short)
    assert {"b → a", "a → b", "3", "1"} <= set(texts(figure))


def make_predictions(predicted: list[int], confidence: list[float]) -> Predictions:
    """Return predictions for images of the true class a."""
    high, classes = np.array(confidence), np.array(predicted)
    probabilities = np.where(classes[:, None] == [0, 1], high[:, None], 1 - high[:, None])
    count = len(predicted)
    return Predictions(["a", "b"], noise(count, 8, 8), np.zeros(count, int), classes, probabilities)


def test_alternative_text_of_errors_describes_the_images_shown() -> None:
    data = make_predictions([1, 0, 1], [0.6, 0.9, 0.8])
    errors = errors_figure(data, 100)
    assert (errors.name, errors.title) == ("errors-100", "Errors after 100 iterations")
    assert errors.alt == "A a taken for a b; a a taken for a b."
    confident = confident_errors_figure(data)
    assert confident.alt == "true a, predicted b with 80.0%; true a, predicted b with 60.0%"
    assert errors_figure(make_predictions([0], [0.9]), 1).alt == "No errors."
