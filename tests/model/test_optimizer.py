"""Tests of the learning-rate schedule, Adam and Muon."""

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
from tasks.model.optimizer import make_optimizer, one_cycle, orthogonalise
from tasks.model.train import train
from tasks.records import Checkpoint, Split, Splits
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
    initial: Checkpoint,
    splits: Splits,
    network: NetworkSettings,
    arrays: Arrays,
    changes: dict[str, float],
) -> None:
    settings = TrainingSettings.model_validate({"device": "cpu", **changes})
    segment = run_stage(train, splits.train, splits.shape, initial, network, settings, iterations=3)
    state = read_tensors(root.path(segment.checkpoint.file))

    model = restore_network(root.path(initial.file), network, splits.shape)
    start = by_layer(read_tensors(root.path(initial.file)), "weights")
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


def test_orthogonalised_matrix_has_the_same_singular_vectors_and_values_near_1() -> None:
    random = np.random.default_rng(0)
    for rows, columns in [(36, 400), (16, 25), (32, 25)]:
        matrix = random.normal(size=(rows, columns)).astype(np.float32)
        left, _, right = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
        inside = left.T @ np.asarray(orthogonalise(matrix), np.float64) @ right.T
        values = np.diag(inside)
        assert values.min() > 0.6
        assert values.max() < 1.3
        np.testing.assert_allclose(inside, np.diag(values), atol=1e-3)


def test_muon_moves_filters_by_an_orthogonal_matrix_and_the_rest_as_adam() -> None:
    import keras

    random = np.random.default_rng(0)
    rate, weights, gradients = 0.01, {}, {}
    for kind in ("adam", "muon"):
        settings = TrainingSettings(learning_rate=rate, beta_1=0.7, optimizer=kind)
        network = keras.Sequential([keras.Input((6, 6, 4)), *layers_of_each_kind()])
        optimizer = make_optimizer(network, settings)
        variables = network.trainable_variables
        before = [variable.numpy() for variable in variables]
        for step in range(3):
            gradients.setdefault(
                step, [random.normal(size=v.shape).astype(np.float32) for v in variables]
            )
            optimizer.apply(gradients[step], variables)
        weights[kind] = [v.numpy() - b for v, b in zip(variables, before, strict=True)]

    for of_adam, of_muon in zip(weights["adam"][1:], weights["muon"][1:], strict=True):
        np.testing.assert_allclose(of_muon, of_adam, rtol=1e-5, atol=1e-7)
    mean, expected = np.zeros((36, 8)), np.zeros((36, 8))
    for step in range(3):
        gradient = gradients[step][0].reshape(36, 8)
        mean = 0.7 * mean + 0.3 * gradient
        rows = (0.7 * mean + 0.3 * gradient).T.astype(np.float32)
        expected -= rate * 6 * np.asarray(orthogonalise(rows)).T  # 6 is the root of 36
    np.testing.assert_allclose(weights["muon"][0].reshape(36, 8), expected, rtol=1e-3, atol=1e-5)


def layers_of_each_kind() -> list[keras.layers.Layer]:
    from keras import layers

    return [layers.Conv2D(8, 3), layers.Flatten(), layers.Dense(3)]
