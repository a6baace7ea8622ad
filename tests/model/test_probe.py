"""Tests of logits and gradients before training."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tasks.model.probe import FIRST
from tasks.records import Network, Probe, Splits
from tasks.settings import NetworkSettings

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def probed(
    run_stage: Callable[..., Any], splits: Splits, initial: Network, network: NetworkSettings
) -> Callable[..., Probe]:
    """Return a function that probes the small network with other settings and the same weights."""
    from tasks.model.probe import probe

    def run(**changes: Any) -> Probe:
        other = initial.model_copy(update={"layers": network.model_copy(update=changes)})
        made: Probe = run_stage(probe, splits.validation, other)
        return made

    return run


def test_max_pooling_and_an_activation_that_never_falls_may_be_swapped(
    probed: Callable[..., Probe], splits: Splits
) -> None:
    plain, swapped = probed(), probed(activation_first=True)
    assert plain.logits == swapped.logits
    assert plain.layers == ("conv1", "conv2", "fc1", "fc2")
    sigmoid = probed(activation="sigmoid"), probed(activation="sigmoid", activation_first=True)
    assert sigmoid[0].first_logits == pytest.approx(sigmoid[1].first_logits, rel=1e-5, abs=1e-6)
    assert len(plain.first_logits) == FIRST * splits.shape.classes
    average = probed(pooling=("average",)), probed(pooling=("average",), activation_first=True)
    assert average[0].logits != average[1].logits


def test_gradients_of_the_first_layer_are_smaller_with_sigmoid(
    probed: Callable[..., Probe],
) -> None:
    relu, sigmoid = probed(), probed(activation="sigmoid")
    assert 0 < sigmoid.gradients[0] < relu.gradients[0]


def test_gradient_is_that_of_finite_differences(
    splits: Splits, network: NetworkSettings, arrays: Callable[..., Any]
) -> None:
    from tasks.model.network import build_network
    from tasks.model.probe import weight_gradients
    from tasks.model.trainer import mean_loss

    smooth = network.model_copy(update={"activation": "tanh", "pooling": ("average",)})
    model = build_network(smooth, splits.shape, seed=1)
    data = arrays(splits.validation)
    images = data.images[:8, ..., np.newaxis].astype(np.float32) / 255
    labels = data.labels[:8].astype(np.int32)
    last = model.layers[-1]
    kernel = np.asarray(last.kernel)
    slopes = np.empty_like(kernel, dtype=np.float64)
    step = 1e-2
    for place in np.ndindex(kernel.shape):
        losses = []
        for sign in (1, -1):
            moved = kernel.copy()
            moved[place] += sign * step
            last.kernel.assign(moved)
            losses.append(float(mean_loss(labels, model(images))))
        slopes[place] = (losses[0] - losses[1]) / (2 * step)
    last.kernel.assign(kernel)
    found = weight_gradients(model, images, labels)[last.name]
    assert found == pytest.approx(np.sqrt(np.mean(slopes**2)), rel=0.02)
