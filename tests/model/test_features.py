"""Tests of features of the last hidden layer."""

import numpy as np
import pytest

from tasks.model.calibrate import compile_reader
from tasks.model.network import build_network
from tasks.records import Shape
from tasks.settings import NetworkSettings

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize("logits_activation", ["none", "relu"])
def test_last_layer_applied_to_the_features_gives_the_logits(logits_activation: str) -> None:
    """The kernel of the last layer turns features into logits; dropout is off."""
    settings = NetworkSettings(dense=(16,), dropout=0.5, logits_activation=logits_activation)
    network = build_network(settings, Shape(height=28, width=28, classes=10), seed=0)
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28)).astype(np.uint8)
    features, logits = compile_reader(network, 28, 28)(images)
    kernel, bias = network.get_layer("fc2").get_weights()
    expected = features @ kernel + bias
    if logits_activation == "relu":
        expected = np.maximum(expected, 0)
    assert features.shape == (5, 16)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
