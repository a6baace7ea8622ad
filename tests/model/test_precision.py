"""Tests of bfloat16: training, exact resume, and processors without instructions for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tasks.engine.store import Store
from tasks.model import placement
from tasks.model.checkpoint import read_tensors
from tasks.model.placement import choose_placement
from tasks.model.train import train
from tasks.records import Checkpoint, Segment, Splits
from tasks.runtime.errors import PipelineError
from tasks.settings import NetworkSettings, TrainingSettings

pytestmark = pytest.mark.tensorflow

Train = Callable[[Checkpoint, int, TrainingSettings], Segment]


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
    monkeypatch.setattr(placement, "has_bfloat16", lambda: True)

    def go_on(checkpoint: Checkpoint, iteration: int, settings: TrainingSettings) -> Segment:
        arguments = (splits.train, splits.shape, checkpoint, network, settings, iteration, 16)
        segment: Segment = run_stage(train, *arguments)
        return segment

    return go_on


MUON = {"optimizer": "muon", "rate_schedule": "one-cycle", "sampled_pooling": 0.5}


@pytest.mark.parametrize("options", [{"shift": 1.0}, MUON], ids=["adam", "muon"])
def test_bfloat16_keeps_float32_weights_and_resumes_exactly(
    root: Store,
    go_on: Train,
    training: TrainingSettings,
    initial: Checkpoint,
    options: dict[str, Any],
) -> None:
    import keras

    single = training.model_copy(update=options)
    brief = single.model_copy(update={"precision": "bfloat16"})
    whole = go_on(initial, 16, brief)
    parts = go_on(go_on(initial, 5, brief).checkpoint, 16, brief)
    assert whole.device.precision == "bfloat16"
    assert parts.checkpoint.file.sha256 == whole.checkpoint.file.sha256
    assert keras.config.dtype_policy().name == "float32"  # the global policy is restored

    start, end, full = (
        read_tensors(root.path(file))
        for file in (
            initial.file,
            whole.checkpoint.file,
            go_on(initial, 16, single).checkpoint.file,
        )
    )
    assert end.keys() == full.keys()
    assert {v.dtype for v in end.values()} == {v.dtype for v in full.values()}
    # bfloat16 was used: the weights are near those of float32, but others.
    for name in [name for name in start if name.endswith("/kernel") and "weights" in name]:
        moved = np.abs(full[name] - start[name]).mean()
        assert 0 < np.abs(end[name] - full[name]).mean() < 0.5 * moved, name


def test_sampled_pooling_leads_to_other_weights(
    root: Store, go_on: Train, training: TrainingSettings, initial: Checkpoint
) -> None:
    sampled = training.model_copy(update=MUON)
    unsampled = sampled.model_copy(update={"sampled_pooling": 0.0})
    start, full, other = (
        read_tensors(root.path(checkpoint.file))["weights/conv2/kernel"]
        for checkpoint in (
            initial,
            go_on(initial, 16, sampled).checkpoint,
            go_on(initial, 16, unsampled).checkpoint,
        )
    )
    moved = np.abs(full - start).mean()
    assert np.abs(other - full).mean() > 0.1 * moved


def test_training_goes_on_in_float32(
    go_on: Train, training: TrainingSettings, initial: Checkpoint
) -> None:
    brief = training.model_copy(update={"precision": "bfloat16"})
    second = go_on(go_on(initial, 1, brief).checkpoint, 2, training)
    assert (second.checkpoint.iteration, second.device.precision) == (2, "float32")


def test_processor_without_bfloat16_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "has_bfloat16", lambda: False)
    settings = TrainingSettings(precision="bfloat16", device="cpu")
    with pytest.raises(PipelineError, match="--precision bfloat16: this processor has no"):
        choose_placement(settings, NetworkSettings())
