"""Stages: the initial checkpoint, and checkpoint + n iterations → checkpoint."""

import time
from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.dataset import batch_indices, read_split
from tasks.engine.concurrency import concurrency_slot
from tasks.engine.models import FileRef
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.checkpoint import (
    LIBRARIES,
    get_state,
    make_optimizer,
    read_tensors,
    write_tensors,
)
from tasks.model.compiled import borrowed
from tasks.model.device import load_tensorflow, op_determinism
from tasks.model.network import build_network, check_size
from tasks.model.placement import choose_processing, in_words, placed_on, resident
from tasks.model.resume import (
    SAVE_EVERY,
    Progress,
    Report,
    load_progress,
    postponed_signals,
    save_progress,
)
from tasks.model.trainer import make_trainer
from tasks.records import Checkpoint, Segment, Shape, Split
from tasks.runtime.console import log, track
from tasks.settings import NetworkSettings, TrainingSettings

REPORT_EVERY = 100  # iterations between two reports, as in the tutorial


def next_report(iteration: int, last: int) -> int:
    """Where the next call of the training loop ends: at a report (1, 101, 201, …) or the end."""
    report = -(-iteration // REPORT_EVERY) * REPORT_EVERY + 1
    return min(report, last)


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
    with (
        concurrency_slot("gpu") if device.kind == "GPU" else nullcontext(),
        placed_on(device),
        borrowed(make_trainer, network, shape, training, cycle, device) as trainer,
    ):
        log.info(f"training on {in_words(device)}")
        progress = load_progress(work.scratch) or Progress(
            read_tensors(work.input(checkpoint.file))
        )
        iteration = trainer.set_state(progress.state)
        if iteration > checkpoint.iteration:
            log.info(f"going on from iteration {iteration}, where an earlier run was stopped")
        images = resident(data.images[..., np.newaxis], device.kind)
        labels = resident(data.labels, device.kind)

        def save() -> None:
            progress.state = trainer.get_state(iteration)
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
                        results = trainer.steps(batches, iteration, images, labels)
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
        trained = trainer.get_state(iteration)

    write_tensors(trained, work.output("checkpoint.safetensors"))
    return Segment(
        checkpoint=Checkpoint(iteration=iteration, file=work.finished("checkpoint.safetensors")),
        curve=write_curve(progress.reports, work),
        device=device,
        seconds=round(progress.seconds, 3),
        cpu_seconds=round(progress.cpu_seconds, 3),
    )
