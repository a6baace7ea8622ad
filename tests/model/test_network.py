"""Tests of the network, with a forward pass in NumPy as reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tasks.model.device import load_tensorflow
from tasks.model.insights.layer_outputs import layer_tensors
from tasks.model.network import build_network
from tasks.records import Shape
from tasks.runtime.errors import PipelineError
from tasks.settings import NetworkSettings

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.tensorflow

MNIST = Shape(height=28, width=28, classes=10)
DIGITS = Shape(height=8, width=8, classes=10)


@pytest.fixture(autouse=True, scope="module")
def tensorflow_loaded() -> None:
    load_tensorflow()


def convolve(images: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Convolve with stride 1 and zero padding.

    [n, h, w, in] with [size, size, in, out] gives [n, h, w, out].
    """
    size = len(kernel)
    before = (size - 1) // 2
    after = size - 1 - before
    padded = np.pad(images, ((0, 0), (before, after), (before, after), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    return np.einsum("nhwiyx,yxio->nhwo", windows, kernel, optimize=True) + bias


def pool(images: np.ndarray) -> np.ndarray:
    """Return the largest of every 2 × 2 pixels, without an odd last row or column."""
    n, height, width, channels = images.shape
    even = images[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))


def weights_of(network: keras.Model) -> dict[str, np.ndarray]:
    """Return weights by layer and name, e.g. `conv1/kernel`."""
    return {
        f"{layer.name}/{variable.name}": np.asarray(variable)
        for layer in network.layers
        for variable in layer.trainable_variables
    }


def relu(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, 0)


def random_images(count: int, shape: Shape) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.random((count, shape.height, shape.width, 1), dtype=np.float32)


def test_layers_of_the_default_network() -> None:
    network = build_network(NetworkSettings(), MNIST, seed=0)
    assert network.input_shape == (None, 28, 28, 1)
    assert {layer.name: layer.output.shape[1:] for layer in network.layers} == {
        "conv1": (28, 28, 16),
        "pool1": (14, 14, 16),
        "relu1": (14, 14, 16),
        "conv2": (14, 14, 36),
        "pool2": (7, 7, 36),
        "relu2": (7, 7, 36),
        "flatten": (1764,),
        "fc1": (128,),
        "fc2": (10,),
    }


def test_parameters_of_the_default_network() -> None:
    network = build_network(NetworkSettings(), MNIST, seed=0)
    assert {name: values.shape for name, values in weights_of(network).items()} == {
        "conv1/kernel": (5, 5, 1, 16),
        "conv1/bias": (16,),
        "conv2/kernel": (5, 5, 16, 36),
        "conv2/bias": (36,),
        "fc1/kernel": (1764, 128),
        "fc1/bias": (128,),
        "fc2/kernel": (128, 10),
        "fc2/bias": (10,),
    }
    assert network.count_params() == 416 + 14_436 + 225_920 + 1_290


@pytest.mark.parametrize(
    "shape", [DIGITS, Shape(height=9, width=7, classes=3)], ids=["digits", "odd"]
)
def test_logits_equal_those_of_numpy(shape: Shape) -> None:
    settings = NetworkSettings(conv_filters=(4, 6), conv_sizes=(5, 4), dense=(16,))
    network = build_network(settings, shape, seed=1)
    images = random_images(5, shape)
    weights = {name: w.astype(np.float64) for name, w in weights_of(network).items()}

    x = images.astype(np.float64)
    for n in (1, 2):
        x = relu(pool(convolve(x, weights[f"conv{n}/kernel"], weights[f"conv{n}/bias"])))
    x = relu(x.reshape(len(x), -1) @ weights["fc1/kernel"] + weights["fc1/bias"])
    logits = x @ weights["fc2/kernel"] + weights["fc2/bias"]

    np.testing.assert_allclose(np.asarray(network(images)), logits, rtol=1e-4, atol=1e-5)


def test_logits_can_be_negative() -> None:
    network = build_network(NetworkSettings(initial_bias=-0.5), MNIST, seed=0)
    assert (np.asarray(network(random_images(4, MNIST))) < 0).any()


@pytest.mark.parametrize("n", [1, 2])
def test_initial_weights_are_truncated_normal(n: int) -> None:
    sigma = 0.05
    kernel = np.asarray(build_network(NetworkSettings(), MNIST, 0).get_layer(f"fc{n}").kernel)
    assert np.abs(kernel).max() <= 2 * sigma
    assert np.abs(kernel).max() > 1.8 * sigma
    assert kernel.std() == pytest.approx(0.88 * sigma, rel=0.05)  # of one cut at 2 σ
    assert kernel.mean() == pytest.approx(0, abs=4 * kernel.std() / np.sqrt(kernel.size))


def test_initial_weights_of_other_settings() -> None:
    settings = NetworkSettings(initial_sigma=0.2, initial_bias=-0.3)
    network = build_network(settings, MNIST, seed=0)
    for name, values in weights_of(network).items():
        if name.endswith("bias"):
            assert (values == np.float32(-0.3)).all()
        else:
            assert 0.3 < np.abs(values).max() <= 0.4


def test_initial_biases_are_one_twentieth() -> None:
    network = build_network(NetworkSettings(), MNIST, seed=0)
    biases = [values for name, values in weights_of(network).items() if name.endswith("bias")]
    assert len(biases) == 4
    assert all((values == np.float32(0.05)).all() for values in biases)


def kernels(seed: int, settings: NetworkSettings) -> list[np.ndarray]:
    weights = weights_of(build_network(settings, DIGITS, seed))
    return [values for name, values in weights.items() if name.endswith("kernel")]


def test_initial_weights_depend_on_the_seed() -> None:
    settings = NetworkSettings(conv_filters=(4, 6), dense=(16,))
    first, same, other = (kernels(seed, settings) for seed in (5, 5, 6))
    for a, b, c in zip(first, same, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).mean() > 0.9


def test_layers_have_different_initial_weights() -> None:
    # Three layers of 64 → 64 neurons.
    settings = NetworkSettings(conv_filters=(16,), conv_sizes=(3,), dense=(64, 64, 64, 64))
    alike = [k for k in kernels(0, settings) if k.shape == (64, 64)]
    assert len(alike) == 3
    for a, b in [(0, 1), (0, 2), (1, 2)]:
        assert abs(np.corrcoef(alike[a].ravel(), alike[b].ravel())[0, 1]) < 0.1


def test_relu_may_precede_pooling() -> None:
    import keras
    from keras import layers

    network = build_network(NetworkSettings(), MNIST, seed=0)
    images = random_images(8, MNIST) - np.float32(0.5)  # so that many values are below 0
    conv = network.get_layer("conv1")
    swapped = keras.Sequential([conv, layers.ReLU(), layers.MaxPooling2D(2)])
    ours = keras.Sequential([conv, network.get_layer("pool1"), network.get_layer("relu1")])
    result = np.asarray(ours(images))
    assert (result == 0).any()
    assert (result > 0).any()
    np.testing.assert_array_equal(result, np.asarray(swapped(images)))


def test_one_convolutional_layer_without_a_hidden_dense_layer() -> None:
    settings = NetworkSettings(conv_filters=(3,), conv_sizes=(3,), dense=())
    network = build_network(settings, DIGITS, seed=0)
    names = [layer.name for layer in network.layers]
    assert names == ["conv1", "pool1", "relu1", "flatten", "fc1"]
    assert network.output_shape == (None, 10)
    assert network.get_layer("fc1").activation.__name__ == "linear"


def test_three_convolutional_and_two_dense_layers() -> None:
    settings = NetworkSettings(conv_filters=(3, 4, 5), conv_sizes=(5, 3, 1), dense=(20, 12))
    network = build_network(settings, DIGITS, seed=0)
    shapes = {layer.name: layer.output.shape[1:] for layer in network.layers}
    assert shapes["relu3"] == (1, 1, 5)
    assert shapes["fc1"] == (20,)
    assert shapes["fc2"] == (12,)
    assert shapes["fc3"] == (10,)
    assert network.get_layer("conv2").kernel.shape == (3, 3, 3, 4)


def test_number_of_logits_equals_number_of_classes() -> None:
    network = build_network(NetworkSettings(), Shape(height=28, width=28, classes=62), seed=0)
    assert network.output_shape == (None, 62)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (28, 15), (3, 28)])
def test_image_too_small_for_pooling_is_refused(height: int, width: int) -> None:
    settings = NetworkSettings(conv_filters=(2, 2, 2, 2), conv_sizes=(3, 3, 3, 3))
    with pytest.raises(PipelineError) as caught:
        build_network(settings, Shape(height=height, width=width, classes=10), seed=0)
    message = str(caught.value)
    assert "--conv-filters" in message
    assert f"{height} × {width}" in message
    assert "\n" not in message


def test_smallest_image_that_can_be_pooled() -> None:
    settings = NetworkSettings(conv_filters=(2, 2, 2), conv_sizes=(3, 3, 3))
    network = build_network(settings, Shape(height=8, width=9, classes=10), seed=0)
    assert network.get_layer("relu3").output.shape[1:] == (1, 1, 2)


ACTIVATIONS = {"sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": np.tanh, "relu": relu}


def mean_pool(images: np.ndarray) -> np.ndarray:
    """Return the mean of every 2 × 2 pixels."""
    n, height, width, channels = images.shape
    return images.reshape(n, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))


@pytest.mark.parametrize("pooling", ["max", "average", "none"])
@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize("activation_first", [False, True])
def test_pooling_and_activation(pooling: str, activation: str, activation_first: bool) -> None:
    """Logits of every kind of block equal those of NumPy."""
    import keras

    settings = NetworkSettings.model_validate(
        {
            "conv_filters": (4,),
            "conv_sizes": (3,),
            "pooling": (pooling,),
            "activation": activation,
            "activation_first": activation_first,
        }
    )
    network = build_network(settings, DIGITS, seed=1)
    images = random_images(3, DIGITS) - np.float32(0.5)
    weights = weights_of(network)
    pools = {"max": pool, "average": mean_pool, "none": lambda x: x}
    steps = [pools[pooling], ACTIVATIONS[activation]]
    x = convolve(images, weights["conv1/kernel"], weights["conv1/bias"])
    for step in reversed(steps) if activation_first else steps:
        x = step(x)
    looking_in = keras.Model(network.inputs[0], layer_tensors(network)["conv1"])
    np.testing.assert_allclose(np.asarray(looking_in(images)), x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_order_of_max_pooling_and_activation_does_not_change_logits(activation: str) -> None:
    """Equal bit for bit, since activations keep the order of values."""
    either, other = (
        build_network(
            NetworkSettings.model_validate({"activation": activation, "activation_first": first}),
            MNIST,
            seed=1,
        )(random_images(4, MNIST))
        for first in (False, True)
    )
    np.testing.assert_array_equal(either, other)


def test_strides_instead_of_pooling() -> None:
    settings = NetworkSettings(
        conv_filters=(3, 4), conv_sizes=(3,), conv_strides=(2, 3), pooling=("none",)
    )
    network = build_network(settings, DIGITS, seed=0)
    shapes = [tensor.shape[1:] for tensor in layer_tensors(network).values()]
    assert shapes[:2] == [(4, 4, 3), (2, 2, 4)]


def test_activation_of_the_logits() -> None:
    network = build_network(NetworkSettings(logits_activation="relu", initial_bias=-0.5), MNIST, 0)
    logits = np.asarray(network(random_images(4, MNIST)))
    assert (logits >= 0).all()


def test_dropout_is_active_only_in_training() -> None:
    settings = NetworkSettings(conv_filters=(4,), conv_sizes=(3,), dense=(400,), dropout=0.25)
    network = build_network(settings, DIGITS, seed=0)
    dropout, ones = network.get_layer("fc1_dropout"), np.ones((50, 400), np.float32)
    assert (np.asarray(dropout(ones, training=True)) == 0).mean() == pytest.approx(0.25, abs=0.02)
    np.testing.assert_array_equal(np.asarray(dropout(ones, training=False)), ones)


def test_normalisation_precedes_activations() -> None:
    settings = NetworkSettings(conv_filters=(4,), conv_sizes=(3,), dense=(16,), normalisation=True)
    network = build_network(settings, DIGITS, seed=0)
    assert [layer.name for layer in network.layers] == [
        *("conv1", "pool1", "norm1", "relu1", "flatten"),
        *("fc1", "fc1_norm", "fc1_relu", "fc2"),
    ]
    assert layer_tensors(network)["fc1"] is network.get_layer("fc1_relu").output
    assert "conv1/bias" not in weights_of(network)  # normalisation replaces the bias


def test_filter_larger_than_the_image_is_refused() -> None:
    with pytest.raises(PipelineError, match="--conv-sizes: filters of 9 × 9 pixels are larger"):
        build_network(NetworkSettings(conv_sizes=(9,)), DIGITS, seed=0)
