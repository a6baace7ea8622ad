"""Tests of the learning-rate schedule and Adam."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from helpers.checkpoints import Tensors, by_layer

from tasks.data.dataset import SplitArrays, batch_indices
from tasks.engine.store import Store
from tasks.model.checkpoint import read_tensors, restore_network
from tasks.model.device import load_tensorflow
from tasks.model.train import train
from tasks.model.trainer import one_cycle
from tasks.records import Network, Split, Splits
from tasks.settings import NetworkSettings, TrainingSettings

if TYPE_CHECKING:
    import keras

    Arrays = Callable[[Split], SplitArrays]
    RunStage = Callable[..., Any]

pytestmark = pytest.mark.tensorflow


def test_one_cycle_rises_to_its_peak_and_falls_to_zero() -> None:
    rate = one_cycle(peak=0.5, iterations=100)
    rates = [float(rate(i)) for i in range(101)]
    assert rates[0] == pytest.approx(0.02)
    assert max(rates) == rates[30] == pytest.approx(0.5)
    assert rates[:31] == sorted(rates[:31])
    assert rates[30:] == sorted(rates[30:], reverse=True)
    assert rates[100] == pytest.approx(0, abs=1e-6)


def gradients(model: keras.Model, weights: Tensors, data: SplitArrays, rows: np.ndarray) -> Tensors:
    """Return the gradients of the mean cross-entropy of a batch by weight."""
    tf = load_tensorflow()
    variables = {
        f"{layer.name}/{variable.name}": variable
        for layer in model.layers
        for variable in layer.trainable_variables
    }
    for name, variable in variables.items():
        variable.assign(weights[name])
    x = tf.cast(data.images[rows][..., np.newaxis], tf.float32) / 255.0
    with tf.GradientTape() as tape:
        probabilities = tf.nn.softmax(model(x))
        chosen = tf.gather(probabilities, data.labels[rows].astype(int), axis=1, batch_dims=1)
        loss = -tf.reduce_mean(tf.math.log(chosen))
    found = tape.gradient(loss, variables)
    return {name: gradient.numpy().astype(np.float64) for name, gradient in found.items()}


def adam(
    weights: Tensors, m: Tensors, v: Tensors, gradient: Tensors, t: int, settings: TrainingSettings
) -> None:
    """Apply one step of Adam in place, with TensorFlow's ε outside the bias correction."""
    b1, b2 = settings.beta_1, settings.beta_2
    step = settings.learning_rate * np.sqrt(1 - b2**t) / (1 - b1**t)
    for path, g in gradient.items():
        m[path] = b1 * m[path] + (1 - b1) * g
        v[path] = b2 * v[path] + (1 - b2) * g**2
        weights[path] = weights[path] - step * m[path] / (np.sqrt(v[path]) + settings.epsilon)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        # A large ε shows its place in the formula, and whether the loss is a mean or a sum.
        {"learning_rate": 0.02, "beta_1": 0.7, "beta_2": 0.95, "epsilon": 0.05, "batch_size": 10},
    ],
    ids=["tutorial", "other"],
)
def test_adam_equals_that_of_the_tutorial(
    root: Store,
    run_stage: RunStage,
    initial: Network,
    splits: Splits,
    network: NetworkSettings,
    arrays: Arrays,
    changes: dict[str, float],
) -> None:
    settings = TrainingSettings.model_validate({"device": "cpu", **changes})
    segment = run_stage(train, splits.train, initial, settings, iterations=3)
    state = read_tensors(root.path(segment.network.checkpoint))

    model = restore_network(initial, root.path(initial.checkpoint))
    start = by_layer(read_tensors(root.path(initial.checkpoint)), "weights")
    weights = dict(start)
    m, v = ({path: np.zeros_like(w) for path, w in start.items()} for _ in range(2))
    batches = batch_indices(settings.seed, splits.train.rows, settings.batch_size, 0, 3)
    for t, rows in enumerate(batches, start=1):
        adam(weights, m, v, gradients(model, weights, arrays(splits.train), rows), t, settings)

    after, momentum, velocity = (
        by_layer(state, kind) for kind in ("weights", "adam/momentum", "adam/velocity")
    )
    for path, first in start.items():
        moved = after[path] - first
        expected = weights[path] - first
        size = np.abs(expected).max()
        assert size > 0
        # Gradients close to 0 consist mostly of rounding errors.
        np.testing.assert_allclose(moved, expected, atol=0.01 * size, err_msg=path)
        np.testing.assert_allclose(momentum[path], m[path], rtol=1e-3, atol=1e-6, err_msg=path)
        np.testing.assert_allclose(velocity[path], v[path], rtol=1e-3, atol=1e-9, err_msg=path)
