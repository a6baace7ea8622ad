"""Tests of the confusion matrix, scores, calibration and learning curve."""

from pathlib import Path

import numpy as np
import pytest
from helpers.figures import WHITE, saved_pixels, texts
from helpers.sample_figures import SAMPLES, sample_calibration

from tasks.records import ClassMetrics
from tasks.report import figures
from tasks.statistics import wilson_interval


def test_confusion_matrix_has_true_classes_as_rows_and_predicted_as_columns(tmp_path: Path) -> None:
    figure = figures.confusion_matrix(np.array([[12, 3], [0, 7]]), ["cat", "dog"])
    axes = figure.axes[1]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Predicted", "True")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "dog"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
    places = {text.get_text(): text.get_position() for text in axes.texts}
    assert places == {"12": (0, 0), "3": (1, 0), "7": (1, 1)}

    figure.draw_without_rendering()
    x = {text.get_text(): text.get_window_extent().x0 for text in axes.texts}
    y = {text.get_text(): text.get_window_extent().y0 for text in axes.texts}
    assert x["3"] > x["12"] and y["3"] > y["7"], "row 0 stands above row 1"
    saved = saved_pixels(figure, tmp_path)
    box = axes.get_window_extent()
    lower_left = saved[round(figure.bbox.height - box.y0) - 20, round(box.x0) + 20]
    assert tuple(lower_left) == WHITE, "no dog was classified as a cat"


def test_single_error_is_visible_beside_a_large_diagonal(tmp_path: Path) -> None:
    matrix = np.diag([5000, 5000, 0])
    matrix[0, 1], matrix[1, 0] = 1, 30
    figure = figures.confusion_matrix(matrix, ["a", "b", "c"])
    saved = saved_pixels(figure, tmp_path)
    box = figure.axes[1].get_window_extent()
    cell = box.width / 3

    def colour(row: int, column: int) -> np.ndarray:
        x, y = box.x0 + (column + 0.2) * cell, figure.bbox.height - box.y1 + (row + 0.2) * cell
        return saved[int(y), int(x)].astype(int)

    assert tuple(colour(2, 2)) == WHITE, "class without images"
    assert 255 - colour(0, 1).min() > 20, "one error is not white"
    assert colour(0, 1).sum() - colour(1, 0).sum() > 100, "30 differs from 1"
    assert colour(1, 0).sum() - colour(0, 0).sum() > 100, "30 differs from the diagonal"


@pytest.mark.parametrize(("name", "shown"), [("10 classes", True), ("62 classes", False)])
def test_counts_are_written_only_into_cells_that_hold_them(name: str, shown: bool) -> None:
    axes = SAMPLES[name]().axes[1]
    assert bool(axes.texts) == shown
    for text in axes.texts:
        column, row = text.get_position()
        cell = axes.transData.transform([(column - 0.5, row + 0.5), (column + 0.5, row - 0.5)])
        box = text.get_window_extent()
        assert cell[0][0] < box.x0 and box.x1 < cell[1][0]


def test_counts_contrast_with_their_cells(tmp_path: Path) -> None:
    figure = figures.confusion_matrix(4 ** np.arange(9).reshape(3, 3), ["a", "b", "c"])
    axes = figure.axes[1]
    image = axes.get_images()[0]
    for text in axes.texts:
        column, row = text.get_position()
        cell = image.to_rgba(image.get_array())[int(row), int(column), :3]
        ink = {"black": 0.0, "white": 1.0}[str(text.get_color())]
        linear = np.where(cell <= 0.04045, cell / 12.92, ((cell + 0.055) / 1.055) ** 2.4)
        light = linear @ np.array([0.2126, 0.7152, 0.0722])
        contrast = (max(ink, light) + 0.05) / (min(ink, light) + 0.05)
        assert contrast >= 4.5, f"{text.get_text()}: WCAG AA"


def test_undefined_scores_have_no_dot() -> None:
    known = ClassMetrics(support=10, precision=0.96, recall=0.98, f1=0.97)
    missing = ClassMetrics(support=0, precision=0.975, recall=None, f1=None)
    figure = figures.class_scores([known, missing], ["a", "b"])
    _, axes = figure.axes
    dots = {line.get_label(): np.asarray(line.get_xydata()) for line in axes.lines}
    assert dots["Precision"][:, 0].tolist() == [0.96, 0.975]
    assert dots["Recall"][:, 0].tolist() == [0.98] and dots["F1"][:, 0].tolist() == [0.97]
    low, high = axes.get_xlim()
    assert 0.94 < low < 0.95 and 1 < high < 1.01, "the scale starts just below the lowest score"
    assert {"10", "0", "Images"} <= set(texts(figure))
    figure = figures.class_scores([missing.model_copy(update={"precision": 0.3})], ["b"])
    assert figure.axes[1].get_xlim()[0] < 0, "the scale starts at 0 for low scores"


def test_calibration_shows_accuracy_interval_and_count_of_each_bin() -> None:
    figure = sample_calibration((10, 4), (0, 0), (200, 190))
    _, upper, lower = figure.axes
    (errorbar,) = upper.containers
    points, _, (bars,) = errorbar.lines
    np.testing.assert_allclose(points.get_xydata(), [[12.5 / 15, 0.4], [14.5 / 15, 0.95]])
    for segment, bin_ in zip(bars.get_segments(), ((4, 10), (190, 200)), strict=True):
        assert segment[:, 1] == pytest.approx(wilson_interval(*bin_))
    tops = [bar.get_y() + bar.get_height() for bar in lower.patches]
    assert tops == pytest.approx([10, 200])
    assert [text.get_text() for text in lower.texts] == ["10", "200"]
    assert "Expected calibration error 1.23 %" in texts(figure)


def test_learning_curve_shows_batches_milestones_and_intervals() -> None:
    figure = SAMPLES["curve"]()
    _, accuracy, loss = figure.axes
    assert accuracy.lines[0].get_xydata().tolist() == [[1, 0.1], [101, 0.6], [201, 0.9]]
    assert loss.lines[0].get_xydata().tolist() == [[1, 2.3], [101, 1.1], [201, 0.3]]
    (errorbar,) = accuracy.containers
    points, _, (bars,) = errorbar.lines
    assert points.get_xydata().tolist() == [[0, 0.09], [1, 0.11], [201, 0.9]]
    for segment, correct in zip(bars.get_segments(), (9, 11, 90), strict=True):
        assert segment[:, 1] == pytest.approx(wilson_interval(correct, 100))
    assert {"Training batch", "Test split, 95 % interval"} <= set(texts(figure))


def test_milestone_0_lies_inside_the_logarithmic_axis() -> None:
    figure = SAMPLES["curve"]()
    axes = figure.axes[1]
    figure.draw_without_rendering()
    x = [axes.transData.transform((iteration, 0.5))[0] for iteration in (0, 1, 101, 201)]
    box = axes.get_window_extent()
    assert box.x0 + 5 < x[0] < x[1] - 30 < x[2] < x[3] < box.x1


def test_learning_curve_without_training_shows_a_sentence() -> None:
    figure = SAMPLES["curve, no point"]()
    assert "No training iterations" in texts(figure)
    assert "Training batch" not in texts(figure)


@pytest.mark.parametrize("losses", [[2.3], [0.5, 0.6], [1e-4, 3.0], [1e-12, 1e12], [0.0], []])
def test_loss_axis_has_one_to_ten_ticks(losses: list[float]) -> None:
    iterations = list(range(1, len(losses) + 1))
    figure = figures.learning_curve(iterations, [0.5] * len(losses), losses, [])
    axes = figure.axes[2]
    low, high = axes.get_ylim()
    ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
    assert 1 <= len(ticks) <= 10
    assert all(low < loss < high for loss in losses if loss > 0)
