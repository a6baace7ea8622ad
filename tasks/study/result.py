"""What one run of a variant gave."""

import numpy as np
import pyarrow.parquet as pq

from tasks.engine.models import Record
from tasks.engine.store import Store
from tasks.records import Device, Evaluation, Segment


class RunResult(Record):
    """One run in numbers."""

    test: float
    """Accuracy on the test split; reported, and nothing is chosen by it."""
    test_images: int
    validation: float
    """Accuracy on the validation split: what a choice may look at."""
    iterations: int
    train_seconds: float
    """Of all iterations, when they ran, by the clock."""
    work_seconds: float
    """The same in processor time, or by the clock if a GPU has trained."""
    device: Device | None
    """None if nothing was trained."""
    weights: str
    """SHA-256 of the checkpoint at the end."""
    predictions: str
    """SHA-256 of the predictions for the test split."""
    lowest_classes: float
    """How many classes share the lowest probability, on average over the test images."""

    @property
    def milliseconds(self) -> float:
        """Of work, per iteration."""
        return 1000 * self.work_seconds / max(self.iterations, 1)


def lowest_classes(probabilities: np.ndarray) -> float:
    """How many classes share the lowest probability: more than one, where logits are equal.

    Args:
        probabilities: float [n, classes].
    """
    lowest = probabilities.min(axis=1, keepdims=True)
    return float((probabilities == lowest).sum(axis=1).mean())


def work_seconds(segment: Segment) -> float:
    """What a stretch of training cost the processor that trained."""
    return segment.cpu_seconds if segment.device.kind == "CPU" else segment.seconds


def summarise_run(
    store: Store,
    segments: tuple[Segment, ...],
    weights: str,
    validation: Evaluation,
    test: Evaluation,
) -> RunResult:
    """The numbers of a run, from the records of its stages."""
    table = pq.ParquetFile(store.path(test.predictions)).read()
    columns = [name for name in table.column_names if name[0] == "p" and name[1:].isdigit()]
    probabilities = np.array([table[name].to_pylist() for name in columns], np.float32).T
    return RunResult(
        test=test.correct / test.total,
        test_images=test.total,
        validation=validation.correct / validation.total,
        iterations=test.iteration,
        train_seconds=round(sum(segment.seconds for segment in segments), 3),
        work_seconds=round(sum(map(work_seconds, segments)), 3),
        device=segments[-1].device if segments else None,
        weights=weights,
        predictions=test.predictions.sha256,
        lowest_classes=lowest_classes(probabilities),
    )
