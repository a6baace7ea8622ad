"""Test that the page's script computes what Keras computes, in a real browser."""

from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.live_page import computing_page
from playwright.sync_api import Browser

from tasks.model.calibration import Calibrated, Familiar
from tasks.model.insights.layer_outputs import layer_tensors
from tasks.model.network import build_network
from tasks.records import Shape
from tasks.report.live.payload import pack
from tasks.settings import NetworkSettings
from tasks.settings.presets import PRESETS

pytestmark = pytest.mark.tensorflow

EVERY_OPTION = {
    "conv_filters": (5, 6, 7, 4),
    "conv_sizes": (5, 4, 3, 2),
    "conv_strides": (1, 2, 1, 3),
    "pooling": ("average", "none", "max", "none"),
    "dense": (),
    "normalisation": True,
    "dropout": 0.5,
    "activation_first": True,
    "logits_activation": "relu",
    "initial_weights": "he",
}

NETWORKS = {
    **{name: preset.get("network", {}) for name, preset in PRESETS.items()},
    **{
        f"every option, {activation}": {**EVERY_OPTION, "activation": activation}
        for activation in ("relu", "sigmoid", "tanh")
    },
    "three dense layers, strides instead of pooling": {
        "conv_strides": (2,),
        "pooling": ("none",),
        "dense": (20, 15, 12),
        "normalisation": True,
        "activation": "tanh",
    },
}

DIGITS = [str(c) for c in range(10)]


def noisy_images(shape: Shape, count: int = 200) -> np.ndarray:
    """Return noise in a part of empty images, uint8 [n, height, width]."""
    random = np.random.default_rng(1)
    images = np.zeros((count, shape.height, shape.width), np.uint8)
    for image in images:
        top, left = random.integers(0, shape.height // 2), random.integers(0, shape.width // 2)
        part = image[top : top + shape.height // 2, left : left + shape.width // 2]
        part[...] = random.integers(0, 256, part.shape)
    return images


def randomise(network: Any) -> dict[str, np.ndarray]:
    """Set all weights and running statistics to random values and return them by name."""
    random = np.random.default_rng(2)
    weights = {}
    for layer in network.layers:
        for variable in layer.weights:
            if variable.dtype != "float32":
                continue  # state of dropout's random generator
            inputs = np.prod(variable.shape[:-1]) or 1
            value = random.normal(0, 1.5 / np.sqrt(inputs), variable.shape).astype(np.float32)
            if variable.name == "moving_variance":
                value = np.abs(value) + np.float32(0.5)
            if variable.name == "gamma":
                value += np.float32(0.5)  # some stay negative
            variable.assign(value)
            weights[f"{layer.name}/{variable.name}"] = value
    return weights


@pytest.mark.parametrize("name", NETWORKS)
def test_page_computes_the_same_values_as_keras(
    name: str, browser: Browser, tmp_path: Path
) -> None:
    import keras

    settings = NetworkSettings.model_validate(NETWORKS[name])
    shape = Shape(height=28, width=28, classes=10)
    network = build_network(settings, shape, seed=3)
    weights = randomise(network)
    images = noisy_images(shape)
    inputs = images[..., np.newaxis].astype(np.float32) / 255
    tensors = layer_tensors(network)
    outputs = keras.Model(network.inputs[0], tensors)(inputs)
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(network(inputs)))
    predicted = probabilities.argmax(axis=1)
    true = (predicted + 1) % 10  # all are errors, so that the page contains every image
    far = Calibrated(Familiar(np.zeros((0, 1), np.float16), 0.0), 1.0)
    packed = pack(settings, shape, weights, images, true, predicted, probabilities, DIGITS, far)
    assert packed.text is not None

    with computing_page(browser, packed.text, tmp_path) as page:
        found = page.evaluate(RUN)
        differences = page.evaluate(DIFFERENCES)
    assert found["rows"] == list(range(200))
    np.testing.assert_allclose(found["probabilities"], probabilities, rtol=0, atol=1e-4)
    assert list(found["outputs"]) == list(tensors)
    for layer, text in found["outputs"].items():
        wanted = np.asarray(outputs[layer])
        values = np.frombuffer(b64decode(text), "<f4").reshape(wanted.shape)
        np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-4)
        assert np.ptp(wanted) > 1e-2, "outputs differ"
    assert len(differences) >= 100 * (len(tensors) - 1)
    assert max(differences) < 1e-4


RUN = """
async () => {
  const base64 = (parts) => new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.split(",")[1]);
    reader.readAsDataURL(new Blob(parts));
  });
  const probabilities = [], parts = {};
  for (const image of live.images) {
    const pixels = Float32Array.from(image, (value) => value / 255);
    probabilities.push(live.softmax(live.forward(live.network, pixels)));
    for (const layer of live.network.layers) {
      (parts[layer.name] ??= []).push(live.lastOutput(layer).slice());
    }
  }
  const outputs = {};
  for (const name in parts) outputs[name] = await base64(parts[name]);
  return { rows: live.rows, probabilities, outputs };
}
"""
"""Script for probabilities and layer outputs of all images."""

DIFFERENCES = """
() => {
  const pixels = Float32Array.from(live.images[0], (value) => value / 255);
  live.forward(live.network, pixels);
  const differences = [];
  live.network.layers.forEach((layer, i) => {
    const { height, width, channels } = layer.shape;
    const output = live.lastOutput(layer);
    for (let k = 0; k < 100; k++) {
      const at = Math.floor((k / 100) * output.length), pixel = Math.floor(at / channels);
      const y = Math.floor(pixel / width), x = pixel % width;
      const { parts, kind, sum, bias, after } = live.explain(
        live.network, pixels, i, at % channels, y, x);
      const last = after.length ? after.at(-1).value : sum + bias;
      differences.push(Math.abs(last - output[at]));
      if (layer.steps.every((step) => step.facts.step !== "pooling")) {
        differences.push(Math.abs(sum + bias - layer.steps[0].output[at]));
      }
      if (layer.steps[1]?.facts.kind === "max") {
        differences.push(Math.abs(sum + bias - after[0].value));
      }
      if (kind === "convolution") {
        const total = parts.reduce((a, part) => a + part.sum, 0);
        differences.push(Math.abs(total - sum));
      }
    }
  });
  return differences;
}
"""
"""Script for differences between explained and computed outputs, at 100 places per layer."""
