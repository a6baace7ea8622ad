"""What excites a class, which pixels speak for it, and the map of the test images."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.data.dataset import SplitArrays
from tasks.engine.digests import sha256
from tasks.engine.models import FileRef
from tasks.engine.store import Store
from tasks.model.checkpoint import read_tensors, restore_network
from tasks.model.evaluate import evaluate
from tasks.model.insights.attribute import (
    PLACES,
    attribute,
    gradient_times_input,
    occluded_copies,
    occlusion,
    patch_side,
)
from tasks.model.insights.embed import SAMPLE, embed, map_points, sample
from tasks.model.insights.excite import blur_kernel, excite
from tasks.model.prediction_table import to_frame, write_predictions
from tasks.model.train import initialise
from tasks.records import Evaluation, Segment, Shape, Split, Splits
from tasks.settings import EvaluationSettings, NetworkSettings

if TYPE_CHECKING:
    import keras

    Arrays = Callable[[Split], SplitArrays]
    RunStage = Callable[..., Any]

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def evaluation(
    run_stage: RunStage, splits: Splits, trained: Segment, network: NetworkSettings
) -> Evaluation:
    result: Evaluation = run_stage(
        *(evaluate, splits.test, splits.shape, trained.checkpoint, network),
        *(EvaluationSettings(), 240),
    )
    return result


@pytest.fixture(scope="module")
def model(root: Store, splits: Splits, trained: Segment, network: NetworkSettings) -> Any:
    return restore_network(root.path(trained.checkpoint.file), network, splits.shape)


@pytest.fixture(scope="module")
def linear() -> keras.Sequential:
    """Logits that are sums of weighted pixels of 6 × 4 images."""
    from tasks.model.device import load_tensorflow

    load_tensorflow()
    import keras

    layers = [keras.Input((6, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    network = keras.Sequential(layers)
    network.layers[-1].set_weights([normal(24, 3), normal(3)])
    return network


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(4).normal(size=shape).astype(np.float32)


def weights_of(linear: keras.Sequential, c: int) -> np.ndarray:
    kernel: np.ndarray = linear.layers[-1].get_weights()[0][:, c].reshape(6, 4)
    return kernel


# What excites a class.


def test_made_up_images_excite_their_class_more_than_any_real_one(
    root: Store,
    run_stage: RunStage,
    splits: Splits,
    trained: Segment,
    network: NetworkSettings,
    arrays: Arrays,
    model: Any,
) -> None:
    record = run_stage(excite, splits.shape, trained.checkpoint, network)
    tensors = read_tensors(root.path(record.file))
    images = tensors["images"]
    assert images.shape == (10, 8, 8) and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 1
    logits = np.asarray(model(images[..., np.newaxis]))
    np.testing.assert_allclose(tensors["logits"], np.diagonal(logits), rtol=1e-5)
    real = np.asarray(model(arrays(splits.test).images[..., np.newaxis] / np.float32(255)))
    assert (tensors["logits"] > real.max(axis=0)).all()
    assert (logits.argmax(axis=1) == np.arange(10)).all()
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(tensors["probabilities"], np.diagonal(shares), rtol=1e-4)
    again = run_stage(excite, splits.shape, trained.checkpoint, network)
    assert again.file.sha256 == record.file.sha256


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (32, 20), (64, 64)])
def test_blurring_keeps_the_ink_and_grows_with_the_image(size: tuple[int, int]) -> None:
    kernel = blur_kernel(Shape(height=size[0], width=size[1], classes=2))
    assert kernel.sum() == pytest.approx(1)
    assert kernel.ndim == 4 and kernel.shape[0] % 2 == 1
    assert np.array_equal(kernel[..., 0, 0], kernel[::-1, ::-1, 0, 0])
    assert kernel.max() == kernel[len(kernel) // 2, len(kernel) // 2, 0, 0]


# Which pixels speak for a class.


def test_gradient_times_input_of_a_linear_network_is_what_each_pixel_adds(
    linear: keras.Sequential,
) -> None:
    images, classes = np.abs(normal(2, 6, 4)), np.array([2, 0])
    found = gradient_times_input(linear, images, classes)
    for image, c, shown in zip(images, classes, found, strict=True):
        np.testing.assert_allclose(shown, image * weights_of(linear, c), rtol=1e-5)


def test_occlusion_of_a_linear_network_is_what_the_covered_pixels_add(
    linear: keras.Sequential,
) -> None:
    images, classes = np.abs(normal(2, 6, 4)), np.array([[2, 0], [1, 2]])
    found = occlusion(linear, images, 3, classes)
    assert found.shape == (2, 2, 6, 4)
    for k, i, row, column in np.ndindex(found.shape):
        adds = images[i] * weights_of(linear, classes[i, k])
        square = adds[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        assert found[k, i, row, column] == pytest.approx(square.sum(), abs=1e-5)


@pytest.mark.parametrize(
    ("size", "places", "patch"),
    [
        ((8, 8), (8, 8), 1),
        ((28, 28), (28, 28), 5),
        ((64, 64), (32, 32), 11),
        ((32, 20), (32, 20), 3),
    ],
)
def test_large_images_are_covered_at_fewer_places(
    size: tuple[int, int], places: tuple[int, int], patch: int
) -> None:
    assert patch_side(Shape(height=size[0], width=size[1], classes=2)) == patch
    copies = occluded_copies(np.ones(size, np.float32), patch)
    assert copies.shape == (*places, *size)
    assert len(copies) * len(copies[0]) <= PLACES
    missing = (copies == 0).sum(axis=(2, 3))
    assert missing.min() >= 1 and missing.max() == patch**2
    assert (copies == 0).any(axis=(0, 1)).all(), "every pixel is covered at some place"


def test_the_first_errors_are_looked_into(
    root: Store,
    run_stage: RunStage,
    splits: Splits,
    trained: Segment,
    network: NetworkSettings,
    evaluation: Evaluation,
    arrays: Arrays,
    model: Any,
) -> None:
    record = run_stage(
        *(attribute, splits.test, splits.shape, trained.checkpoint, network),
        evaluation.predictions,
    )
    table = pq.read_table(root.path(evaluation.predictions))
    true, predicted = table["label"].to_numpy(), table["predicted"].to_numpy()
    rows = np.flatnonzero(true != predicted)[:9]
    assert len(rows) > 1, "a network that errs"
    assert record.test_images == tuple(rows)
    assert record.predicted == tuple(predicted[rows])
    tensors = read_tensors(root.path(record.file))
    assert set(tensors) == {
        f"{k}/{c}" for k in ("gradient", "occlusion") for c in ("predicted", "true")
    }
    images = arrays(splits.test).images[rows].astype(np.float32) / 255
    for name, classes in (("true", true), ("predicted", predicted)):
        expected = gradient_times_input(model, images, classes[rows])
        np.testing.assert_allclose(tensors[f"gradient/{name}"], expected, atol=1e-5)
        assert tensors[f"occlusion/{name}"].shape == images.shape
        assert not tensors[f"gradient/{name}"][images == 0].any(), "nothing where there is no ink"


def test_without_errors_there_is_nothing_to_look_into(
    root: Store, run_stage: RunStage, splits: Splits, trained: Segment, network: NetworkSettings
) -> None:
    labels = np.arange(3, dtype=np.uint8)
    file = save_table(root, labels, np.eye(3, 10, dtype=np.float32))
    record = run_stage(attribute, splits.test, splits.shape, trained.checkpoint, network, file)
    assert record.test_images == record.predicted == ()
    assert read_tensors(root.path(record.file)) == {}


def save_table(root: Store, labels: np.ndarray, probabilities: np.ndarray) -> FileRef:
    path = root.root / "made-up.parquet"
    write_predictions(to_frame(np.arange(len(labels), dtype=np.int32), labels, probabilities), path)
    return FileRef(path=path.name, sha256=sha256(path), size=path.stat().st_size)


# The map.


def test_errors_come_first_on_the_map() -> None:
    true = np.zeros(10_000, np.uint8)
    for errors, shown in ((0, 0), (118, 118), (9_000, 750)):
        predicted = (np.arange(10_000) % 10_000 < errors).astype(np.uint8)
        rows = sample(true, predicted)
        assert len(rows) == len(set(rows)) == SAMPLE
        assert (np.diff(rows) > 0).all()
        assert predicted[rows].sum() >= shown
        if errors <= SAMPLE // 2:
            assert predicted[rows].sum() == errors
    assert np.array_equal(sample(true[:297], true[:297]), np.arange(297)), "few: all of them"


def blobs() -> np.ndarray:
    """Three groups of forty points in twenty dimensions."""
    rng = np.random.default_rng(0)
    middles = 4 * rng.normal(size=(3, 20))
    return np.concatenate([m + rng.normal(size=(40, 20)) for m in middles]).astype(np.float32)


def test_groups_stay_together_on_the_map() -> None:
    places = map_points(blobs())
    assert places.shape == (120, 2) and places.dtype == np.float32
    np.testing.assert_array_equal(places, np.round(places, 2))
    distance = np.linalg.norm(places[:, np.newaxis] - places, axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (distance.argmin(axis=1) // 40 == np.arange(120) // 40).all()


def test_places_do_not_depend_on_process_threads_or_scale(python: Callable[..., Any]) -> None:
    script = (
        "import json, os, sys; os.environ['OMP_NUM_THREADS'] = '1'\n"
        "import numpy as np; from tasks.model.insights.embed import map_points\n"
        "print(map_points(np.array(json.loads(sys.argv[1]), np.float32)).tolist())"
    )
    points = blobs()
    places = map_points(points)
    assert json.loads(python(script, json.dumps(points.tolist())).stdout) == places.tolist()
    assert np.array_equal(map_points(points * 1024), places)


@pytest.mark.parametrize("points", [np.zeros((50, 4)), np.ones((3, 4)), normal(7, 4)])
def test_where_there_is_nothing_to_tell_apart_all_are_in_one_place(points: np.ndarray) -> None:
    assert not map_points(points.astype(np.float32)).any()


def test_what_is_not_finite_has_no_place() -> None:
    points = normal(50, 4)
    points[3, 2] = np.inf
    assert np.isnan(map_points(points)).all()


@pytest.mark.parametrize(("dense", "layer"), [((16,), "fc1"), ((16, 12), "fc2"), ((), "conv2")])
def test_the_last_hidden_layer_is_mapped(
    root: Store,
    run_stage: RunStage,
    splits: Splits,
    evaluation: Evaluation,
    dense: tuple[int, ...],
    layer: str,
) -> None:
    network = NetworkSettings(conv_filters=(4, 6), conv_sizes=(3, 5), dense=dense)
    checkpoint = run_stage(initialise, splits.shape, network, seed=1)
    record = run_stage(
        embed, splits.test, splits.shape, checkpoint, network, evaluation.predictions
    )
    assert (record.layer, record.rows) == (layer, 297)
    table = pq.read_table(root.path(record.file))
    assert table.column_names == ["index", "label", "predicted", "x", "y"]
    assert table["index"].to_pylist() == list(range(297))
    predictions = pq.read_table(root.path(evaluation.predictions))
    for name in ("label", "predicted"):
        assert table[name].equals(predictions[name])
