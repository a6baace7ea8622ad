"""Tests of networks as ONNX: ONNX Runtime answers as Keras does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import pytest

from tasks.data.drawn import draw_many
from tasks.model.calibrate import compile_reader
from tasks.model.calibration import softmax
from tasks.model.network import build_network
from tasks.model.onnx_graph import to_onnx, write_onnx
from tasks.model.onnx_session import open_onnx
from tasks.records import Shape
from tasks.runtime.errors import PipelineError
from tasks.settings import NetworkSettings
from tasks.settings.presets import PRESETS

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.tensorflow

DIGITS, _ = draw_many(100, seed=3)
SHAPE = Shape(height=28, width=28, classes=10)

NETWORKS = {
    **{name: NetworkSettings(**preset.get("network", {})) for name, preset in PRESETS.items()},
    "every option": NetworkSettings(
        conv_filters=(8, 12, 16, 20),
        conv_sizes=(3, 4, 5, 2),
        conv_strides=(2, 1, 1, 3),
        pooling=("none", "average", "max", "none"),
        dense=(32, 24),
        activation="tanh",
        activation_first=True,
        logits_activation="relu",
        normalisation=True,
        dropout=0.3,
    ),
    "sigmoid, nothing hidden": NetworkSettings(
        activation="sigmoid", pooling=("average",), dense=()
    ),
}


def build(settings: NetworkSettings, shape: Shape = SHAPE) -> keras.Sequential:
    """Build a network that tells images apart, as a trained one does."""
    network = build_network(settings, shape, seed=1)
    draw = np.random.default_rng(2)
    for weights in network.weights:
        if "norm" in weights.path:
            weights.assign(draw.uniform(0.5, 1.5, weights.shape))
        elif "kernel" in weights.path:
            fan_in = np.prod(weights.shape[:-1])
            weights.assign(draw.normal(0, 2 / np.sqrt(fan_in), weights.shape))
    return network


@pytest.mark.parametrize("name", NETWORKS)
def test_runtime_answers_as_keras_does(name: str, tmp_path: Path) -> None:
    network = build(NETWORKS[name])
    features, logits = compile_reader(network, 28, 28)(DIGITS)
    expected = softmax(logits, 1.5)
    assert expected.std(axis=0).max() > 1e-3  # the images have different answers

    write_onnx(network, tmp_path / "model.onnx", temperature=1.5)
    probabilities, same_features = open_onnx(tmp_path / "model.onnx", SHAPE)(DIGITS)
    assert (probabilities.argmax(axis=1) == expected.argmax(axis=1)).all()
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    np.testing.assert_allclose(same_features, features, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_graph_is_valid_and_says_what_goes_in_and_comes_out(name: str) -> None:
    shape = Shape(height=27, width=31, classes=3)
    model = to_onnx(build(NETWORKS[name], shape))
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (image,) = session.get_inputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(uint8)", ["n", 27, 31])
    probabilities, features = session.get_outputs()
    assert (probabilities.name, probabilities.shape) == ("probabilities", ["n", 3])
    assert features.name == "features"
    (answer,) = session.run(["probabilities"], {"image": np.zeros((2, 27, 31), np.uint8)})
    np.testing.assert_allclose(answer.sum(axis=1), 1, rtol=1e-5)


def test_equal_weights_give_equal_bytes(tmp_path: Path) -> None:
    files = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    for file, temperature in zip(files, (1.0, 1.0, 2.0), strict=True):
        write_onnx(build(NETWORKS["every option"]), file, temperature)
    first, second, other = (file.read_bytes() for file in files)
    assert first == second != other


def test_model_for_other_images_is_refused(tmp_path: Path) -> None:
    write_onnx(build(NETWORKS["tutorial"]), tmp_path / "model.onnx")
    with pytest.raises(PipelineError, match=r"a model for 28 × 28 pixels and 10 classes; the imag"):
        open_onnx(tmp_path / "model.onnx", Shape(height=28, width=28, classes=9))


def test_unknown_layer_is_named() -> None:
    import keras

    noise, dense = keras.layers.GaussianNoise(1, name="hiss"), keras.layers.Dense(3)
    network = keras.Sequential([keras.Input((8, 8, 1)), noise, keras.layers.Flatten(), dense])
    with pytest.raises(NotImplementedError, match="hiss: no ONNX for GaussianNoise"):
        to_onnx(network)
