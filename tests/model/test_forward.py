"""Tests of the forward pass of training."""

import numpy as np
import pytest

from tasks.model.device import load_tensorflow
from tasks.model.forward import choose_places, forward, sampled_layers
from tasks.model.network import build_network
from tasks.records import Shape
from tasks.settings import NetworkSettings

pytestmark = pytest.mark.tensorflow


NETWORKS: list[dict[str, object]] = [
    {},
    {"pooling": ("average",)},
    {"conv_filters": (4, 6, 8), "conv_sizes": (3,), "pooling": ("max", "none", "max")},
    {"activation_first": True},
    {"conv_strides": (2, 1), "activation": "sigmoid"},
    {"normalisation": True},
    {"conv_strides": (3,), "conv_sizes": (2, 3), "pooling": ("max", "none")},
]


@pytest.mark.parametrize("settings", NETWORKS)
def test_forward_pass_equals_the_network(
    settings: dict[str, object],
) -> None:
    import keras

    network = build_network(NetworkSettings(**settings), Shape(height=27, width=27, classes=10), 1)
    random = np.random.default_rng(0)
    for variable in network.trainable_variables:  # biases with different values and signs
        variable.assign(random.normal(scale=0.3, size=variable.shape))
    images = random.random((5, 27, 27, 1), dtype=np.float32)
    before = keras.tree.map_structure(np.asarray, network.non_trainable_variables)
    expected = np.asarray(network(images, training=True))
    for variable, value in zip(network.non_trainable_variables, before, strict=True):
        variable.assign(value)

    np.testing.assert_allclose(forward(network, images), expected, rtol=1e-4, atol=1e-4)


def test_forward_applies_dropout_and_normalisation() -> None:
    settings = NetworkSettings(normalisation=True, dropout=0.5)
    network = build_network(settings, Shape(height=8, width=8, classes=10), 1)
    images = np.random.default_rng(0).random((20, 8, 8, 1), dtype=np.float32)
    means = np.asarray(network.get_layer("norm1").moving_mean)

    assert not np.allclose(forward(network, images), network(images), atol=1e-3)
    assert not np.allclose(network.get_layer("norm1").moving_mean, means)
    assert not np.allclose(forward(network, images), forward(network, images), atol=1e-3)


@pytest.mark.parametrize("settings", NETWORKS)
def test_one_of_four_outputs_stands_for_their_maximum(settings: dict[str, object]) -> None:
    """Equal to the outputs of the whole convolution at these places."""
    from keras import layers

    network = build_network(NetworkSettings(**settings), Shape(height=27, width=25, classes=10), 1)
    random = np.random.default_rng(0)
    for variable in network.trainable_variables:
        variable.assign(random.normal(scale=0.3, size=variable.shape))
    images = random.random((5, 27, 25, 1), dtype=np.float32)
    sampled = sampled_layers(network)
    places = random.integers(0, 2, (len(sampled), 2)).astype(np.int32)
    expected = images
    for layer in network.layers:
        if layer in sampled.values():
            down, across = places[list(sampled.values()).index(layer)]
            _, height, width, _ = expected.shape
            expected = expected[:, down : height // 2 * 2 : 2, across : width // 2 * 2 : 2]
        else:
            expected = np.asarray(layer(expected, training=True))

    poolings = {layer.name: pool.name for layer, pool in sampled.items()}
    assert poolings == {
        layer.name.replace("pool", "conv"): layer.name
        for layer in network.layers
        if isinstance(layer, layers.MaxPooling2D) and layer.name != "pool1"
    }
    found = forward(network, images, places)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_places_depend_on_seed_and_iteration_and_reach_all_four() -> None:
    tf = load_tensorflow()
    drawn = [
        [tuple(row) for row in choose_places(2, tf.constant(i, tf.int64), seed).numpy()]
        for seed in (0, 1)
        for i in range(40)
    ]
    assert {place for places in drawn for place in places} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert drawn[:40] != drawn[40:]
    again = choose_places(2, tf.constant(7, tf.int64), 0).numpy()
    assert [tuple(row) for row in again] == drawn[7]
    assert any(first != second for first, second in drawn)
