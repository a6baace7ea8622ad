"""Saved progress of training, from which an interrupted run resumes.

The scratch folder holds one safetensors file, named by the SHA-256 of its bytes; a file that does
not match its name is ignored. It contains a checkpoint's tensors, the reports and the times so far.
"""

import hashlib
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np
from safetensors.numpy import load

from tasks.model.checkpoint import serialize_tensors

SAVE_EVERY = 5.0  # seconds between two saves: a killed run loses at most about so much


@dataclass(frozen=True)
class Report:
    """Accuracy and loss on a training batch, measured after its update."""

    iteration: int
    accuracy: float
    loss: float


@dataclass
class Progress:
    """Progress of a training segment."""

    state: dict[str, np.ndarray]
    """As in model/checkpoint.py."""
    reports: list[Report] = field(default_factory=list)
    seconds: float = 0.0
    """Wall-clock time of training so far, over all attempts."""
    cpu_seconds: float = 0.0
    """Processor time of the same, over all threads."""


def save_progress(progress: Progress, folder: Path) -> None:
    """Save the progress in a folder, and then delete the earlier one."""
    reports = progress.reports
    content = serialize_tensors(
        {
            **progress.state,
            "reports/iteration": np.array([r.iteration for r in reports], np.int64),
            "reports/accuracy": np.array([r.accuracy for r in reports], np.float64),
            "reports/loss": np.array([r.loss for r in reports], np.float64),
            "seconds": np.array(progress.seconds, np.float64),
            "cpu_seconds": np.array(progress.cpu_seconds, np.float64),
        }
    )
    folder.mkdir(exist_ok=True)
    before = list(folder.iterdir())
    saved = folder / f"{hashlib.sha256(content).hexdigest()}.safetensors"
    temporary = saved.with_suffix(".tmp")
    temporary.write_bytes(content)
    temporary.replace(saved)
    for path in before:
        if path != saved:
            path.unlink()


def load_progress(folder: Path) -> Progress | None:
    """Load the progress from a folder; None if there is no intact file."""
    for path in folder.glob("*.safetensors"):
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != path.stem:
            continue
        state = load(content)
        seconds, cpu_seconds = (float(state.pop(name)) for name in ("seconds", "cpu_seconds"))
        columns = [
            state.pop(f"reports/{name}").tolist() for name in ("iteration", "accuracy", "loss")
        ]
        reports = [Report(*row) for row in zip(*columns, strict=True)]
        return Progress(state, reports, seconds, cpu_seconds)
    return None


POSTPONED = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


@contextmanager
def postponed_signals() -> Iterator[None]:
    """Delay SIGINT, SIGTERM and SIGALRM (Prefect's time limit) until the end of the block.

    So the work of the block is never interrupted half-way, and the state can be saved.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python handles signals in the main thread only
        return
    arrived: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)

    before = {number: signal.signal(number, note) for number in POSTPONED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if arrived:
        signal.raise_signal(arrived[0])
