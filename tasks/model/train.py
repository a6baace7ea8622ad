"""Stages: settings → initial checkpoint; checkpoint × iterations → checkpoint."""

import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.dataset import batch_indices, read_split
from tasks.engine.concurrency import concurrency_slot
from tasks.engine.models import FileRef
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.checkpoint import get_state, read_tensors, write_tensors
from tasks.model.compiled import reuse_compiled
from tasks.model.device import (
    choose_device,
    describe,
    load_tensorflow,
    op_determinism,
    resident,
)
from tasks.model.network import build_network, check_size
from tasks.model.resume import (
    SAVE_EVERY,
    Progress,
    Report,
    load_progress,
    postponed_signals,
    save_progress,
)
from tasks.model.trainer import Trainer, make_optimizer, make_trainer
from tasks.records import Network, Segment, Shape, Split
from tasks.runtime.console import log, track
from tasks.settings import NetworkSettings, TrainingSettings

REPORT_EVERY = 100  # iterations between two reports, as in the tutorial


def next_report(iteration: int, last: int) -> int:
    """Return the next iteration with a report (1, 101, 201, …), at most the last one."""
    report = -(-iteration // REPORT_EVERY) * REPORT_EVERY + 1
    return min(report, last)


@dataclass
class Stopwatch:
    """Wall-clock time and processor time since the last lap, in seconds."""

    wall: float = field(default_factory=time.monotonic)
    cpu: float = field(default_factory=time.process_time)

    def lap(self) -> tuple[float, float]:
        """Return both times since the last lap, and begin the next one."""
        wall, cpu = time.monotonic(), time.process_time()
        times = wall - self.wall, cpu - self.cpu
        self.wall, self.cpu = wall, cpu
        return times


@dataclass
class TrainingRun:
    """A trainer, its data and its progress."""

    trainer: Trainer
    training: TrainingSettings
    images: Any
    """Tensor [n, height, width, 1]; see `resident`."""
    labels: Any
    """Tensor [n]."""
    progress: Progress
    iteration: int
    """Iterations done."""
    between_steps: bool = True
    """Whether weights, reports and `iteration` belong together."""
    watch: Stopwatch = field(default_factory=Stopwatch)

    def steps(self, stop: int) -> float:
        """Train up to an iteration, uninterrupted, and return the last batch's accuracy."""
        training, progress = self.training, self.progress
        rows = int(self.labels.shape[0])
        batches = batch_indices(training.seed, rows, training.batch_size, self.iteration, stop)
        with op_determinism(training.deterministic), postponed_signals():
            self.between_steps = False
            results = self.trainer.steps(batches, self.iteration, self.images, self.labels)
            accuracy, loss = (float(value) for value in results)
            seconds, cpu_seconds = self.watch.lap()
            progress.seconds += seconds
            progress.cpu_seconds += cpu_seconds
            if stop % REPORT_EVERY == 1:
                progress.reports.append(Report(stop, accuracy, loss))
                log.info(f"Optimization Iteration: {stop:>6}, Training Accuracy: {accuracy:>6.1%}")
            self.iteration = stop
            self.between_steps = True
        return accuracy

    def save(self, folder: Path) -> None:
        """Save the progress for a later run to resume, unless an error came within a step.

        Then the weights belong to no known iteration, and the last saved progress stays.
        """
        if not self.between_steps:
            return
        self.progress.state = self.trainer.get_state(self.iteration)
        save_progress(self.progress, folder)


def run_until(run: TrainingRun, first: int, last: int, scratch: Path) -> None:
    """Train up to the last iteration, and save the progress now and then and on any error.

    Args:
        run: trainer, data and progress; at iteration `first` or, if resumed, later.
        first: iteration that the progress bar starts from.
        last: iteration to end with.
        scratch: folder for the saved progress.
    """
    run.watch.lap()
    saved = time.monotonic()
    try:
        with track(f"training to {last:,}", last - first) as update:
            while run.iteration < last:
                accuracy = run.steps(next_report(run.iteration, last))
                update(run.iteration - first, f"batch accuracy {accuracy:.1%}")
                if time.monotonic() - saved >= SAVE_EVERY and run.iteration < last:
                    run.save(scratch)
                    saved = time.monotonic()
    except BaseException:
        run.save(scratch)
        raise


def write_curve(reports: list[Report], work: Workspace) -> FileRef:
    """Write the reports as `curve.parquet`; see `Segment.curve`."""
    table = pa.table(
        {
            "iteration": pa.array([r.iteration for r in reports], pa.int32()),
            "accuracy": pa.array([r.accuracy for r in reports], pa.float32()),
            "loss": pa.array([r.loss for r in reports], pa.float32()),
        }
    )
    pq.write_table(table, work.output("curve.parquet"), compression="zstd")
    return work.finished("curve.parquet")


@stage()
def initialise(work: Workspace, layers: NetworkSettings, shape: Shape, seed: int) -> Network:
    """Write the checkpoint of iteration 0: the network before training.

    Raises:
        PipelineError: the network cannot be built for images of this size.
    """
    check_size(layers, shape)  # before TensorFlow is imported
    load_tensorflow()
    model = build_network(layers, shape, seed)
    # Adam's moments start at zero, whatever its settings.
    state = get_state(model, make_optimizer(model, TrainingSettings()), iteration=0)
    write_tensors(state, work.output("checkpoint.safetensors"))
    checkpoint = work.finished("checkpoint.safetensors")
    return Network(iteration=0, checkpoint=checkpoint, layers=layers, shape=shape)


@stage(label="train-{iterations}")
def train(
    work: Workspace,
    split: Split,
    network: Network,
    training: TrainingSettings,
    iterations: int,
    cycle: int | None = None,
) -> Segment:
    """Train a network up to a total number of iterations.

    Args:
        work: inputs and outputs.
        split: the training split.
        network: the network to start from.
        training: optimizer, batches, augmentation, device.
        iterations: total iterations of the resulting network.
        cycle: iterations of the one-cycle learning rate; None for a constant rate.

    Raises:
        PipelineError: a requested GPU is missing.
    """
    device = choose_device(training)
    data = read_split(work.input(split.file))
    with (
        concurrency_slot("gpu") if device.kind == "GPU" else nullcontext(),
        reuse_compiled(
            make_trainer, network.layers, network.shape, training, cycle, device
        ) as trainer,
        load_tensorflow().device(f"/{device.kind}:0"),
    ):
        log.info(f"training on {describe(device)}")
        saved = load_progress(work.scratch)
        progress = saved or Progress(read_tensors(work.input(network.checkpoint)))
        iteration = trainer.set_state(progress.state)
        if iteration > network.iteration:
            log.info(f"resumed at iteration {iteration}, where an earlier run was interrupted")
        images = resident(data.images[..., np.newaxis], device.kind)
        labels = resident(data.labels, device.kind)
        run = TrainingRun(trainer, training, images, labels, progress, iteration)
        run_until(run, network.iteration, iterations, work.scratch)
        trained = trainer.get_state(run.iteration)

    write_tensors(trained, work.output("checkpoint.safetensors"))
    checkpoint = work.finished("checkpoint.safetensors")
    return Segment(
        network=network.model_copy(update={"iteration": run.iteration, "checkpoint": checkpoint}),
        curve=write_curve(progress.reports, work),
        device=device,
        seconds=round(progress.seconds, 3),
        cpu_seconds=round(progress.cpu_seconds, 3),
    )
