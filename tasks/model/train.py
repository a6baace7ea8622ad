"""Stages: the initial checkpoint, and checkpoint + n iterations → checkpoint."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.console import log, track
from tasks.data.dataset import batch_indices, read_split
from tasks.model import augment
from tasks.model.checkpoint import (
    LIBRARIES,
    get_state,
    make_optimizer,
    read_tensors,
    set_state,
    write_tensors,
)
from tasks.model.device import load_tensorflow, op_determinism
from tasks.model.forward import forward
from tasks.model.network import build_network, check_size
from tasks.model.precision import layers_in, scale_losses, scale_state
from tasks.model.processing import choose_processing, in_words, placed_on, resident
from tasks.model.progress import (
    SAVE_EVERY,
    Progress,
    Report,
    load_progress,
    postponed_signals,
    save_progress,
)
from tasks.model.replicas import on_replicas, replicate
from tasks.records import Checkpoint, Device, Segment, Shape, Split
from tasks.settings import NetworkSettings, TrainingSettings
from tasks.stage import stage
from tasks.store import FileRef, Workspace
from tasks.turns import turn

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

REPORT_EVERY = 100  # iterations between two reports, as in the tutorial


def next_report(iteration: int, last: int) -> int:
    """Where the next call of the training loop ends: at a report (1, 101, 201, …) or the end."""
    report = -(-iteration // REPORT_EVERY) * REPORT_EVERY + 1
    return min(report, last)


def make_train_steps(
    network: "keras.Sequential",
    optimizer: "keras.optimizers.Optimizer",
    images: np.ndarray,
    labels: np.ndarray,
    settings: TrainingSettings,
    device: Device,
) -> "Callable[[tf.Tensor, int], tuple[tf.Tensor, tf.Tensor]]":
    """A compiled function that trains on many batches in one call.

    The data set stays in the memory of the processor that trains; a batch is gathered and scaled
    inside the graph, so that Python has nothing to do per iteration.

    Args:
        network: what is trained.
        optimizer: built for the network.
        images: uint8 [n, height, width].
        labels: uint8 [n].
        settings: how images are moved and labels smoothed.
        device: what it is trained on and how; this is called in `placed_on(device)`.

    Returns:
        A function from the rows of each batch, int32 [iterations, batch], and the number of
        iterations before, to the accuracy and loss on the last batch, measured after its update.
    """
    tf = load_tensorflow()
    data = resident(images[..., np.newaxis], device.kind), resident(labels, device.kind)

    def batch(rows: Any, all_images: Any, all_labels: Any) -> tuple[Any, Any]:
        x = tf.cast(tf.gather(all_images, rows), tf.float32) / 255.0
        return x, tf.cast(tf.gather(all_labels, rows), tf.int32)

    def mean_loss(y: Any, logits: Any) -> Any:
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))

    def training_loss(y: Any, logits: Any) -> Any:
        if not settings.label_smoothing:
            return mean_loss(y, logits)
        classes, share = logits.shape[1], settings.label_smoothing
        spread = tf.one_hot(y, classes) * (1 - share) + share / classes
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(spread, logits))

    # Replicas and mixed precision are a matter of the layers' own calls.
    by_hand = device.replicas == 1 and device.precision == "float32"

    def gradients(x: Any, y: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            logits = forward(network, x) if by_hand else network(x, training=True)
            loss = optimizer.scale_loss(training_loss(y, logits))
        return tape.gradient(loss, network.trainable_variables)  # type: ignore[no-any-return]

    def apply(found: list[Any]) -> None:
        optimizer.apply(found, network.trainable_variables)

    def update(x: Any, y: Any) -> None:
        apply(gradients(x, y))

    if device.replicas > 1:
        update = on_replicas(gradients, apply)  # type: ignore[assignment]
    elif device.xla:
        update = tf.function(update, jit_compile=True)

    def train_step(rows: Any, iteration: Any, *data: Any) -> None:
        x, y = batch(rows, *data)
        if augment.wanted(settings):
            x = augment.move_images(x, iteration, settings)
        update(x, y)

    signature = [
        tf.TensorSpec([None, None], tf.int32),
        tf.TensorSpec([], tf.int64),
        *map(tf.TensorSpec.from_tensor, data),
    ]

    # The data set is an argument, since TensorFlow never lets go of a loop's graph, nor of the
    # tensors that the graph has captured.
    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def train_steps(
        batches: Any, iteration: Any, all_images: Any, all_labels: Any
    ) -> tuple[Any, Any]:
        for rows in batches:  # AutoGraph makes this a loop in the graph
            train_step(rows, iteration, all_images, all_labels)
            iteration += 1
        x, y = batch(batches[-1], all_images, all_labels)
        logits = network(x)
        correct = tf.argmax(logits, axis=1, output_type=tf.int32) == y
        return tf.reduce_mean(tf.cast(correct, tf.float32)), mean_loss(y, logits)

    # Traced here, so that compiling is no part of the training time.
    compiled = train_steps.get_concrete_function()
    return lambda batches, iteration: compiled(batches, iteration, *data)


def write_curve(reports: list[Report], work: Workspace) -> FileRef:
    table = pa.table(
        {
            "iteration": pa.array([r.iteration for r in reports], pa.int32()),
            "accuracy": pa.array([r.accuracy for r in reports], pa.float32()),
            "loss": pa.array([r.loss for r in reports], pa.float32()),
        }
    )
    pq.write_table(table, work.output("curve.parquet"), compression="zstd")
    return work.finished("curve.parquet")


@stage(libraries=LIBRARIES)
def initialise(work: Workspace, shape: Shape, network: NetworkSettings, seed: int) -> Checkpoint:
    """The network before training: the checkpoint of iteration 0.

    Raises:
        PipelineError: the network cannot be built for images of this size.
    """
    check_size(network, shape)  # before TensorFlow is imported
    load_tensorflow()
    model = build_network(network, shape, seed)
    # Adam's moments start at zero, whatever its settings.
    state = get_state(model, make_optimizer(model, TrainingSettings()), iteration=0)
    write_tensors(state, work.output("checkpoint.safetensors"))
    return Checkpoint(iteration=0, file=work.finished("checkpoint.safetensors"))


@stage(libraries=(*LIBRARIES, "pyarrow"), label="train-{iterations}")
def train(
    work: Workspace,
    split: Split,
    shape: Shape,
    checkpoint: Checkpoint,
    network: NetworkSettings,
    training: TrainingSettings,
    iterations: int,
    cycle: int | None = None,
) -> Segment:
    """Train from a checkpoint on, up to so many iterations in all.

    Args:
        work: inputs and outputs.
        split: the training split.
        shape: of its images, and the number of classes.
        checkpoint: where to go on from.
        network: its layers.
        training: optimiser and batches.
        iterations: of the checkpoint that this ends with.
        cycle: iterations of the learning rate's one cycle; None if the rate is constant.

    Raises:
        PipelineError: the device that is asked for is not there.
    """
    device = choose_processing(training, network)
    data = read_split(work.input(split.file))
    with turn("gpu") if device.kind == "GPU" else nullcontext(), placed_on(device):
        log.info(f"training on {in_words(device)}")
        with layers_in(device.precision):
            model = build_network(network, shape, training.seed)
        if device.replicas > 1:
            model = replicate(model)
        adam = make_optimizer(model, training, cycle)
        progress = load_progress(work.scratch) or Progress(
            read_tensors(work.input(checkpoint.file))
        )
        iteration = set_state(model, adam, progress.state)
        mixed = device.precision == "mixed_float16"
        optimizer = scale_losses(adam, model, progress.state) if mixed else adam
        if iteration > checkpoint.iteration:
            log.info(f"going on from iteration {iteration}, where an earlier run was stopped")
        train_steps = make_train_steps(model, optimizer, data.images, data.labels, training, device)

        def state() -> dict[str, np.ndarray]:
            return get_state(model, adam, iteration) | scale_state(optimizer)

        def save() -> None:
            progress.state = state()
            save_progress(progress, work.scratch)

        started = saved = time.monotonic()
        worked = time.process_time()
        try:
            with track(f"training to {iterations:,}", iterations - checkpoint.iteration) as update:
                while iteration < iterations:
                    stop = next_report(iteration, iterations)
                    batches = batch_indices(
                        training.seed, split.rows, training.batch_size, iteration, stop
                    )
                    with op_determinism(training.deterministic), postponed_signals():
                        results = train_steps(batches, iteration)
                        accuracy, loss = (float(value) for value in results)
                        iteration = stop
                        progress.seconds += time.monotonic() - started
                        progress.cpu_seconds += time.process_time() - worked
                        started, worked = time.monotonic(), time.process_time()
                        if iteration % REPORT_EVERY == 1:
                            progress.reports.append(Report(iteration, accuracy, loss))
                            log.info(
                                f"Optimization Iteration: {iteration:>6},"
                                f" Training Accuracy: {accuracy:>6.1%}"
                            )
                    update(iteration - checkpoint.iteration, f"batch accuracy {accuracy:.1%}")
                    if started - saved >= SAVE_EVERY and iteration < iterations:
                        save()
                        saved = time.monotonic()
        except BaseException:
            save()
            raise
        trained = state()

    write_tensors(trained, work.output("checkpoint.safetensors"))
    return Segment(
        checkpoint=Checkpoint(iteration=iteration, file=work.finished("checkpoint.safetensors")),
        curve=write_curve(progress.reports, work),
        device=device,
        seconds=round(progress.seconds, 3),
        cpu_seconds=round(progress.cpu_seconds, 3),
    )
