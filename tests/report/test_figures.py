"""The figures: what they show, odd input, the file."""

import itertools
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image
from scipy.stats import binomtest

from tasks.records import ClassMetrics, ConfidenceBin
from tasks.report import figures
from tasks.report.figures.canvas import whole_percent
from tasks.report.figures.contents import channels_of
from tasks.report.figures.images import confident_errors_figure, errors_figure
from tasks.report.figures.report_figure import Predictions
from tasks.runtime.errors import PipelineError
from tasks.statistics import wilson_interval

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


def images(figure: Figure) -> list[AxesImage]:
    """The images on the sheet, in the order in which they were put there."""
    return figure.axes[0].get_images()


def shown(image: AxesImage) -> np.ndarray:
    array = image.get_array()
    assert array is not None
    return np.asarray(array)


def fills(figure: Figure) -> list[tuple[str, float, float]]:
    """Colour, width and height of the bars on the sheet."""
    return [
        (to_hex(patch.get_facecolor()), patch.get_width(), patch.get_height())
        for patch in figure.findobj(Rectangle)
        if isinstance(patch, Rectangle) and patch.axes is figure.axes[0]
        if patch.get_facecolor()[3] > 0 and patch is not figure.axes[0].patch
    ]


def dots(figure: Figure, folder: Path) -> np.ndarray:
    """The saved PNG, [height, width, 3]."""
    figures.save(figure, folder / "figure.png")
    with Image.open(folder / "figure.png") as image:
        return np.asarray(image.convert("RGB"))


def centre(figure: Figure, image: AxesImage, saved: np.ndarray) -> tuple[int, ...]:
    """Colour in the middle of an image."""
    box = image.get_window_extent()
    x, y = (box.x0 + box.x1) / 2, figure.bbox.height - (box.y0 + box.y1) / 2
    return tuple(int(value) for value in saved[int(y), int(x)])


LONG = ["the first of two very long class names", "W" * 60]


def shares(images: int, classes: int) -> np.ndarray:
    """Probabilities, float32 [images, classes]."""
    powers = np.exp(3 * np.random.default_rng(1).normal(size=(images, classes)))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def some_confidences(images: int, names: list[str], *shape: int) -> Figure:
    true = np.arange(images) % len(names)
    return figures.confidences(
        noise(images, *shape), shares(images, len(names)), true, names, "No errors"
    )


def some_pairs(pairs: int, names: list[str], *shape: int, most: int = 900) -> Figure:
    classes = len(names)
    true = np.arange(pairs) % classes
    wrong = (true + 1) % classes
    counted = [(int(true[k]), int(wrong[k]), most // (k + 1)) for k in range(pairs)]
    # Three images of each pair.
    return figures.confused_pair_grid(
        counted, noise(3 * pairs, *shape), np.tile(true, 3), np.tile(wrong, 3), names
    )


def some_scores(names: list[str], low: float = 0.3) -> Figure:
    values = np.random.default_rng(0).uniform(low, 1, (len(names), 3))
    metrics = [
        ClassMetrics(support=1000 + i, precision=p, recall=r, f1=f)
        for i, (p, r, f) in enumerate(values.tolist())
    ]
    # The second class has no images, the first is never predicted.
    metrics[1] = ClassMetrics(support=0, precision=0.0, recall=None, f1=0.0)
    metrics[0] = ClassMetrics(support=100_000, precision=None, recall=0.0, f1=0.0)
    return figures.class_scores(metrics, names)


def some_calibration(*bins: tuple[int, int]) -> Figure:
    """Bins given as (count, correct), the rest empty, the given ones last."""
    counted = [(0, 0)] * (15 - len(bins)) + list(bins)
    return figures.calibration(
        [
            ConfidenceBin(
                low=k / 15,
                high=(k + 1) / 15,
                count=n,
                correct=right,
                confidence=(k + 0.5) / 15 if n else None,
            )
            for k, (n, right) in enumerate(counted)
        ],
        0.0123,
    )


def some_flow(names: list[str], *layers: tuple[int, ...], size: tuple[int, int]) -> Figure:
    """The way through layers whose outputs have such shapes."""
    outputs = [(f"layer{n}", np.abs(normal(*shape))) for n, shape in enumerate(layers, 1)]
    return figures.flow(noise(*size), outputs, shares(1, len(names))[0], len(names) - 1, names)


def some_attributions(images: int, names: list[str], *shape: int) -> Figure:
    maps = [
        ("gradient × input", normal(images, *shape), -normal(images, *shape)),
        ("11 × 11 pixels covered", 9 * normal(images, *shape), normal(images, *shape)),
    ]
    true = [i % 2 for i in range(images)]
    return figures.attributions(
        noise(images, *shape), true, [1 - t for t in true], maps if images else [], names
    )


def some_map(images: int, names: list[str], spread: float = 20) -> Figure:
    true = np.arange(images) % len(names)
    angle = 2 * np.pi * true / len(names)
    middle = spread * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    predicted = np.where(np.arange(images) % 9 == 0, (true + 1) % len(names), true)
    return figures.embedding_map(normal(images, 2) + middle, true, predicted, names)


EVERY: dict[str, Callable[[], Figure]] = {
    "confident": lambda: some_confidences(9, DIGITS, 28, 28),
    "confident, one": lambda: some_confidences(1, DIGITS, 8, 8),
    "confident, none": lambda: some_confidences(0, DIGITS, 28, 28),
    "confident, 2 long names": lambda: some_confidences(5, LONG, 32, 20),
    "confident, named": lambda: some_confidences(9, CLOTHES, 28, 28),
    "confident, 62 classes": lambda: some_confidences(9, ALPHANUMERIC, 64, 64),
    "confident, tall": lambda: some_confidences(4, DIGITS, 64, 16),
    "confident, not finite": lambda: figures.confidences(
        noise(1, 8, 8), np.full((1, 10), np.nan), np.array([1]), DIGITS, ""
    ),
    "pairs": lambda: some_pairs(10, DIGITS, 28, 28),
    "pairs, one": lambda: some_pairs(1, LONG, 8, 8),
    "pairs, none": lambda: some_pairs(0, DIGITS, 28, 28),
    "pairs, named": lambda: some_pairs(8, CLOTHES, 32, 20, most=100_000),
    "pairs, large": lambda: some_pairs(5, ALPHANUMERIC, 200, 100),
    "scores": lambda: some_scores(DIGITS),
    "scores, 2 long names": lambda: some_scores(LONG),
    "scores, 62 classes": lambda: some_scores(ALPHANUMERIC, 0.96),
    "calibration": lambda: some_calibration((1, 0), (7, 3), (55_000, 52_000), (9999, 9998)),
    "calibration, nothing": some_calibration,
    "calibration, full": lambda: some_calibration(*[(99_999, 50_000)] * 14, (123_456, 9)),
    "flow": lambda: some_flow(DIGITS, (14, 14, 16), (7, 7, 36), (128,), size=(28, 28)),
    "flow, 8 × 8": lambda: some_flow(DIGITS, (4, 4, 4), (2, 2, 6), (1024,), (16,), size=(8, 8)),
    "flow, no hidden layer": lambda: some_flow(LONG, (28, 28, 1), size=(28, 28)),
    "flow, 26 classes": lambda: some_flow(ALPHANUMERIC[10:36], (4, 4, 3), size=(8, 8)),
    "flow, wide": lambda: some_flow(ALPHANUMERIC, (64, 64, 256), (100,), size=(64, 64)),
    "flow, many": lambda: some_flow(CLOTHES, *[(16, 10, 600)] * 4, (64,), (3,), size=(32, 20)),
    "flow, large": lambda: some_flow(DIGITS, (300, 300, 2), size=(300, 300)),
    "exciting": lambda: figures.exciting_inputs(normal(10, 28, 28), shares(1, 10)[0], DIGITS),
    "exciting, 2": lambda: figures.exciting_inputs(normal(2, 32, 20), shares(1, 2)[0], LONG),
    "exciting, 62": lambda: figures.exciting_inputs(
        normal(62, 8, 8), shares(1, 62)[0], ALPHANUMERIC
    ),
    "attributions": lambda: some_attributions(9, DIGITS, 28, 28),
    "attributions, one": lambda: some_attributions(1, LONG, 8, 8),
    "attributions, none": lambda: some_attributions(0, DIGITS, 28, 28),
    "attributions, tall": lambda: some_attributions(3, CLOTHES, 64, 20),
    "map": lambda: some_map(1500, DIGITS),
    "map, 62 classes": lambda: some_map(1500, ALPHANUMERIC),
    "map, one place": lambda: some_map(300, ALPHANUMERIC, spread=0),
    "map, long names": lambda: some_map(40, LONG),
    "map, one image": lambda: some_map(1, DIGITS),
    "map, not finite": lambda: figures.embedding_map(
        np.full((3, 2), np.nan), np.zeros(3, int), np.zeros(3, int), DIGITS
    ),
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
    "outputs": lambda: figures.output_grid(np.abs(normal(7, 7, 36)), "Test image 0 after conv2"),
    "flat outputs": lambda: figures.output_grid(np.abs(normal(2, 20, 3)), "flat"),
    "tall outputs": lambda: figures.output_grid(np.abs(normal(64, 40, 5)), "tall"),
    "big outputs": lambda: figures.output_grid(np.abs(normal(300, 300, 4)), "big"),
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
    seen = visible(figure)
    boxes = [text.get_window_extent() for text in seen]
    assert boxes
    for text, box in zip(seen, boxes, strict=True):
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width, f"{text.get_text()!r} sticks out"
        assert box.y0 >= 0 and box.y1 <= figure.bbox.height, f"{text.get_text()!r} sticks out"
        assert text.get_fontsize() >= 7
    for (one, a), (other, b) in overlapping(seen, boxes):
        pytest.fail(f"{one!r} at {a} overlaps {other!r} at {b}")
    sheet, *scaled = figure.axes
    frames = [artist.get_window_extent() for artist in (*sheet.get_images(), *scaled)]
    for a, b in itertools.combinations(frames, 2):
        assert min(a.x1, b.x1) <= max(a.x0, b.x0) + 0.1 or (
            min(a.y1, b.y1) <= max(a.y0, b.y0) + 0.1
        )
    for text in sheet.texts:
        box = text.get_window_extent()
        for frame in frames:
            assert not frame.overlaps(box), text.get_text()


def overlapping(seen: list[Text], boxes: list[Bbox]) -> Iterator[tuple[tuple[str, Bbox], ...]]:
    """Pairs of texts that share more than a dot or so of the picture."""
    edges = np.array([(box.x0 + 1, box.x1 - 1, box.y0 + 1, box.y1 - 1) for box in boxes])
    left, right, low, high = edges.T
    for i in range(len(boxes)):
        hits = (left < right[i]) & (left[i] < right) & (low < high[i]) & (low[i] < high)
        for j in np.flatnonzero(hits):
            if j > i:
                yield (seen[i].get_text(), boxes[i]), (seen[j].get_text(), boxes[j])


@pytest.mark.parametrize(
    "name",
    [
        *("long names", "no errors", "10 classes", "16 filters", "outputs", "single", "curve"),
        *("confident", "pairs", "scores", "calibration", "flow", "attributions", "map"),
    ],
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
    figure.axes[0].texts[0].set_fontfamily("serif")
    figures.save(figure, tmp_path / "figure.png")
    fonts = {Path(findfont(text.get_fontproperties())) for text in visible(figure)}
    assert {font.name for font in fonts} == {"DejaVuSans.ttf"}
    assert all("mpl-data" in font.parts for font in fonts)


def test_image_grid_shows_each_pixel_as_a_square_of_its_grey(tmp_path: Path) -> None:
    given = noise(2, 28, 28)
    figure = figures.image_grid(given, ["True: 3", "True: 4"])
    saved = dots(figure, tmp_path)
    assert texts(figure) == ["True: 3", "True: 4"]
    for image, drawn in zip(given, images(figure), strict=True):
        box = drawn.get_window_extent()
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
            figures.output_grid(noise(*shape, 5).astype(float), "a"),
        )
        for image in (image for figure in drawings for image in images(figure)):
            box = image.get_window_extent()
            assert box.height / box.width == pytest.approx(shape[0] / shape[1])


def test_example_errors_are_the_first_nine_wrong_ones() -> None:
    true = np.arange(40) % 10
    predicted = true.copy()
    wrong = np.arange(5, 40, 3)
    predicted[wrong] = (true[wrong] + 1) % 10
    given = noise(40, 28, 28)
    figure = figures.example_errors(given, true, predicted, DIGITS, 1000)
    expected = [f"True: {true[i]}, Pred: {predicted[i]}" for i in wrong[:9]]
    assert sorted(texts(figure)) == sorted(["After 1,000 iterations", *expected])
    for i, image in zip(wrong, images(figure), strict=False):
        assert np.array_equal(shown(image), given[i])
    assert len(images(figure)) == 9


@pytest.mark.parametrize("errors", [1, 4, 8])
def test_fewer_than_nine_errors(errors: int) -> None:
    true = np.zeros(20, int)
    predicted = (np.arange(20) < errors).astype(int)
    figure = figures.example_errors(noise(20, 28, 28), true, predicted, DIGITS, 1)
    assert len(images(figure)) == errors
    assert texts(figure).count("True: 0, Pred: 1") == errors


def test_no_errors_are_said_in_words() -> None:
    figure = EVERY["no errors"]()
    assert not images(figure)
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
    saved = dots(figure, tmp_path)
    box = axes.get_window_extent()
    lower_left = saved[round(figure.bbox.height - box.y0) - 20, round(box.x0) + 20]
    assert tuple(lower_left) == WHITE, "no dog was taken for a cat"


def test_a_single_error_shows_beside_a_diagonal_of_thousands(tmp_path: Path) -> None:
    matrix = np.diag([5000, 5000, 0])
    matrix[0, 1], matrix[1, 0] = 1, 30
    figure = figures.confusion_matrix(matrix, ["a", "b", "c"])
    saved = dots(figure, tmp_path)
    box = figure.axes[1].get_window_extent()
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
    axes = EVERY[name]().axes[1]
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


def test_weights_are_red_above_zero_white_at_it_and_blue_below(tmp_path: Path) -> None:
    weights = np.zeros((5, 5, 2, 3))
    weights[:, :, 1, :] = [2.0, 0.0, -2.0]
    figure = figures.conv_weights(weights, 1, 2.0)
    saved = dots(figure, tmp_path)
    seen = [centre(figure, image, saved) for image in images(figure)[:3]]
    assert np.abs(np.subtract(seen, [RED, WHITE, BLUE])).max() <= 4


def test_all_filters_of_a_layer_share_one_scale() -> None:
    weights = normal(5, 5, 3, 36)
    limit = figures.largest(weights)
    assert limit == np.abs(weights).max()
    for channel in (0, 1):
        tiles = images(figures.conv_weights(weights, channel, limit))
        assert len(tiles) == 36
        for k, image in enumerate(tiles):
            assert image.get_clim() == (-limit, limit)
            assert np.array_equal(shown(image), weights[:, :, channel, k])


def test_weights_that_are_all_zero_or_not_finite_are_drawn(tmp_path: Path) -> None:
    nothing = np.zeros((3, 3, 1, 2))
    assert figures.largest(nothing) == 1
    assert figures.largest(np.full((3, 3, 1, 2), np.nan)) == 1
    broken = nothing.copy()
    broken[..., 1], broken[0, 0, 0, 0] = np.nan, np.inf
    figure = figures.conv_weights(broken, 0, 1.0)
    saved = dots(figure, tmp_path)
    zero, bad = (centre(figure, image, saved) for image in images(figure)[:2])
    assert min(zero) > 250 and min(bad) < 200, "not a number is not zero"
    assert any("not finite" in text for text in texts(figure))


def test_layer_outputs_share_one_scale_from_white_to_black(tmp_path: Path) -> None:
    outputs = np.zeros((7, 7, 3))
    outputs[..., 1], outputs[..., 2] = 2.0, 4.0
    figure = figures.output_grid(outputs, "Test image 0 after conv2")
    saved = dots(figure, tmp_path)
    assert [centre(figure, image, saved)[0] for image in images(figure)[:3]] == pytest.approx(
        [255, 128, 0], abs=4
    )
    assert len(images(figure)) == 3 and len(figure.axes) == 2, "three outputs and a colour bar"
    assert "Test image 0 after conv2" in texts(figure)


def test_outputs_that_are_all_zero_are_white(tmp_path: Path) -> None:
    figure = figures.output_grid(np.zeros((7, 7, 4)), "dead")
    assert centre(figure, images(figure)[0], dots(figure, tmp_path)) == WHITE


def test_probabilities_stand_beside_each_image_as_bars() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1, 0], [0.001, 0.1, 0.899, 0]], np.float32)
    given, names = noise(2, 8, 8), ["a", "b", "c", "d"]
    figure = figures.confidences(given, probabilities, np.array([1, 2]), names, "")
    assert [np.array_equal(shown(image), i) for image, i in zip(images(figure), given, strict=True)]
    bars = [bar for bar in fills(figure) if bar[2] == 16]
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


def test_of_many_classes_the_most_probable_and_the_true_one_are_shown() -> None:
    probabilities = np.zeros((1, 62), np.float32)
    probabilities[0, 20:35] = np.linspace(0.01, 0.1, 15)
    figure = figures.confidences(noise(1, 8, 8), probabilities, np.array([3]), ALPHANUMERIC, "")
    shown_names = [text for text in texts(figure) if text in ALPHANUMERIC]
    assert shown_names == [*(ALPHANUMERIC[c] for c in range(34, 25, -1)), ALPHANUMERIC[3]]


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100 %"), (0.9951, ">99 %"), (0.994, "99 %"), (0.0049, "<1 %"), (0.0, "0 %")],
)
def test_almost_all_is_not_written_as_all(share: float, text: str) -> None:
    assert whole_percent(share) == text.replace(" ", "\xa0")


def test_confused_pairs_show_their_count_and_their_first_images() -> None:
    true, predicted = np.array([1, 1, 0, 1, 0]), np.array([0, 0, 0, 0, 1])
    given = noise(5, 8, 8)
    figure = figures.confused_pair_grid([(1, 0, 3), (0, 1, 1)], given, true, predicted, ["a", "b"])
    drawn = [shown(image) for image in images(figure)]
    for array, row in zip(drawn, (0, 1, 3, 4), strict=True):
        assert np.array_equal(array, given[row])
    (_, long, _), (_, short, _) = fills(figure)
    assert long == pytest.approx(3 * short)
    assert {"b → a", "a → b", "3", "1"} <= set(texts(figure))


def test_scores_have_dots_only_where_they_are_known() -> None:
    known = ClassMetrics(support=10, precision=0.96, recall=0.98, f1=0.97)
    missing = ClassMetrics(support=0, precision=0.975, recall=None, f1=None)
    figure = figures.class_scores([known, missing], ["a", "b"])
    _, axes = figure.axes
    dots = {line.get_label(): np.asarray(line.get_xydata()) for line in axes.lines}
    assert dots["Precision"][:, 0].tolist() == [0.96, 0.975]
    assert dots["Recall"][:, 0].tolist() == [0.98] and dots["F1"][:, 0].tolist() == [0.97]
    low, high = axes.get_xlim()
    assert 0.94 < low < 0.95 and 1 < high < 1.01, "just below the lowest"
    assert {"10", "0", "Images"} <= set(texts(figure))
    figure = figures.class_scores([missing.model_copy(update={"precision": 0.3})], ["b"])
    assert figure.axes[1].get_xlim()[0] < 0, "the whole scale where it is needed"


def test_calibration_shows_accuracy_intervals_and_counts_of_the_bins() -> None:
    figure = some_calibration((10, 4), (0, 0), (200, 190))
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


def test_flow_holds_every_output_in_order_and_a_bar_for_each_class() -> None:
    image, conv, dense = noise(8, 8), np.abs(normal(4, 4, 3)), np.abs(normal(70))
    shares = np.array([0.1, 0.2, 0.7], np.float32)
    figure = figures.flow(image, [("conv1", conv), ("fc1", dense)], shares, 1, ["a", "b", "c"])
    first, *maps, strip = (shown(drawn) for drawn in images(figure))
    assert np.array_equal(first, image)
    for k, tile in enumerate(maps):
        assert np.array_equal(tile, conv[..., k])
    assert len(maps) == 3
    assert np.array_equal(strip.ravel()[:70], dense) and not strip.ravel()[70:].any()
    assert {d.get_clim() for d in images(figure)[1:4]} == {(0, float(conv.max()))}
    bars = fills(figure)[1:]
    assert [colour for colour, _, _ in bars] == ["#bfbfbf", "#0072b2", "#d55e00"]
    heights = [height for _, _, height in bars]
    assert heights == pytest.approx([13, 26, 91], rel=1e-3)


def test_outputs_that_do_not_fit_into_the_flow_are_counted() -> None:
    figure = figures.flow(noise(64, 64), [("conv1", normal(64, 64, 256))], shares(1, 2)[0], 0, LONG)
    left = len(images(figure)) - 1
    assert 10 < left < 256
    assert f"conv1: the first {left} of 256 outputs of 64 × 64" in texts(figure)


def test_attributions_share_a_symmetric_scale_for_each_method() -> None:
    one, other = normal(2, 8, 8), -3 * normal(2, 8, 8)
    figure = figures.attributions(
        noise(2, 8, 8), [0, 1], [1, 0], [("m", one, other), ("n", one, one)], ["a", "b"]
    )
    drawn = images(figure)
    maps = [d for d in drawn if d.get_clim()[0] < 0]
    assert len(drawn) == 10 and len(maps) == 8
    limits = [float(np.abs(other).max())] * 4 + [float(np.abs(one).max())] * 4
    assert [d.get_clim() for d in maps] == [(-limit, limit) for limit in limits]
    for d, expected in zip(maps[:4], (*one, *other), strict=True):
        assert np.array_equal(shown(d), expected)
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


def test_learning_curve_shows_batches_milestones_and_their_intervals() -> None:
    figure = EVERY["curve"]()
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
    figure = EVERY["curve"]()
    axes = figure.axes[1]
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
    axes = figure.axes[2]
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


def test_a_channel_that_the_layer_lacks_is_refused() -> None:
    arrays = {"conv2/weights": normal(3, 3, 16, 2)}
    assert [channel for channel, _ in channels_of("conv2", (0, 15), arrays)] == [0, 15]
    assert channels_of("conv1", (0,), arrays) == []
    with pytest.raises(PipelineError, match="16 input channels"):
        channels_of("conv2", (0, 16), arrays)


def predictions(predicted: list[int], confidence: list[float]) -> Predictions:
    """Predictions for images whose true class is always a."""
    high, classes = np.array(confidence), np.array(predicted)
    probabilities = np.where(classes[:, None] == [0, 1], high[:, None], 1 - high[:, None])
    count = len(predicted)
    return Predictions(["a", "b"], noise(count, 8, 8), np.zeros(count, int), classes, probabilities)


def test_texts_of_errors_describe_the_images_shown() -> None:
    data = predictions([1, 0, 1], [0.6, 0.9, 0.8])
    errors = errors_figure(data, 100)
    assert (errors.name, errors.title) == ("errors-100", "Errors after 100 iterations")
    assert errors.alt == "A a taken for a b; a a taken for a b."
    confident = confident_errors_figure(data)
    assert confident.alt == "true a, predicted b with 80.0%; true a, predicted b with 60.0%"
    assert errors_figure(predictions([0], [0.9]), 1).alt == "No errors."
