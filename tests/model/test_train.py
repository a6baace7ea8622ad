"""Tests of training: arithmetic, reports, and equality of segments with one run."""

from __future__ import annotations

import json
import logging
import random
import shutil
import signal
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.checkpoints import by_layer

from tasks.data.dataset import SplitArrays, batch_indices
from tasks.engine.store import Store
from tasks.model.checkpoint import read_tensors, restore_network
from tasks.model.device import load_tensorflow
from tasks.model.network import build_network
from tasks.model.train import initialise, next_report, train
from tasks.records import Network, Segment, Shape, Split, Splits
from tasks.runtime.console import log
from tasks.runtime.errors import PipelineError
from tasks.settings import NetworkSettings, TrainingSettings

if TYPE_CHECKING:
    import keras

    Arrays = Callable[[Split], SplitArrays]
    Python = Callable[..., subprocess.CompletedProcess[str]]
    RunStage = Callable[..., Any]
    TrainOn = Callable[[Network, int], Segment]

pytestmark = pytest.mark.tensorflow


def stops(iteration: int, last: int) -> list[int]:
    """Return the iterations at which the training loop reports."""
    found = []
    while iteration < last:
        iteration = next_report(iteration, last)
        found.append(iteration)
    return found


def curve(root: Store, segment: Segment) -> dict[str, list[float]]:
    columns: dict[str, list[float]] = pq.read_table(root.path(segment.curve)).to_pydict()
    return columns


@pytest.mark.parametrize(
    ("start", "last", "expected"),
    [
        (0, 1, [1]),
        (1, 100, [100]),
        (0, 350, [1, 101, 201, 301, 350]),
        (100, 301, [101, 201, 301]),
        (101, 150, [150]),
        (150, 201, [201]),
        (0, 0, []),
    ],
)
def test_reports_are_at_iteration_1_and_every_100_after_it(
    start: int, last: int, expected: list[int]
) -> None:
    assert stops(start, last) == expected


def test_initial_checkpoint_has_initial_weights_and_zero_moments(
    root: Store,
    initial: Network,
    splits: Splits,
    network: NetworkSettings,
    training: TrainingSettings,
) -> None:
    state = read_tensors(root.path(initial.checkpoint))
    assert state.pop("iteration") == initial.iteration == 0
    assert {values.dtype for values in state.values()} == {np.dtype(np.float32)}
    model = build_network(network, splits.shape, training.seed)
    weights = by_layer(state, "weights")
    for layer in ("conv1", "conv2", "fc1", "fc2"):
        for name, values in zip(
            ("kernel", "bias"), model.get_layer(layer).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(weights[f"{layer}/{name}"], values)
    for kind in ("adam/momentum", "adam/velocity"):
        moments = by_layer(state, kind)
        assert {name: m.shape for name, m in moments.items()} == {
            name: w.shape for name, w in weights.items()
        }
        assert not any(m.any() for m in moments.values())


def test_initial_checkpoint_depends_on_the_seed(
    run_stage: RunStage, splits: Splits, network: NetworkSettings
) -> None:
    digests = [
        run_stage(initialise, network, splits.shape, seed).checkpoint.sha256 for seed in (0, 0, 1)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_image_too_small_for_the_network_is_refused(
    run_stage: RunStage, network: NetworkSettings
) -> None:
    with pytest.raises(PipelineError, match="--conv-sizes"):
        run_stage(initialise, network, Shape(height=8, width=3, classes=10), seed=0)


@pytest.mark.parametrize("middle", [1, 120, 239])
def test_two_segments_equal_one_bit_for_bit(
    root: Store, train_on: TrainOn, initial: Network, trained: Segment, middle: int
) -> None:
    first = train_on(initial, middle)
    second = train_on(first.network, 240)
    assert first.network.checkpoint.sha256 != trained.network.checkpoint.sha256
    assert second.network.checkpoint.sha256 == trained.network.checkpoint.sha256
    parts, whole = (curve(root, first), curve(root, second)), curve(root, trained)
    assert {name: parts[0][name] + parts[1][name] for name in whole} == whole


def test_two_segments_equal_one_with_all_options(
    root: Store, run_stage: RunStage, splits: Splits
) -> None:
    """Covers every option with a state or a dependence on the iteration."""
    network = NetworkSettings(
        conv_filters=(4,), conv_sizes=(3,), dense=(16,), normalisation=True, dropout=0.5
    )
    training = TrainingSettings(
        learning_rate=0.01,
        rate_schedule="one-cycle",
        label_smoothing=0.1,
        shift=1,
        rotation=10,
        zoom=0.1,
        device="cpu",
    )

    def go_on(checkpoint: Network, iterations: int) -> Network:
        arguments = (splits.train, checkpoint, training, iterations, 60)
        segment: Segment = run_stage(train, *arguments)
        return segment.network

    initial = run_stage(initialise, network, splits.shape, seed=0)
    whole, parts = go_on(initial, 60), go_on(go_on(initial, 25), 60)
    assert parts.checkpoint.sha256 == whole.checkpoint.sha256
    start, end = (read_tensors(root.path(c.checkpoint)) for c in (initial, whole))
    for name in (
        "norm1/moving_mean",
        "fc1_norm/moving_variance",
        "fc1_dropout/seed_generator_state",
    ):
        assert (start[f"weights/{name}"] != end[f"weights/{name}"]).any()


SCRIPT = """
import sys
from pathlib import Path
from tasks.model.train import initialise, train
from tasks.records import Splits
from tasks.settings import NetworkSettings, TrainingSettings
from tasks.engine.store import Store

store = Store(Path(sys.argv[1]))
splits = Splits.model_validate_json(sys.argv[2])
network = NetworkSettings.model_validate_json(sys.argv[3])
training = TrainingSettings.model_validate_json(sys.argv[4])
with store.workspace("elsewhere", "0" * 64) as work:
    checkpoint = initialise.function(work, network, splits.shape, training.seed)
with store.workspace("elsewhere", "1" * 64) as work:
    segment = train.function(work, splits.train, checkpoint, training, iterations=240)
print(segment.model_dump_json())
"""


def test_other_process_writes_the_same_bytes(
    root: Store,
    splits: Splits,
    network: NetworkSettings,
    training: TrainingSettings,
    trained: Segment,
    python: Python,
) -> None:
    models = [model.model_dump_json() for model in (splits, network, training)]
    other = Segment.model_validate(json.loads(python(SCRIPT, root.root, *models).stdout))
    assert other.network.checkpoint.path.startswith("elsewhere/")
    assert other.network.checkpoint.sha256 == trained.network.checkpoint.sha256
    assert other.curve.sha256 == trained.curve.sha256


def test_learning_curve_columns_and_values(root: Store, trained: Segment) -> None:
    table = pq.read_table(root.path(trained.curve))
    assert [(field.name, field.type) for field in table.schema] == [
        ("iteration", pa.int32()),
        ("accuracy", pa.float32()),
        ("loss", pa.float32()),
    ]
    columns = table.to_pydict()
    assert columns["iteration"] == [1, 101, 201]
    assert all(0 <= accuracy <= 1 for accuracy in columns["accuracy"])
    # A batch has 64 images.
    assert all((64 * accuracy).is_integer() for accuracy in columns["accuracy"])


def test_segment_without_a_report_has_an_empty_curve(
    root: Store, train_on: TrainOn, trained: Segment
) -> None:
    segment = train_on(trained.network, 241)
    assert curve(root, segment) == {"iteration": [], "accuracy": [], "loss": []}


def test_record_holds_iteration_device_and_times(root: Store, trained: Segment) -> None:
    assert trained.network.iteration == 240
    assert read_tensors(root.path(trained.network.checkpoint))["iteration"] == 240
    assert trained.device.kind == "CPU"
    assert trained.device.reason == "requested"
    assert trained.seconds > 0
    assert trained.cpu_seconds > 0


def test_training_reduces_the_loss(
    root: Store,
    initial: Network,
    trained: Segment,
    splits: Splits,
    network: NetworkSettings,
    arrays: Arrays,
) -> None:
    losses = []
    for checkpoint in (initial, trained.network):
        model = restore_network(checkpoint, root.path(checkpoint.checkpoint))
        losses.append(measure(model, arrays(splits.train), slice(None))[1])
    assert losses[0] == pytest.approx(np.log(10), rel=0.05)  # untrained
    assert losses[1] < 0.3
    accuracy = curve(root, trained)["accuracy"]
    assert accuracy[0] < 0.5
    assert accuracy[-1] > 0.9


def measure(model: keras.Model, data: SplitArrays, rows: Any) -> tuple[float, float]:
    """Return accuracy and mean cross-entropy, computed in NumPy."""
    x = data.images[rows][..., np.newaxis].astype(np.float32) / np.float32(255)
    y = data.labels[rows]
    logits = np.asarray(model(x), np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -log_probabilities[np.arange(len(y)), y].mean()
    return float((logits.argmax(axis=1) == y).mean()), float(loss)


@pytest.mark.parametrize("iterations", [1, 101])
def test_report_is_of_the_last_batch_after_its_update(
    root: Store,
    train_on: TrainOn,
    initial: Network,
    splits: Splits,
    network: NetworkSettings,
    training: TrainingSettings,
    arrays: Arrays,
    iterations: int,
) -> None:
    before = train_on(initial, iterations - 1).network
    after = train_on(initial, iterations)
    [batch] = batch_indices(
        training.seed, splits.train.rows, training.batch_size, iterations - 1, iterations
    )
    [old, new] = (
        measure(
            restore_network(checkpoint, root.path(checkpoint.checkpoint)),
            arrays(splits.train),
            batch,
        )
        for checkpoint in (before, after.network)
    )
    reported = {name: values[-1] for name, values in curve(root, after).items()}
    assert reported["iteration"] == iterations
    assert reported["accuracy"] == pytest.approx(new[0])
    assert reported["loss"] == pytest.approx(new[1], rel=1e-5)
    assert reported["loss"] != pytest.approx(old[1], rel=1e-3)


def test_missing_gpu_is_refused(
    run_stage: RunStage, splits: Splits, initial: Network, network: NetworkSettings
) -> None:
    if load_tensorflow().config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    settings = TrainingSettings(device="gpu")
    with pytest.raises(PipelineError, match="--device gpu"):
        run_stage(train, splits.train, initial, settings, iterations=1)


FIXED_KEY = "7" * 64
INTERRUPTIONS = 20


class TimeLimitError(Exception):
    """The error that Prefect's time limit raises in the main thread."""


def raise_time_limit(_number: int, _frame: object) -> None:
    raise TimeLimitError


def test_time_limits_at_random_moments_do_not_change_weights(
    root: Store,
    splits: Splits,
    initial: Network,
    network: NetworkSettings,
    training: TrainingSettings,
    trained: Segment,
) -> None:
    moments = random.Random(0)
    ended = 0

    def start_clock(record: logging.LogRecord) -> bool:
        """Set a time limit once the network is compiled: TensorFlow may crash while it traces."""
        if ended < INTERRUPTIONS and record.getMessage().startswith("training on"):
            signal.setitimer(signal.ITIMER_REAL, moments.uniform(0.001, 0.2))
        return True

    handler = signal.signal(signal.SIGALRM, raise_time_limit)
    log.addFilter(start_clock)
    try:
        for attempt in range(1000):
            try:
                with root.workspace("train", FIXED_KEY) as work:
                    segment = train.function(work, splits.train, initial, training, 240)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except TimeLimitError:
                signal.setitimer(signal.ITIMER_REAL, 0)
                ended += 1
                continue
            assert segment.network.checkpoint.sha256 == trained.network.checkpoint.sha256, attempt
            # As the store does once there is a cache entry.
            shutil.rmtree(work.scratch, ignore_errors=True)
            if ended >= INTERRUPTIONS:
                return
    finally:
        log.removeFilter(start_clock)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    pytest.fail(f"only {ended} time limits came in time")
