"""Tests of attributions of logits to pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.arrays import normal

from tasks.data.dataset import SplitArrays
from tasks.engine.digests import sha256
from tasks.engine.models import FileRef
from tasks.engine.store import Store
from tasks.model.checkpoint import read_tensors
from tasks.model.insights.attribute import (
    PLACES,
    attribute,
    gradient_times_input,
    occluded_copies,
    occlusion,
    patch_side,
)
from tasks.model.prediction_table import to_frame, write_predictions
from tasks.records import Classification, Segment, Shape, Split, Splits
from tasks.settings import NetworkSettings

if TYPE_CHECKING:
    import keras

    Arrays = Callable[[Split], SplitArrays]
    RunStage = Callable[..., Any]

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def linear() -> keras.Sequential:
    """Return a network whose logits are weighted sums of the pixels of 6 × 4 images."""
    from tasks.model.device import load_tensorflow

    load_tensorflow()
    import keras

    layers = [keras.Input((6, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    network = keras.Sequential(layers)
    network.layers[-1].set_weights([normal(24, 3), normal(3)])
    return network


def weights_of(linear: keras.Sequential, c: int) -> np.ndarray:
    kernel: np.ndarray = linear.layers[-1].get_weights()[0][:, c].reshape(6, 4)
    return kernel


def test_gradient_times_input_of_a_linear_network_is_weight_times_pixel(
    linear: keras.Sequential,
) -> None:
    images, classes = np.abs(normal(2, 6, 4)), np.array([2, 0])
    found = gradient_times_input(linear, images, classes)
    for image, c, shown in zip(images, classes, found, strict=True):
        np.testing.assert_allclose(shown, image * weights_of(linear, c), rtol=1e-5)


def test_occlusion_of_a_linear_network_is_the_sum_over_covered_pixels(
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
def test_large_images_are_occluded_at_fewer_places(
    size: tuple[int, int], places: tuple[int, int], patch: int
) -> None:
    assert patch_side(Shape(height=size[0], width=size[1], classes=2)) == patch
    copies = occluded_copies(np.ones(size, np.float32), patch)
    assert copies.shape == (*places, *size)
    assert len(copies) * len(copies[0]) <= PLACES
    missing = (copies == 0).sum(axis=(2, 3))
    assert missing.min() >= 1 and missing.max() == patch**2
    assert (copies == 0).any(axis=(0, 1)).all(), "every pixel is covered at some place"


def test_the_first_nine_errors_are_attributed(
    root: Store,
    run_stage: RunStage,
    splits: Splits,
    trained: Segment,
    network: NetworkSettings,
    evaluation: Classification,
    arrays: Arrays,
    model: Any,
) -> None:
    record = run_stage(
        *(attribute, splits.test, trained.network),
        evaluation.predictions,
    )
    table = pq.read_table(root.path(evaluation.predictions))
    true, predicted = table["label"].to_numpy(), table["predicted"].to_numpy()
    rows = np.flatnonzero(true != predicted)[:9]
    assert len(rows) > 1, "the network must make errors"
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
        assert not tensors[f"gradient/{name}"][images == 0].any(), "no attribution without ink"


def test_without_errors_the_file_is_empty(
    root: Store, run_stage: RunStage, splits: Splits, trained: Segment, network: NetworkSettings
) -> None:
    labels = np.arange(3, dtype=np.uint8)
    file = save_predictions(root, labels, np.eye(3, 10, dtype=np.float32))
    record = run_stage(attribute, splits.test, trained.network, file)
    assert record.test_images == record.predicted == ()
    assert read_tensors(root.path(record.file)) == {}


def save_predictions(root: Store, labels: np.ndarray, probabilities: np.ndarray) -> FileRef:
    path = root.root / "made-up.parquet"
    write_predictions(to_frame(np.arange(len(labels), dtype=np.int32), labels, probabilities), path)
    return FileRef(path=path.name, sha256=sha256(path), size=path.stat().st_size)
