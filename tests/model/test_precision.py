"""Tests of bfloat16: training, exact resume, and processors without instructions for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tasks.engine.store import Store
from tasks.model import device
from tasks.model.checkpoint import read_tensors
from tasks.model.train import train
from tasks.records import Network, Segment, Splits
from tasks.settings import NetworkSettings, TrainingSettings

pytestmark = pytest.mark.tensorflow

Train = Callable[[Network, int, TrainingSettings], Segment]


@pytest.fixture
def go_on(
    run_stage: Callable[..., Any],
    splits: Splits,
    network: NetworkSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> Train:
    """Return a function that trains up to an iteration of 16.

    TensorFlow computes in bfloat16 on any processor, if slowly.
    """
    monkeypatch.setattr(device, "has_bfloat16", lambda: True)

    def go_on(checkpoint: Network, iteration: int, settings: TrainingSettings) -> Segment:
        arguments = (splits.train, checkpoint, settings, iteration, 16)
        segment: Segment = run_stage(train, *arguments)
        return segment

    return go_on


def test_bfloat16_keeps_float32_weights_and_resumes_exactly(
    root: Store,
    go_on: Train,
    training: TrainingSettings,
    initial: Network,
) -> None:
    import keras

    single = training.model_copy(update={"shift": 1.0})
    brief = single.model_copy(update={"precision": "bfloat16"})
    whole = go_on(initial, 16, brief)
    parts = go_on(go_on(initial, 5, brief).network, 16, brief)
    assert whole.device.precision == "bfloat16"
    assert parts.network.checkpoint.sha256 == whole.network.checkpoint.sha256
    assert keras.config.dtype_policy().name == "float32"  # the global policy is restored

    start, end, full = (
        read_tensors(root.path(file))
        for file in (
            initial.checkpoint,
            whole.network.checkpoint,
            go_on(initial, 16, single).network.checkpoint,
        )
    )
    assert end.keys() == full.keys()
    assert {v.dtype for v in end.values()} == {v.dtype for v in full.values()}
    # bfloat16 was used: the weights are near those of float32, but others.
    for name in [name for name in start if name.endswith("/kernel") and "weights" in name]:
        moved = np.abs(full[name] - start[name]).mean()
        assert 0 < np.abs(end[name] - full[name]).mean() < 0.5 * moved, name


def test_training_goes_on_in_float32(
    go_on: Train, training: TrainingSettings, initial: Network
) -> None:
    brief = training.model_copy(update={"precision": "bfloat16"})
    second = go_on(go_on(initial, 1, brief).network, 2, training)
    assert (second.network.iteration, second.device.precision) == (2, "float32")
