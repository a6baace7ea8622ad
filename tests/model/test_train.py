"""Training: the tutorial's arithmetic, to the bit the same however it is cut into pieces."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.data.dataset import SplitArrays, batch_indices
from tasks.engine.store import Store
from tasks.model.checkpoint import read_tensors, restore_network
from tasks.model.device import load_tensorflow
from tasks.model.network import build_network
from tasks.model.optimizer import one_cycle
from tasks.model.train import initialise, next_report, train
from tasks.records import Checkpoint, Segment, Shape, Split, Splits
from tasks.runtime.errors import PipelineError
from tasks.settings import NetworkSettings, TrainingSettings

if TYPE_CHECKING:
    import keras

    Arrays = Callable[[Split], SplitArrays]
    Python = Callable[..., subprocess.CompletedProcess[str]]
    RunStage = Callable[..., Any]
    TrainOn = Callable[[Checkpoint, int], Segment]
    Weights = dict[str, np.ndarray]

pytestmark = pytest.mark.tensorflow


def stops(iteration: int, last: int) -> list[int]:
    """Where the training loop stops on its way."""
    found = []
    while iteration < last:
        iteration = next_report(iteration, last)
        found.append(iteration)
    return found


def by_layer(state: Weights, kind: str) -> Weights:
    """A checkpoint's tensors of a kind, e.g. `adam/momentum`, by names such as `fc1/bias`."""
    return {
        "/".join(name.split("/")[-2:]): values.astype(np.float64)
        for name, values in state.items()
        if name.startswith(f"{kind}/")
    }


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
def test_reports_come_at_the_first_iteration_and_every_100_from_there(
    start: int, last: int, expected: list[int]
) -> None:
    assert stops(start, last) == expected


def test_a_checkpoint_holds_the_documented_tensors(root: Store, initial: Checkpoint) -> None:
    state = read_tensors(root.path(initial.file))
    shapes = {
        "conv1/kernel": (3, 3, 1, 4),
        "conv1/bias": (4,),
        "conv2/kernel": (5, 5, 4, 6),
        "conv2/bias": (6,),
        "fc1/kernel": (2 * 2 * 6, 16),
        "fc1/bias": (16,),
        "fc2/kernel": (16, 10),
        "fc2/bias": (10,),
    }
    assert {name: values.shape for name, values in state.items()} == {
        "iteration": (),
        **{
            f"{kind}/{path}": shape
            for kind in ("weights", "adam/momentum", "adam/velocity")
            for path, shape in shapes.items()
        },
    }


def test_the_initial_checkpoint(
    root: Store,
    initial: Checkpoint,
    splits: Splits,
    network: NetworkSettings,
    training: TrainingSettings,
) -> None:
    state = read_tensors(root.path(initial.file))
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


def test_the_initial_checkpoint_depends_on_the_seed(
    run_stage: RunStage, splits: Splits, network: NetworkSettings
) -> None:
    digests = [run_stage(initialise, splits.shape, network, seed).file.sha256 for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


def test_an_image_too_small_for_the_network_is_refused(
    run_stage: RunStage, network: NetworkSettings
) -> None:
    with pytest.raises(PipelineError, match="--conv-sizes"):
        run_stage(initialise, Shape(height=8, width=3, classes=10), network, seed=0)


@pytest.mark.parametrize("middle", [1, 120, 239])
def test_two_segments_are_bit_for_bit_one(
    root: Store, train_on: TrainOn, initial: Checkpoint, trained: Segment, middle: int
) -> None:
    first = train_on(initial, middle)
    second = train_on(first.checkpoint, 240)
    assert first.checkpoint.file.sha256 != trained.checkpoint.file.sha256
    assert second.checkpoint.file.sha256 == trained.checkpoint.file.sha256
    parts, whole = (curve(root, first), curve(root, second)), curve(root, trained)
    assert {name: parts[0][name] + parts[1][name] for name in whole} == whole


def test_two_segments_are_bit_for_bit_one_whatever_is_switched_on(
    root: Store, run_stage: RunStage, splits: Splits
) -> None:
    """Also with all that carries a state along or depends on the iteration."""
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

    def go_on(checkpoint: Checkpoint, iterations: int) -> Checkpoint:
        arguments = (splits.train, splits.shape, checkpoint, network, training, iterations, 60)
        segment: Segment = run_stage(train, *arguments)
        return segment.checkpoint

    initial = run_stage(initialise, splits.shape, network, seed=0)
    whole, parts = go_on(initial, 60), go_on(go_on(initial, 25), 60)
    assert parts.file.sha256 == whole.file.sha256
    start, end = (read_tensors(root.path(c.file)) for c in (initial, whole))
    for name in (
        "norm1/moving_mean",
        "fc1_norm/moving_variance",
        "fc1_dropout/seed_generator_state",
    ):
        assert (start[f"weights/{name}"] != end[f"weights/{name}"]).any()


def test_one_cycle_rises_to_its_peak_and_falls_to_zero() -> None:
    rate = one_cycle(peak=0.5, iterations=100)
    rates = [float(rate(i)) for i in range(101)]
    assert rates[0] == pytest.approx(0.02)
    assert max(rates) == rates[30] == pytest.approx(0.5)
    assert rates[:31] == sorted(rates[:31])
    assert rates[30:] == sorted(rates[30:], reverse=True)
    assert rates[100] == pytest.approx(0, abs=1e-6)


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
    checkpoint = initialise.function(work, splits.shape, network, training.seed)
with store.workspace("elsewhere", "1" * 64) as work:
    segment = train.function(
        work, splits.train, splits.shape, checkpoint, network, training, iterations=240
    )
print(segment.model_dump_json())
"""


def test_another_process_makes_the_same_bytes(
    root: Store,
    splits: Splits,
    network: NetworkSettings,
    training: TrainingSettings,
    trained: Segment,
    python: Python,
) -> None:
    models = [model.model_dump_json() for model in (splits, network, training)]
    other = Segment.model_validate(json.loads(python(SCRIPT, root.root, *models).stdout))
    assert other.checkpoint.file.path.startswith("elsewhere/")
    assert other.checkpoint.file.sha256 == trained.checkpoint.file.sha256
    assert other.curve.sha256 == trained.curve.sha256


def test_the_curve(root: Store, trained: Segment) -> None:
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


def test_a_segment_without_a_report_has_an_empty_curve(
    root: Store, train_on: TrainOn, trained: Segment
) -> None:
    segment = train_on(trained.checkpoint, 241)
    assert curve(root, segment) == {"iteration": [], "accuracy": [], "loss": []}


def test_the_record_tells_what_was_done(root: Store, trained: Segment) -> None:
    assert trained.checkpoint.iteration == 240
    assert read_tensors(root.path(trained.checkpoint.file))["iteration"] == 240
    assert trained.device.kind == "CPU"
    assert trained.device.reason == "requested"
    assert trained.seconds > 0
    assert trained.cpu_seconds > 0


def test_training_learns_the_digits(
    root: Store,
    initial: Checkpoint,
    trained: Segment,
    splits: Splits,
    network: NetworkSettings,
    arrays: Arrays,
) -> None:
    losses = []
    for checkpoint in (initial, trained.checkpoint):
        model = restore_network(root.path(checkpoint.file), network, splits.shape)
        losses.append(measure(model, arrays(splits.train), slice(None))[1])
    assert losses[0] == pytest.approx(np.log(10), rel=0.05)  # knows nothing yet
    assert losses[1] < 0.3
    accuracy = curve(root, trained)["accuracy"]
    assert accuracy[0] < 0.5
    assert accuracy[-1] > 0.9


def measure(model: keras.Model, data: SplitArrays, rows: Any) -> tuple[float, float]:
    """Accuracy, and mean cross-entropy in NumPy."""
    x = data.images[rows][..., np.newaxis].astype(np.float32) / np.float32(255)
    y = data.labels[rows]
    logits = np.asarray(model(x), np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -log_probabilities[np.arange(len(y)), y].mean()
    return float((logits.argmax(axis=1) == y).mean()), float(loss)


@pytest.mark.parametrize("iterations", [1, 101])
def test_the_report_is_on_the_batch_just_trained_on_after_its_update(
    root: Store,
    train_on: TrainOn,
    initial: Checkpoint,
    splits: Splits,
    network: NetworkSettings,
    training: TrainingSettings,
    arrays: Arrays,
    iterations: int,
) -> None:
    before = train_on(initial, iterations - 1).checkpoint
    after = train_on(initial, iterations)
    [batch] = batch_indices(
        training.seed, splits.train.rows, training.batch_size, iterations - 1, iterations
    )
    [old, new] = (
        measure(
            restore_network(root.path(checkpoint.file), network, splits.shape),
            arrays(splits.train),
            batch,
        )
        for checkpoint in (before, after.checkpoint)
    )
    reported = {name: values[-1] for name, values in curve(root, after).items()}
    assert reported["iteration"] == iterations
    assert reported["accuracy"] == pytest.approx(new[0])
    assert reported["loss"] == pytest.approx(new[1], rel=1e-5)
    assert reported["loss"] != pytest.approx(old[1], rel=1e-3)


def gradients(model: keras.Model, weights: Weights, data: SplitArrays, rows: np.ndarray) -> Weights:
    """Of the mean cross-entropy on a batch, by weight."""
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
    weights: Weights, m: Weights, v: Weights, gradient: Weights, t: int, settings: TrainingSettings
) -> None:
    """One step of Adam, in place, as TensorFlow writes it: with ε outside the correction."""
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
        # A large ε tells where it stands, and whether the loss is a mean or a sum.
        {"learning_rate": 0.02, "beta_1": 0.7, "beta_2": 0.95, "epsilon": 0.05, "batch_size": 10},
    ],
    ids=["tutorial", "other"],
)
def test_adam_is_the_tutorials(
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
        # Where a gradient is next to nothing, its rounding errors are most of it.
        np.testing.assert_allclose(moved, expected, atol=0.01 * size, err_msg=path)
        np.testing.assert_allclose(momentum[path], m[path], rtol=1e-3, atol=1e-6, err_msg=path)
        np.testing.assert_allclose(velocity[path], v[path], rtol=1e-3, atol=1e-9, err_msg=path)


def test_a_gpu_that_is_not_there_is_refused(
    run_stage: RunStage, splits: Splits, initial: Checkpoint, network: NetworkSettings
) -> None:
    if load_tensorflow().config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    settings = TrainingSettings(device="gpu")
    with pytest.raises(PipelineError, match="--device gpu"):
        run_stage(train, splits.train, splits.shape, initial, network, settings, iterations=1)


FIXED_KEY = "7" * 64
INTERRUPTIONS = 20


class TimeLimitError(Exception):
    """The error that Prefect's time limit raises in the main thread."""


def raise_time_limit(_number: int, _frame: object) -> None:
    raise TimeLimitError


def test_time_limits_at_random_moments_change_no_weight(
    root: Store,
    splits: Splits,
    initial: Checkpoint,
    network: NetworkSettings,
    training: TrainingSettings,
    trained: Segment,
) -> None:
    moments = random.Random(0)
    ended = 0
    handler = signal.signal(signal.SIGALRM, raise_time_limit)
    try:
        for attempt in range(1000):
            limit = 0.0 if ended >= INTERRUPTIONS else moments.uniform(0.02, 0.3)
            try:
                signal.setitimer(signal.ITIMER_REAL, limit)
                with root.workspace("train", FIXED_KEY) as work:
                    segment = train.function(
                        work, splits.train, splits.shape, initial, network, training, 240
                    )
                signal.setitimer(signal.ITIMER_REAL, 0)
                assert segment.checkpoint.file.sha256 == trained.checkpoint.file.sha256, attempt
                if ended >= INTERRUPTIONS:
                    return
            except TimeLimitError:
                ended += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    pytest.fail(f"only {ended} time limits came in time")
