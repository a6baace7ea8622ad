"""What a stretch of training leaves in its scratch folder, so that a killed run goes on there.

One safetensors file, named by the SHA-256 of its bytes: what does not match its name is not
used. It holds a checkpoint's tensors and, beside them, what has been reported so far.
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
from safetensors.numpy import load, save

SAVE_EVERY = 5.0  # seconds of training that a killed run may lose


@dataclass(frozen=True)
class Report:
    """How the network does on the batch that it was just trained on, after the update."""

    iteration: int
    accuracy: float
    loss: float


@dataclass
class Progress:
    """How far a stretch of training has come."""

    state: dict[str, np.ndarray]
    """As in model/checkpoint.py."""
    reports: list[Report] = field(default_factory=list)
    seconds: float = 0.0
    """Training time so far, over all tries."""
    cpu_seconds: float = 0.0
    """Processor time of that, of all threads."""


def save_progress(progress: Progress, folder: Path) -> None:
    """Keep the progress in a folder, in place of what was kept there before."""
    reports = progress.reports
    content = save(
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
    """The progress that is kept in a folder; None if there is none that is whole."""
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


@contextmanager
def postponed_signals() -> Iterator[None]:
    """Let an interruption (Ctrl-C, SIGTERM) arrive only at the end of the block.

    What is done in the block is then either done or not begun, and can be saved.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals arrive in the main thread alone
        return
    arrived: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if arrived:
        signal.raise_signal(arrived[0])
