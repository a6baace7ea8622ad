"""Tests of mixed precision: training and exact resume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from tasks.engine.models import FileRef
from tasks.engine.store import Store
from tasks.model.checkpoint import read_tensors, write_tensors
from tasks.model.resume import Progress, load_progress, save_progress
from tasks.model.train import train
from tasks.model.trainer import make_trainer
from tasks.records import Checkpoint, Device, Segment, Splits
from tasks.settings import NetworkSettings, TrainingSettings

RunStage = Callable[..., Any]


@pytest.mark.tensorflow
def test_mixed_precision_keeps_float32_weights_and_resumes_exactly(
    root: Store,
    run_stage: RunStage,
    splits: Splits,
    network: NetworkSettings,
    training: TrainingSettings,
    initial: Checkpoint,
    save: Callable[[str, bytes], FileRef],
) -> None:
    """Includes updates that are skipped after an overflow of gradients."""
    import keras

    mixed = training.model_copy(update={"precision": "mixed"})
    moved = mixed.model_copy(update={"shift": 1.0})

    def go_on(checkpoint: Checkpoint, iterations: int, settings: TrainingSettings) -> Segment:
        segment: Segment = run_stage(
            train, splits.train, splits.shape, checkpoint, network, settings, iterations
        )
        return segment

    def state(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
        return read_tensors(root.path(checkpoint.file))

    # A loss scale that overflows until it has been halved several times.
    path = root.root / "high-scale"
    write_tensors({**state(initial), "loss_scale/scale": np.array(2**26, np.float32)}, path)
    start = Checkpoint(iteration=0, file=save("high-scale", path.read_bytes()))

    whole = go_on(start, 16, moved)
    assert whole.device.precision == "mixed_float16"
    first = go_on(start, 5, moved)
    parts = go_on(first.checkpoint, 16, moved)
    assert parts.checkpoint.file.sha256 == whole.checkpoint.file.sha256

    halfway, end = state(first.checkpoint), state(whole.checkpoint)
    assert end["iteration"] == 16
    assert 0 < halfway["adam/updates"] < 5  # skipped updates are not counted
    assert halfway["loss_scale/scale"] < 2**26
    floats = [v for name, v in end.items() if name.startswith(("weights/", "adam/m", "adam/v"))]
    assert {v.dtype for v in floats} == {np.dtype(np.float32)}
    assert all(np.isfinite(v).all() for v in floats)
    assert keras.config.dtype_policy().name == "float32"  # the global policy is restored

    # float16 was used: close to float32, but not equal.
    half, single = (state(go_on(initial, 3, s).checkpoint) for s in (mixed, training))
    difference = np.abs(half["weights/fc1/kernel"] - single["weights/fc1/kernel"])
    assert 0 < np.median(difference) < 0.1 * training.learning_rate
    assert "loss_scale/scale" in half
    assert not [name for name in single if name.startswith("loss_scale/")]


@pytest.mark.tensorflow
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_progress_of_a_trainer_is_saved_and_loaded(
    network: NetworkSettings,
    training: TrainingSettings,
    splits: Splits,
    tmp_path: Path,
    precision: Literal["float32", "mixed_float16"],
) -> None:
    """The loss scale of mixed precision is a scalar among arrays."""
    device = Device(kind="CPU", name="any", reason="requested", precision=precision)
    state = make_trainer(network, splits.shape, training, None, device).get_state(3)
    save_progress(Progress(state), tmp_path)
    loaded = load_progress(tmp_path)
    assert loaded
    assert loaded.state.keys() == state.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(loaded.state[name], value)


@pytest.mark.tensorflow
def test_checkpoint_of_mixed_precision_can_be_resumed_in_float32(
    run_stage: RunStage,
    splits: Splits,
    network: NetworkSettings,
    training: TrainingSettings,
    initial: Checkpoint,
) -> None:
    """Happens if `auto` trains on a GPU first and on a CPU later."""
    arguments = splits.train, splits.shape
    mixed = training.model_copy(update={"precision": "mixed"})
    first = run_stage(train, *arguments, initial, network, mixed, 1)
    second = run_stage(train, *arguments, first.checkpoint, network, training, 2)
    assert (second.checkpoint.iteration, second.device.precision) == (2, "float32")


@pytest.mark.tensorflow
def test_muon_and_sampled_pooling_in_mixed_precision(
    root: Store,
    run_stage: RunStage,
    splits: Splits,
    network: NetworkSettings,
    training: TrainingSettings,
    initial: Checkpoint,
) -> None:
    """Weights are near those of float32, and training resumes exactly."""
    single = training.model_copy(
        update={"optimizer": "muon", "rate_schedule": "one-cycle", "sampled_pooling": 0.5}
    )
    mixed = single.model_copy(update={"precision": "mixed"})
    unsampled = single.model_copy(update={"sampled_pooling": 0.0})

    def go_on(checkpoint: Checkpoint, iterations: int, settings: TrainingSettings) -> Checkpoint:
        arguments = (splits.train, splits.shape, checkpoint, network, settings, iterations, 8)
        segment: Segment = run_stage(train, *arguments)
        return segment.checkpoint

    whole, parts = go_on(initial, 8, mixed), go_on(go_on(initial, 3, mixed), 8, mixed)
    assert parts.file.sha256 == whole.file.sha256
    half, full, other = (
        read_tensors(root.path(checkpoint.file))
        for checkpoint in (whole, go_on(initial, 8, single), go_on(initial, 8, unsampled))
    )
    start = read_tensors(root.path(initial.file))
    names = [name for name in start if name.startswith("weights/conv2/kernel")]
    assert names
    for name in names:
        moved = np.abs(full[name] - start[name]).mean()
        assert np.abs(half[name] - full[name]).mean() < 0.1 * moved
        assert np.abs(other[name] - full[name]).mean() > 0.1 * moved
