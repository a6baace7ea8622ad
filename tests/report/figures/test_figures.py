"""Tests of the report's figures: of the data, errors, layers, insights and scores."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from helpers.arrays import noise, normal
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from PIL import Image
from scipy.signal import correlate2d

from tasks.data.audit import SCHEMA as FINDINGS
from tasks.data.dataset import SplitArrays
from tasks.engine.models import FileRef
from tasks.model.check_labels import SCHEMA as ISSUES
from tasks.records import (
    Attribution,
    Classification,
    ClassMetrics,
    ConfidenceBin,
    ConfusedPair,
    Evaluation,
    Metrics,
)
from tasks.report.figures import images, insight, layers, save, scores
from tasks.report.figures.data import DataExamples, data_figures
from tasks.report.figures.report_figure import Predictions, ReportFigure
from tasks.runtime.errors import PipelineError

DIGITS = [str(i) for i in range(10)]
LETTERS = [*"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"]
CLOTHES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Ankle boot"]
ODD = ["$a_class$ with a name that is far too long for any figure", "W" * 60]
NAMES = {"digits": DIGITS, "62 classes": LETTERS, "clothes": CLOTHES, "2 odd names": ODD}
SIZES = {"digits": (28, 28), "62 classes": (64, 64), "clothes": (32, 20), "2 odd names": (8, 8)}


def predictions(kind: str, count: int = 40, wrong: int = 3) -> Predictions:
    """Return noise in turn of all classes, of which every `wrong`-th is taken for the next one."""
    names, true = NAMES[kind], np.arange(count) % len(NAMES[kind])
    errors = (np.arange(count) % wrong == 0) if wrong else np.zeros(count, bool)
    predicted = np.where(errors, true + 1, true) % len(names)
    probabilities = np.full((count, len(names)), 0.2 / (len(names) - 1), np.float32)
    probabilities[np.arange(count), predicted] = 0.8
    return Predictions(
        names,
        noise(count, *SIZES[kind]),
        true.astype(np.uint8),
        predicted.astype(np.uint8),
        probabilities,
    )


def shown(figure: Figure) -> list[np.ndarray]:
    """Return the arrays of the figure's images, in drawing order."""
    found = figure.findobj(AxesImage)
    return [np.asarray(image.get_array()) for image in found if isinstance(image, AxesImage)]


def texts(figure: Figure) -> str:
    """Return all text of a figure, with ordinary spaces."""
    found = (t.get_text() for t in figure.findobj(Text) if isinstance(t, Text))
    return "\n".join(found).replace("\N{NO-BREAK SPACE}", " ")


def check(made: ReportFigure, folder: Path) -> np.ndarray:
    """Save a figure; check that it has texts, is not blank, and that no text leaves it."""
    assert made.title and made.caption and made.alt and made.name
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(made.figure, folder / "figure.png")
    with Image.open(folder / "figure.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.min() < 150, "blank"
    size = made.figure.bbox
    for text in made.figure.findobj(lambda a: isinstance(a, Text) and a.get_visible()):
        box = text.get_window_extent()  # type: ignore[attr-defined]
        # Ticks beyond the limits of their axis are never drawn.
        if text.get_text() and text.axes in made.figure.axes[:1] and box.width < 3 * size.width:
            assert box.x0 >= -1 and box.x1 <= size.width + 1, text
    return pixels


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("wrong", [0, 1, 3])
def test_images_and_errors(kind: str, wrong: int, tmp_path: Path) -> None:
    data = predictions(kind, wrong=wrong)
    found = data.wrong
    check(images.first_images(data), tmp_path)
    made = images.errors(data, 1_000)
    check(made, tmp_path)
    assert (made.name, made.title) == ("errors-1000", "After 1,000 iterations")
    if wrong:
        assert str(len(found)) in made.caption
        for image, row in zip(shown(made.figure), found[:9], strict=True):
            np.testing.assert_array_equal(image, data.images[row])
    made = images.confident_errors(data)
    check(made, tmp_path)
    pairs = [ConfusedPair(true=0, predicted=1, count=7), ConfusedPair(true=1, predicted=0, count=2)]
    made = images.confused_pairs(data, pairs if wrong else [])
    check(made, tmp_path)
    if wrong:
        assert "7" in texts(made.figure).split("\n") and made.alt.endswith(": 2")


def test_most_confident_errors_come_first_with_both_probabilities() -> None:
    data = predictions("digits", 20, wrong=4)
    data.probabilities[8] = 0.01
    data.probabilities[8, data.predicted[8]] = 0.91
    made = images.confident_errors(data)
    np.testing.assert_array_equal(shown(made.figure)[0], data.images[8])
    assert "True: 8, 1.0 %\nPred: 9, 91.0 %" in texts(made.figure)


def test_saved_file_is_the_same_every_time(tmp_path: Path) -> None:
    written = []
    for _ in range(2):
        save(images.first_images(predictions("clothes")).figure, tmp_path / "figure.png")
        written.append((tmp_path / "figure.png").read_bytes())
    assert written[0] == written[1]
    assert b"matplotlib" not in written[0].lower()


def bar_of_ink() -> np.ndarray:
    image = np.zeros((28, 28), np.uint8)
    image[6:22, 12:16] = 200
    return image


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("shape", [(28, 28), (9, 14)])
def test_sums_of_a_convolution_equal_those_of_scipy(size: int, shape: tuple[int, int]) -> None:
    pixels, weights = normal(*shape), normal(size, size)
    found = layers.convolve(pixels, weights)
    np.testing.assert_allclose(found, correlate2d(pixels, weights, "same"), atol=1e-5)


@pytest.mark.parametrize(("length", "size", "stride"), [(28, 5, 2), (9, 3, 3), (14, 3, 2)])
def test_strided_places_are_those_of_same_padding(length: int, size: int, stride: int) -> None:
    starts = layers.patch_starts(length, size, stride)
    assert len(starts) == -(-length // stride)
    overlap = max((len(starts) - 1) * stride + size - length, 0)
    assert (starts[0], starts[-1] + size - length) == (-(overlap // 2), overlap - overlap // 2)


def test_products_at_four_places_sum_to_the_outputs() -> None:
    image, weights = bar_of_ink(), normal(5, 5)
    arrays = shown(layers.draw_convolution(image, weights, 1))
    (sums,) = [a for a in arrays if a.shape == (28, 28) and a.dtype == np.float64]
    np.testing.assert_allclose(sums, layers.convolve(image / 255, weights))
    pixels = [float(a[0, 0]) for a in arrays if a.shape == (1, 1)]
    places = layers.telling_places(image / 255, sums, 5, 1)
    np.testing.assert_allclose(pixels, [sums[place] for place in places])
    products = [a for a in arrays if a.shape == (5, 5) and not np.array_equal(a, weights)]
    np.testing.assert_allclose(sorted(a.sum() for a in products), sorted(pixels), atol=1e-12)
    assert max(pixels) == sums[2:-2, 2:-2].max() and min(map(abs, pixels)) == 0
    for i, (y, x) in enumerate(places):
        assert all(max(abs(y - v), abs(x - w)) >= 5 for v, w in places[:i]), "they overlap"


@pytest.mark.parametrize(
    ("image", "weights"),
    [
        (np.full((60, 20), 255, np.uint8), normal(3, 3)),
        (bar_of_ink(), np.full((5, 5), np.nan)),
        (bar_of_ink(), np.zeros((5, 5))),
        (np.zeros((2, 2), np.uint8), normal(1, 1)),
    ],
)
def test_convolution_of_unusual_input(
    image: np.ndarray, weights: np.ndarray, tmp_path: Path
) -> None:
    data = Predictions(
        ["a", "b"],
        image[np.newaxis],
        np.array([0], np.uint8),
        np.array([1], np.uint8),
        normal(1, 2),
    )
    check(layers.convolution(data, 0, weights[:, :, np.newaxis, np.newaxis], 1), tmp_path)


def test_a_filter_as_large_as_the_image_has_no_four_places() -> None:
    assert not layers.enough_places((8, 8), 8, 1) and layers.enough_places((28, 28), 5, 2)


def test_filter_with_the_strongest_response_is_chosen() -> None:
    weights = 0.01 * normal(3, 3, 1, 4)
    weights[..., 2] *= 100
    assert layers.telling_filter(bar_of_ink() / 255, weights, 1) == 2


@pytest.mark.parametrize("shape", [(5, 5, 1, 1), (5, 5, 1, 16), (3, 3, 2, 64)])
def test_filters_share_one_scale_around_zero(shape: tuple[int, ...], tmp_path: Path) -> None:
    weights = normal(*shape)
    weights[0, 0, 0, 0], weights[-1, -1, 0, -1] = 9, -9
    made = layers.weights("conv1", weights, 0)
    pixels = check(made, tmp_path).astype(int)
    for end in ((128, 0, 0), (0, 0, 77)):
        assert (abs(pixels - end).max(axis=-1) < 12).any(), "both ends of the colours are used"
    assert len(shown(made.figure)) >= shape[-1]
    assert "between -9.00 and 9.00" in made.alt


def test_missing_input_channel_is_refused() -> None:
    arrays = {"conv2/weights": normal(3, 3, 16, 2)}
    assert len(list(layers.filters(arrays, (0, 15)))) == 2
    with pytest.raises(PipelineError, match="--conv2-channels 16"):
        list(layers.filters(arrays, (0, 16)))


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize(
    "shapes",
    [[(14, 14, 16), (7, 7, 36), (128,)], [(28, 28, 1)], [(16, 10, 600), (1000,), (3,)], []],
)
def test_flow_shows_image_layers_and_probabilities(
    kind: str, shapes: list[tuple[int, ...]], tmp_path: Path
) -> None:
    data = predictions(kind)
    outputs = [(f"layer{i}", np.abs(normal(*shape))) for i, shape in enumerate(shapes)]
    logits = ("logits", normal(len(data.names)))
    made = layers.flow(data, 1, [*outputs, logits])
    check(made, tmp_path)
    np.testing.assert_array_equal(shown(made.figure)[0], data.images[1])
    assert "80 %" in texts(made.figure)
    for name, _ in outputs:
        assert name in texts(made.figure)


@pytest.mark.parametrize("kind", NAMES)
def test_insights(kind: str, tmp_path: Path) -> None:
    data, shape = predictions(kind, 60), SIZES[kind]
    count = len(data.names)
    excited = {"images": normal(count, *shape), "logits": normal(count)}
    excited["probabilities"] = np.full(count, 0.5)
    made = insight.exciting_inputs(excited, data.names)
    check(made, tmp_path)
    assert len(shown(made.figure)) == count

    rows = tuple(data.wrong[:9].tolist())
    record = Attribution(
        file=FileRef(path="a", sha256="a" * 64, size=1), test_images=rows, predicted=rows, patch=5
    )
    names = [f"{m}/{c}" for m in ("gradient", "occlusion") for c in ("predicted", "true")]
    maps = {name: normal(len(rows), *shape) for name in names}
    made = insight.attributions(data, record, maps)
    check(made, tmp_path)
    assert len(shown(made.figure)) >= 5 * 6 and "5 × 5 pixels covered" in texts(made.figure)
    check(insight.attributions(data, record.model_copy(update={"test_images": ()}), {}), tmp_path)

    for places in (normal(60), np.zeros(60, np.float32), np.full(60, np.nan, np.float32)):
        columns = {"x": places, "y": places, "label": data.true, "predicted": data.predicted}
        made = insight.similarity_map(columns, data.names, "fc1", 60)
        check(made, tmp_path)
    assert "All 60 test images" in made.caption and str(len(data.wrong)) in made.caption


def evaluation(iteration: int, correct: int, total: int = 100) -> Evaluation:
    made = Classification(
        correct=correct,
        total=total,
        confusion=((correct, total - correct), (0, 0)),
        predictions=FileRef(path="a", sha256="a" * 64, size=1),
    )
    return Evaluation(iteration=iteration, validation=made, test=made)


@pytest.mark.parametrize(
    ("iterations", "loss"),
    [([], []), ([1], [2.3]), ([1, 101, 201], [2.3, 1.1, 0.3]), ([1, 101], [1e-9, np.nan])],
)
def test_learning_curve_shows_batches_and_both_splits(
    iterations: list[int], loss: list[float], tmp_path: Path
) -> None:
    last = max([0, *iterations])
    curve = {
        "iteration": np.array(iterations, int),
        "accuracy": np.linspace(0.1, 1, len(iterations)),
        "loss": np.array(loss, float),
    }
    made = [evaluation(i, c) for i, c in {0: 9, last: 99}.items()]
    figure = scores.learning_curve(curve, made)
    check(figure, tmp_path)
    words = texts(figure.figure)
    assert "Training batch" in words and "Validation split" in words and "Test split" in words
    assert "99.0 %" in figure.alt.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize("kind", NAMES)
def test_confusion_matrix_has_names_and_counts(kind: str, tmp_path: Path) -> None:
    count = len(NAMES[kind])
    matrix = np.diag(np.full(count, 1_000))
    matrix[0, 1] = 37
    made = scores.confusion_matrix(matrix, NAMES[kind])
    check(made, tmp_path)
    assert ("37" in texts(made.figure).split("\n")) == (count <= 20)
    assert f"{NAMES[kind][0]} taken for {NAMES[kind][1]}, 37 times" in made.alt
    assert "without errors" in scores.confusion_matrix(np.zeros((2, 2), int), ["a", "b"]).alt


@pytest.mark.parametrize(
    ("correct", "leaning"), [(99, "under"), (20, "over"), (70, "neither"), (None, "neither")]
)
def test_calibration_says_which_way_the_network_errs(
    correct: int | None, leaning: str, tmp_path: Path
) -> None:
    full = {"count": 100, "correct": correct, "confidence": 0.7}
    empty = {"count": 0, "correct": 0, "confidence": None}
    bins = tuple(
        ConfidenceBin(low=i / 15, high=(i + 1) / 15, **(full if i == 10 and correct else empty))
        for i in range(15)
    )
    one = ClassMetrics(support=1, precision=None, recall=1, f1=None)
    metrics = Metrics(classes=(one,), confused=(), bins=bins, calibration_error=0.1234)
    made = scores.calibration(metrics)
    check(made, tmp_path)
    assert scores.leaning(metrics) == leaning
    assert "12.34" in made.caption and scores.VERDICTS[leaning] in made.caption


def split(count: int, first: int) -> SplitArrays:
    """Images of noise whose rows have gaps, as after a draw."""
    rows = np.arange(first, first + 2 * count, 2, dtype=np.int32)
    return SplitArrays(rows, noise(count, 6, 5) + np.uint8(first), np.zeros(count, np.uint8))


SPLITS = {"train": split(30, 1), "validation": split(5, 0), "test": split(9, 0)}


def copy(row: int, other: int) -> dict[str, Any]:
    return {
        "kind": "duplicates",
        "split": "train",
        "index": 1 + 2 * row,
        "label": 0,
        "other_split": "test",
        "other_index": 2 * other,
        "other_label": 1,
        "correlation": 1.0,
    }


def examples(findings: list[dict[str, Any]], issues: list[dict[str, Any]]) -> DataExamples:
    found, doubtful = pa.Table.from_pylist(findings, FINDINGS), pa.Table.from_pylist(issues, ISSUES)
    return DataExamples(["cat", "dog"], SPLITS, found, doubtful)


def test_a_duplicate_is_beside_the_image_that_it_repeats(tmp_path: Path) -> None:
    blank = {"kind": "blank", "split": "validation", "index": 4, "label": 1}
    pairs, single = data_figures(examples([copy(4, 3), blank], []))
    check(pairs, tmp_path)
    (image,) = shown(pairs.figure)
    np.testing.assert_array_equal(image[:, :5], SPLITS["train"].images[4])
    np.testing.assert_array_equal(image[:, -5:], SPLITS["test"].images[3])
    assert "train 9: cat\ntest 6: dog" in texts(pairs.figure)
    np.testing.assert_array_equal(shown(single.figure)[0], SPLITS["validation"].images[2])
    assert list(data_figures(examples([], []))) == []
    (many,) = data_figures(examples([copy(row, 0) for row in range(30)], []))
    assert "9 of 30" in many.caption and len(shown(many.figure)) == 9


def test_doubtful_labels_name_label_and_answer(tmp_path: Path) -> None:
    probabilities = {"label_probability": 0.01, "suggested_probability": 0.97}
    issue = {"split": "train", "index": 3, "label": 0, "suggested": 1, **probabilities}
    (made,) = data_figures(examples([], [issue]))
    check(made, tmp_path)
    np.testing.assert_array_equal(shown(made.figure)[0], SPLITS["train"].images[1])
    assert "Label: cat\nNetwork: dog, 97 %\ntrain 3" in texts(made.figure)
