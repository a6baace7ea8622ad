"""The figures: what they show, odd input, the file."""

import itertools
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image
from scipy.stats import binomtest

from tasks.report import figures
from tasks.report.statistics import wilson_interval

DIGITS = [str(i) for i in range(10)]
ALPHANUMERIC = [*"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"]
CLOTHES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Ankle boot"]
RED, WHITE, BLUE = (128, 0, 0), (255, 255, 255), (0, 0, 77)
"""The ends and the middle of matplotlib's `seismic`."""


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def counts(classes: int, most: int = 900) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.poisson(0.3, (classes, classes)) + np.diag(rng.integers(most // 2, most, classes))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in visible(figure)]


def visible(figure: Figure) -> list[Text]:
    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible())
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    page = Bbox.from_bounds(-width, -height, 3 * width, 3 * height)
    return [t for t in found if t.get_text() and page.overlaps(t.get_window_extent())]


def images(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_images()]


def dots(figure: Figure, folder: Path) -> np.ndarray:
    """The saved PNG, [height, width, 3]."""
    figures.save(figure, folder / "figure.png")
    with Image.open(folder / "figure.png") as image:
        return np.asarray(image.convert("RGB"))


def centre(figure: Figure, axes: Axes, saved: np.ndarray) -> tuple[int, ...]:
    """Colour in the middle of the axes."""
    box = axes.get_window_extent()
    x, y = (box.x0 + box.x1) / 2, figure.bbox.height - (box.y0 + box.y1) / 2
    return tuple(int(value) for value in saved[int(y), int(x)])


EVERY: dict[str, Callable[[], Figure]] = {
    "first nine": lambda: figures.image_grid(noise(9, 28, 28), [f"True: {i}" for i in range(9)]),
    "small": lambda: figures.image_grid(noise(9, 8, 8), [f"True: {i}" for i in range(9)]),
    "long titles": lambda: figures.image_grid(noise(4, 64, 40), ["a quite long title " * 4] * 4),
    "five columns": lambda: figures.image_grid(noise(7, 28, 28), ["True: 7"] * 7, columns=5),
    "no images": lambda: figures.image_grid(noise(0, 28, 28), []),
    "errors": lambda: figures.example_errors(
        noise(30, 28, 28), np.zeros(30, int), np.ones(30, int), DIGITS, 1000
    ),
    "one error": lambda: figures.example_errors(
        noise(3, 28, 28), np.array([0, 1, 2]), np.array([0, 1, 3]), DIGITS, 10_000
    ),
    "no errors": lambda: figures.example_errors(
        noise(3, 28, 28), np.array([0, 1, 2]), np.array([0, 1, 2]), DIGITS, 1
    ),
    "long names": lambda: figures.example_errors(
        noise(9, 28, 28), np.full(9, 0), np.full(9, 7), CLOTHES, 100
    ),
    "2 classes": lambda: figures.confusion_matrix(np.array([[12, 3], [0, 7]]), ["cat", "dog"]),
    "10 classes": lambda: figures.confusion_matrix(counts(10, 1100), DIGITS),
    "26 classes": lambda: figures.confusion_matrix(counts(26), ALPHANUMERIC[10:36]),
    "62 classes": lambda: figures.confusion_matrix(counts(62), ALPHANUMERIC),
    "named classes": lambda: figures.confusion_matrix(counts(8, 100_000), CLOTHES),
    "endless names": lambda: figures.confusion_matrix(counts(3), ["W" * 80, "X" * 80, "Y"]),
    "nothing predicted": lambda: figures.confusion_matrix(np.zeros((3, 3), int), ["a", "b", "c"]),
    "1 filter": lambda: figures.conv_weights(normal(5, 5, 1, 1), 0, 3.0),
    "16 filters": lambda: figures.conv_weights(normal(5, 5, 1, 16), 0, 3.0),
    "64 filters": lambda: figures.conv_weights(normal(3, 3, 2, 64), 1, 3.0),
    "tiny weights": lambda: figures.conv_weights(1e-7 * normal(3, 3, 1, 2), 0, 3e-7),
    "outputs": lambda: figures.layer_outputs(np.abs(normal(7, 7, 36)), "Test image 0 after conv2"),
    "flat outputs": lambda: figures.layer_outputs(np.abs(normal(2, 20, 3)), "flat"),
    "tall outputs": lambda: figures.layer_outputs(np.abs(normal(64, 40, 5)), "tall"),
    "big outputs": lambda: figures.layer_outputs(np.abs(normal(300, 300, 4)), "big"),
    "single": lambda: figures.single_image(noise(28, 28), "Test image 13: 0"),
    "single, tall": lambda: figures.single_image(noise(64, 40), "a title that needs two lines"),
    "curve": lambda: figures.learning_curve(
        [1, 101, 201], [0.1, 0.6, 0.9], [2.3, 1.1, 0.3], [(0, 9, 100), (1, 11, 100), (201, 90, 100)]
    ),
    "curve, one point": lambda: figures.learning_curve([1], [0.1], [2.3], [(0, 9, 99), (1, 9, 99)]),
    "curve, no point": lambda: figures.learning_curve([], [], [], [(0, 9, 99)]),
    "curve, diverging": lambda: figures.learning_curve(
        [1, 101, 201], [0.1, 0.1, 0.1], [1e-5, 1e9, float("nan")], [(0, 9, 100)]
    ),
}


@pytest.mark.parametrize("name", EVERY)
def test_every_text_is_whole_and_nothing_lies_on_anything_else(name: str) -> None:
    figure = EVERY[name]()
    shown = visible(figure)
    boxes = [text.get_window_extent() for text in shown]
    assert boxes
    for text, box in zip(shown, boxes, strict=True):
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width, f"{text.get_text()!r} sticks out"
        assert box.y0 >= 0 and box.y1 <= figure.bbox.height, f"{text.get_text()!r} sticks out"
        assert text.get_fontsize() >= 7
    for (one, a), (other, b) in overlapping(shown, boxes):
        pytest.fail(f"{one!r} at {a} overlaps {other!r} at {b}")
    frames = [axes.get_window_extent() for axes in figure.axes]
    for a, b in itertools.combinations(frames, 2):
        assert min(a.x1, b.x1) <= max(a.x0, b.x0) or min(a.y1, b.y1) <= max(a.y0, b.y0)
    for text in figure.texts:
        box = text.get_window_extent()
        for frame in frames:
            assert not frame.overlaps(box), text.get_text()


def overlapping(shown: list[Text], boxes: list[Bbox]) -> Iterator[tuple[tuple[str, Bbox], ...]]:
    """Pairs of texts that share more than a dot or so of the picture."""
    edges = np.array([(box.x0 + 1, box.x1 - 1, box.y0 + 1, box.y1 - 1) for box in boxes])
    left, right, low, high = edges.T
    for i in range(len(boxes)):
        hits = (left < right[i]) & (left[i] < right) & (low < high[i]) & (low[i] < high)
        for j in np.flatnonzero(hits):
            if j > i:
                yield (shown[i].get_text(), boxes[i]), (shown[j].get_text(), boxes[j])


@pytest.mark.parametrize(
    "name", ["long names", "no errors", "10 classes", "16 filters", "outputs", "single", "curve"]
)
def test_file_is_the_same_when_drawn_again(name: str, tmp_path: Path) -> None:
    figure = EVERY[name]()
    figures.save(figure, tmp_path / "one.png")
    figures.save(EVERY[name](), tmp_path / "two.png")
    one = (tmp_path / "one.png").read_bytes()
    assert one == (tmp_path / "two.png").read_bytes()
    width, height = figure.get_size_inches()
    assert struct.unpack(">II", one[16:24]) == (round(width * 160), round(height * 160))
    assert len(one) < 100_000
    assert chunks(one) <= {b"IHDR", b"PLTE", b"IDAT", b"IEND"}, "no date, no software"


def chunks(png: bytes) -> set[bytes]:
    kinds, at = set(), 8
    while at < len(png):
        kinds.add(png[at + 4 : at + 8])
        at += 12 + int.from_bytes(png[at : at + 4])
    return kinds


def test_font_is_the_one_that_comes_with_matplotlib(tmp_path: Path) -> None:
    figure = EVERY["16 filters"]()
    figure.texts[0].set_fontfamily("serif")
    figures.save(figure, tmp_path / "figure.png")
    fonts = {Path(findfont(text.get_fontproperties())) for text in visible(figure)}
    assert {font.name for font in fonts} == {"DejaVuSans.ttf"}
    assert all("mpl-data" in font.parts for font in fonts)


def test_image_grid_shows_each_pixel_as_a_square_of_its_grey(tmp_path: Path) -> None:
    shown = noise(2, 28, 28)
    figure = figures.image_grid(shown, ["True: 3", "True: 4"])
    saved = dots(figure, tmp_path)
    assert texts(figure) == ["True: 3", "True: 4"]
    for image, axes in zip(shown, images(figure), strict=True):
        box = axes.get_window_extent()
        scale, remainder = divmod(round(box.width), 28)
        assert remainder == 0 and round(box.height) == scale * 28
        left, top = round(box.x0), round(figure.bbox.height - box.y1)
        inside = saved[top : top + scale * 28, left : left + scale * 28, 0].astype(int)
        squares = inside.reshape(28, scale, 28, scale)[1:-1, :, 1:-1]  # the frame hides the edge
        assert np.ptp(squares, axis=(1, 3)).max() == 0, "sharp edges"
        assert np.abs(squares[:, 0, :, 0] - (255 - image[1:-1, 1:-1].astype(int))).max() <= 4


def test_images_that_are_not_square_keep_their_shape() -> None:
    for shape in [(64, 40), (8, 8), (20, 50)]:
        drawings = (
            figures.image_grid(noise(3, *shape), ["a", "b", "c"]),
            figures.single_image(noise(*shape), "a"),
            figures.layer_outputs(noise(*shape, 5).astype(float), "a"),
        )
        for axes in (axes for figure in drawings for axes in images(figure)):
            box = axes.get_window_extent()
            assert box.height / box.width == pytest.approx(shape[0] / shape[1])


def test_example_errors_are_the_first_nine_wrong_ones() -> None:
    true = np.arange(40) % 10
    predicted = true.copy()
    wrong = np.arange(5, 40, 3)
    predicted[wrong] = (true[wrong] + 1) % 10
    shown = noise(40, 28, 28)
    figure = figures.example_errors(shown, true, predicted, DIGITS, 1000)
    expected = [f"True: {true[i]}, Pred: {predicted[i]}" for i in wrong[:9]]
    assert sorted(texts(figure)) == sorted(["After 1,000 iterations", *expected])
    for i, axes in zip(wrong, images(figure), strict=False):
        assert np.array_equal(axes.get_images()[0].get_array(), shown[i])
    assert len(images(figure)) == 9


@pytest.mark.parametrize("errors", [1, 4, 8])
def test_fewer_than_nine_errors(errors: int) -> None:
    true = np.zeros(20, int)
    predicted = (np.arange(20) < errors).astype(int)
    figure = figures.example_errors(noise(20, 28, 28), true, predicted, DIGITS, 1)
    assert len(figure.axes) == errors
    assert texts(figure).count("True: 0, Pred: 1") == errors


def test_no_errors_are_said_in_words() -> None:
    figure = EVERY["no errors"]()
    assert not figure.axes
    assert set(texts(figure)) == {"After 1 iteration", "No errors at this milestone"}


def test_class_names_are_never_taken_for_formulas(tmp_path: Path) -> None:
    names = ["$\\frac$", "$a_b^c$"]
    errors = figures.example_errors(noise(1, 8, 8), np.array([0]), np.array([1]), names, 1)
    matrix = figures.confusion_matrix(np.array([[1, 0], [2, 3]]), names)
    for figure in (errors, matrix):
        figures.save(figure, tmp_path / "figure.png")
        assert any("$\\frac$" in text for text in texts(figure))


def test_confusion_matrix_has_true_down_and_predicted_across(tmp_path: Path) -> None:
    figure = figures.confusion_matrix(np.array([[12, 3], [0, 7]]), ["cat", "dog"])
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Predicted", "True")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "dog"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
    places = {text.get_text(): text.get_position() for text in axes.texts}
    assert places == {"12": (0, 0), "3": (1, 0), "7": (1, 1)}

    figure.draw_without_rendering()
    x = {text.get_text(): text.get_window_extent().x0 for text in axes.texts}
    y = {text.get_text(): text.get_window_extent().y0 for text in axes.texts}
    assert x["3"] > x["12"] and y["3"] > y["7"], "row 0 stands above row 1"
    saved = dots(figure, tmp_path)
    box = axes.get_window_extent()
    lower_left = saved[round(figure.bbox.height - box.y0) - 20, round(box.x0) + 20]
    assert tuple(lower_left) == WHITE, "no dog was taken for a cat"


def test_a_single_error_shows_beside_a_diagonal_of_thousands(tmp_path: Path) -> None:
    matrix = np.diag([5000, 5000, 0])
    matrix[0, 1], matrix[1, 0] = 1, 30
    figure = figures.confusion_matrix(matrix, ["a", "b", "c"])
    saved = dots(figure, tmp_path)
    box = figure.axes[0].get_window_extent()
    cell = box.width / 3

    def colour(row: int, column: int) -> np.ndarray:
        x, y = box.x0 + (column + 0.2) * cell, figure.bbox.height - box.y1 + (row + 0.2) * cell
        return saved[int(y), int(x)].astype(int)

    assert tuple(colour(2, 2)) == WHITE, "class without images"
    assert 255 - colour(0, 1).min() > 20, "one error is not white"
    assert colour(0, 1).sum() - colour(1, 0).sum() > 100, "30 are told from 1"
    assert colour(1, 0).sum() - colour(0, 0).sum() > 100, "and from the diagonal"


@pytest.mark.parametrize(("name", "shown"), [("10 classes", True), ("62 classes", False)])
def test_counts_stand_in_the_cells_where_they_fit(name: str, shown: bool) -> None:
    axes = EVERY[name]().axes[0]
    assert bool(axes.texts) == shown
    for text in axes.texts:
        column, row = text.get_position()
        cell = axes.transData.transform([(column - 0.5, row + 0.5), (column + 0.5, row - 0.5)])
        box = text.get_window_extent()
        assert cell[0][0] < box.x0 and box.x1 < cell[1][0]


def test_counts_contrast_with_their_cells(tmp_path: Path) -> None:
    figure = figures.confusion_matrix(4 ** np.arange(9).reshape(3, 3), ["a", "b", "c"])
    axes = figure.axes[0]
    image = axes.get_images()[0]
    for text in axes.texts:
        column, row = text.get_position()
        cell = image.to_rgba(image.get_array())[int(row), int(column), :3]
        ink = {"black": 0.0, "white": 1.0}[str(text.get_color())]
        linear = np.where(cell <= 0.04045, cell / 12.92, ((cell + 0.055) / 1.055) ** 2.4)
        light = linear @ np.array([0.2126, 0.7152, 0.0722])
        contrast = (max(ink, light) + 0.05) / (min(ink, light) + 0.05)
        assert contrast >= 4.5, f"{text.get_text()}: WCAG AA"


def test_weights_are_red_above_zero_white_at_it_and_blue_below(tmp_path: Path) -> None:
    weights = np.zeros((5, 5, 2, 3))
    weights[:, :, 1, :] = [2.0, 0.0, -2.0]
    figure = figures.conv_weights(weights, 1, 2.0)
    saved = dots(figure, tmp_path)
    seen = [centre(figure, axes, saved) for axes in images(figure)[:3]]
    assert np.abs(np.subtract(seen, [RED, WHITE, BLUE])).max() <= 4


def test_all_filters_of_a_layer_share_one_scale() -> None:
    weights = normal(5, 5, 3, 36)
    limit = figures.weight_limit(weights)
    assert limit == np.abs(weights).max()
    for channel in (0, 1):
        shown = images(figures.conv_weights(weights, channel, limit))
        assert len(shown) == 36
        for k, axes in enumerate(shown):
            (image,) = axes.get_images()
            assert image.get_clim() == (-limit, limit)
            assert np.array_equal(image.get_array(), weights[:, :, channel, k])


def test_weights_that_are_all_zero_or_not_finite_are_drawn(tmp_path: Path) -> None:
    nothing = np.zeros((3, 3, 1, 2))
    assert figures.weight_limit(nothing) == 1
    assert figures.weight_limit(np.full((3, 3, 1, 2), np.nan)) == 1
    broken = nothing.copy()
    broken[..., 1], broken[0, 0, 0, 0] = np.nan, np.inf
    figure = figures.conv_weights(broken, 0, 1.0)
    saved = dots(figure, tmp_path)
    zero, bad = (centre(figure, axes, saved) for axes in images(figure)[:2])
    assert min(zero) > 250 and min(bad) < 200, "not a number is not zero"
    assert any("not finite" in text for text in texts(figure))


def test_layer_outputs_share_one_scale_from_white_to_black(tmp_path: Path) -> None:
    outputs = np.zeros((7, 7, 3))
    outputs[..., 1], outputs[..., 2] = 2.0, 4.0
    figure = figures.layer_outputs(outputs, "Test image 0 after conv2")
    saved = dots(figure, tmp_path)
    assert [centre(figure, axes, saved)[0] for axes in images(figure)[:3]] == pytest.approx(
        [255, 128, 0], abs=4
    )
    assert len(figure.axes) == 4, "three outputs and a colour bar"
    assert "Test image 0 after conv2" in texts(figure)


def test_outputs_that_are_all_zero_are_white(tmp_path: Path) -> None:
    figure = figures.layer_outputs(np.zeros((7, 7, 4)), "dead")
    assert centre(figure, images(figure)[0], dots(figure, tmp_path)) == WHITE


def test_learning_curve_shows_batches_milestones_and_their_intervals() -> None:
    figure = EVERY["curve"]()
    accuracy, loss = figure.axes
    assert accuracy.lines[0].get_xydata().tolist() == [[1, 0.1], [101, 0.6], [201, 0.9]]
    assert loss.lines[0].get_xydata().tolist() == [[1, 2.3], [101, 1.1], [201, 0.3]]
    (errorbar,) = accuracy.containers
    points, _, (bars,) = errorbar.lines
    assert points.get_xydata().tolist() == [[0, 0.09], [1, 0.11], [201, 0.9]]
    for segment, correct in zip(bars.get_segments(), (9, 11, 90), strict=True):
        assert segment[:, 1] == pytest.approx(wilson_interval(correct, 100))
    assert {"Training batch", "Test split, 95 % interval"} <= set(texts(figure))


def test_milestone_0_lies_inside_the_logarithmic_axis() -> None:
    figure = EVERY["curve"]()
    axes = figure.axes[0]
    figure.draw_without_rendering()
    x = [axes.transData.transform((iteration, 0.5))[0] for iteration in (0, 1, 101, 201)]
    box = axes.get_window_extent()
    assert box.x0 + 5 < x[0] < x[1] - 30 < x[2] < x[3] < box.x1


def test_no_training_is_said_in_words() -> None:
    figure = EVERY["curve, no point"]()
    assert "No training iterations" in texts(figure)
    assert "Training batch" not in texts(figure)


@pytest.mark.parametrize("losses", [[2.3], [0.5, 0.6], [1e-4, 3.0], [1e-12, 1e12], [0.0], []])
def test_loss_axis_always_has_two_to_ten_round_numbers(losses: list[float]) -> None:
    iterations = list(range(1, len(losses) + 1))
    figure = figures.learning_curve(iterations, [0.5] * len(losses), losses, [])
    axes = figure.axes[1]
    low, high = axes.get_ylim()
    ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
    assert 1 <= len(ticks) <= 10
    assert all(low < loss < high for loss in losses if loss > 0)


@pytest.mark.parametrize(
    ("correct", "total"), [(0, 10), (10, 10), (1, 1), (9880, 10_000), (1093, 10_000), (359, 360)]
)
def test_wilson_interval_agrees_with_scipy(correct: int, total: int) -> None:
    expected = binomtest(correct, total).proportion_ci(method="wilson")
    assert wilson_interval(correct, total) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_wilson_interval_of_odd_counts() -> None:
    assert wilson_interval(0, 0) == (0, 1)
    for impossible in [(-1, 10), (11, 10)]:
        with pytest.raises(ValueError, match="not possible"):
            wilson_interval(*impossible)
    for total in (1, 7, 10_000, 10**9):
        assert wilson_interval(0, total)[0] >= 0
        assert wilson_interval(total, total)[1] <= 1
