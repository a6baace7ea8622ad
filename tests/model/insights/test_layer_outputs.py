"""Tests of weights and outputs of the layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tasks.data.dataset import SplitArrays
from tasks.engine.store import Store
from tasks.model.checkpoint import read_tensors, restore_network
from tasks.model.insights.layer_outputs import layer_outputs, layer_tensors, rows_to_show
from tasks.model.train import initialise
from tasks.records import LayerOutputs, Segment, Split, Splits
from tasks.runtime.errors import PipelineError
from tasks.settings import NetworkSettings

if TYPE_CHECKING:
    Arrays = Callable[[Split], SplitArrays]
    RunLayerOutputs = Callable[..., LayerOutputs]

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def run_layer_outputs(
    run_stage: Callable[..., Any], splits: Splits, trained: Segment, network: NetworkSettings
) -> RunLayerOutputs:
    """Return a function that runs the stage on rows of the test split."""

    def run(*rows: int) -> LayerOutputs:
        result: LayerOutputs = run_stage(layer_outputs, splits.test, trained.network, rows)
        return result

    return run


def test_tensors_have_names_shapes_and_types(
    root: Store, run_layer_outputs: RunLayerOutputs
) -> None:
    record = run_layer_outputs(0, 13, 296)
    tensors = read_tensors(root.path(record.file))
    assert {name: values.shape for name, values in tensors.items()} == {
        "conv1/weights": (3, 3, 1, 4),
        "conv1/outputs": (3, 4, 4, 4),
        "conv2/weights": (5, 5, 4, 6),
        "conv2/outputs": (3, 2, 2, 6),
        "fc1/outputs": (3, 16),
        "fc2/outputs": (3, 10),
    }
    assert {values.dtype for values in tensors.values()} == {np.dtype(np.float32)}
    assert record.test_images == (0, 13, 296)
    assert record.layers == ("conv1", "conv2", "fc1", "fc2")


def test_weights_equal_those_of_the_checkpoint(
    root: Store, run_layer_outputs: RunLayerOutputs, trained: Segment
) -> None:
    tensors = read_tensors(root.path(run_layer_outputs(0).file))
    state = read_tensors(root.path(trained.network.checkpoint))
    for n in (1, 2):
        [name] = [k for k in state if k.startswith("weights/") and k.endswith(f"conv{n}/kernel")]
        np.testing.assert_array_equal(tensors[f"conv{n}/weights"], state[name])


def test_outputs_equal_the_networks_in_the_order_of_the_rows(
    root: Store,
    run_layer_outputs: RunLayerOutputs,
    splits: Splits,
    trained: Segment,
    network: NetworkSettings,
    arrays: Arrays,
) -> None:
    rows = [13, 0]
    tensors = read_tensors(root.path(run_layer_outputs(*rows).file))
    model = restore_network(trained.network, root.path(trained.network.checkpoint))
    x = arrays(splits.test).images[rows][..., np.newaxis].astype(np.float32) / np.float32(255)
    outputs = {}
    for layer in model.layers:
        x = layer(x)
        outputs[layer.name] = np.asarray(x)
    for n in (1, 2):
        found = tensors[f"conv{n}/outputs"]
        np.testing.assert_allclose(found, outputs[f"relu{n}"], atol=1e-5)
        assert found.min() == 0  # after ReLU
        assert not np.allclose(found[0], found[1])
    for n in (1, 2):
        np.testing.assert_allclose(tensors[f"fc{n}/outputs"], outputs[f"fc{n}"], atol=1e-5)


@pytest.mark.parametrize("rows", [(5,), (0, 1)])
def test_network_with_one_convolutional_layer(
    root: Store, run_stage: Callable[..., Any], splits: Splits, rows: tuple[int, ...]
) -> None:
    network = NetworkSettings(conv_filters=(3,), conv_sizes=(5,), dense=())
    checkpoint = run_stage(initialise, network, splits.shape, seed=0)
    record = run_stage(layer_outputs, splits.test, checkpoint, rows)
    tensors = read_tensors(root.path(record.file))
    assert tensors["conv1/weights"].shape == (5, 5, 1, 3)
    assert tensors["conv1/outputs"].shape == (len(rows), 4, 4, 3)
    assert tensors["fc1/outputs"].shape == (len(rows), 10)
    assert len(tensors) == 3
    assert record.layers == ("conv1", "fc1")


def test_output_of_a_layer_includes_activation_pooling_and_dropout() -> None:
    from tasks.model.device import load_tensorflow

    load_tensorflow()
    import keras
    from keras import layers

    network = keras.Sequential(
        [
            keras.Input((9, 9, 1)),
            layers.Conv2D(2, 3, strides=2, padding="same", name="conv1"),
            layers.Conv2D(3, 3, padding="same", activation="sigmoid", name="conv2"),
            layers.AveragePooling2D(2, name="pool2"),
            layers.Flatten(),
            layers.Dense(7, name="fc1"),
            layers.ReLU(name="relu"),
            layers.Dropout(0.5, name="dropout"),
            layers.Dense(4, name="fc2"),
        ]
    )
    found = layer_tensors(network)
    ends = {"conv1": "conv1", "conv2": "pool2", "fc1": "dropout", "fc2": "fc2"}
    assert list(found) == list(ends)
    for name, last in ends.items():
        assert found[name] is network.get_layer(last).output


@pytest.mark.parametrize("rows", [(297,), (0, 1_000)])
def test_row_beyond_the_last_image_is_refused(
    run_layer_outputs: RunLayerOutputs, rows: tuple[int, ...]
) -> None:
    with pytest.raises(PipelineError) as caught:
        run_layer_outputs(*rows)
    message = str(caught.value)
    assert f"--test-images {rows[-1]}" in message
    assert "297 images" in message
    assert "\n" not in message


def test_file_is_reproducible(run_layer_outputs: RunLayerOutputs) -> None:
    assert run_layer_outputs(0, 13).file.sha256 == run_layer_outputs(0, 13).file.sha256


@pytest.mark.parametrize(
    ("rows", "images", "expected"),
    [((0, 13), 14, (0, 13)), ((0, 13), 13, (0,)), ((5, 2), 6, (5, 2))],
)
def test_default_images_beyond_a_small_test_split_are_not_shown(
    rows: tuple[int, ...], images: int, expected: tuple[int, ...]
) -> None:
    assert rows_to_show(rows, images) == expected
