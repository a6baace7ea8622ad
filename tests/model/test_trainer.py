"""Tests of the trainer's forward pass."""

import numpy as np
import pytest

from tasks.model.network import build_network
from tasks.model.trainer import forward
from tasks.records import Shape
from tasks.settings import NetworkSettings

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pooling": ("average",)},
        {"conv_filters": (4, 6, 8), "conv_sizes": (3,), "pooling": ("max", "none", "max")},
        {"activation_first": True},
        {"conv_strides": (2, 1), "activation": "sigmoid"},
        {"normalisation": True},
    ],
)
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
