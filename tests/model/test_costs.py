"""Tests of parameter and operation counts."""

import math
from typing import Any

import pytest

from tasks.model.costs import count_costs
from tasks.records import Shape
from tasks.settings import NetworkSettings

MNIST = Shape(height=28, width=28, classes=10)
NETWORKS: list[dict[str, Any]] = [
    {},
    {"conv_filters": (8, 16, 4), "conv_sizes": (5, 3, 3), "pooling": ("max", "average", "none")},
    {"conv_strides": (2,), "pooling": ("none",), "dense": ()},
    {"conv_strides": (3, 1), "dense": (32, 16), "activation_first": True},
    {"normalisation": True, "dropout": 0.5, "logits_activation": "relu"},
    {"conv_filters": ()},
    {"conv_filters": (), "dense": ()},
]


def test_costs_of_the_default_network() -> None:
    costs = count_costs(NetworkSettings(), MNIST)
    conv1, conv2 = 25 * 16, 25 * 16 * 36
    fc1, fc2 = 7 * 7 * 36 * 128, 128 * 10
    assert costs.parameters == conv1 + 16 + conv2 + 36 + fc1 + 128 + fc2 + 10
    assert costs.multiply_adds == conv1 * 28 * 28 + conv2 * 14 * 14 + fc1 + fc2
    assert costs.activations == 14 * 14 * 16 + 7 * 7 * 36 + 128


def test_activation_before_pooling_quadruples_activations_of_convolutions() -> None:
    costs = count_costs(NetworkSettings(activation_first=True), MNIST)
    assert costs.activations - 128 == 4 * (14 * 14 * 16 + 7 * 7 * 36)


@pytest.mark.tensorflow
@pytest.mark.parametrize("changes", NETWORKS)
def test_parameters_and_multiply_adds_equal_those_of_keras(changes: dict[str, Any]) -> None:
    from tasks.model.device import load_tensorflow
    from tasks.model.network import build_network

    load_tensorflow()
    from keras import layers

    settings, shape = NetworkSettings(**changes), Shape(height=29, width=26, classes=7)
    network = build_network(settings, shape, seed=0)
    costs = count_costs(settings, shape)
    assert costs.parameters == network.count_params()
    expected = activations = 0
    for layer in network.layers:
        outputs = math.prod(layer.output.shape[1:])
        if isinstance(layer, (layers.Conv2D, layers.Dense)):
            expected += math.prod(layer.kernel.shape[:-1]) * outputs
            activations += outputs if getattr(layer.activation, "__name__", "") == "relu" else 0
        if isinstance(layer, layers.Activation):
            activations += outputs
    assert costs.multiply_adds == expected
    assert costs.activations == activations
