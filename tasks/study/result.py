"""Result of one run of a variant."""

import datetime
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from tasks.engine.models import Record
from tasks.engine.store import Store
from tasks.model.prediction_table import class_probabilities, read_predictions
from tasks.records import Device, Evaluation, Network, Probe, Segment


class CurvePoint(Record):
    """Accuracy of a run after a number of iterations."""

    iteration: int
    validation: float


class RunResult(Record):
    """The numbers of one run."""

    test: float
    """Accuracy on the test split; reported, never used for a choice."""
    test_images: int
    validation: float
    """Accuracy on the validation split, for choices."""
    iterations: int
    train_seconds: float
    """Wall time of all iterations when they ran."""
    work_seconds: float
    """Processor time of all iterations; wall time if a GPU has trained."""
    device: Device | None
    """None if nothing was trained."""
    weights: str
    """SHA-256 of the checkpoint at the end."""
    predictions: str
    """SHA-256 of the predictions for the test split."""
    lowest_classes: float
    """Mean number of classes that share the lowest probability of a test image."""
    never_predicted: int
    """Number of classes of the validation split that are predicted for none of its images."""

    folder: str = ""
    """Folder of the checkpoint at the end, relative to the artifact root."""
    trained: str = ""
    """Time when training ended, ISO 8601; empty if it is not known, as in a root at a URL."""
    training: float | None = None
    """Accuracy on all training images, if the study asks for it."""
    curve: tuple[CurvePoint, ...] = ()
    """Accuracy after each segment of training."""
    probe: Probe | None = None
    """Outputs and gradients before training, if the study asks for them."""

    @property
    def failed(self) -> bool:
        """Whether the run failed to train: there is a class that the network never predicts."""
        return self.never_predicted > 0

    @property
    def milliseconds(self) -> float:
        """Milliseconds of work per iteration."""
        return 1000 * self.work_seconds / max(self.iterations, 1)


def lowest_classes(probabilities: np.ndarray) -> float:
    """Return the mean number of classes that share the lowest probability.

    It is more than one where logits are equal.

    Args:
        probabilities: float [n, classes].
    """
    lowest = probabilities.min(axis=1, keepdims=True)
    return float((probabilities == lowest).sum(axis=1).mean())


def never_predicted(confusion: Sequence[Sequence[int]]) -> int:
    """Return the number of classes that have images, but are never predicted.

    Args:
        confusion: images by class, rows true, columns predicted.
    """
    predicted = np.sum(confusion, axis=0)
    return int(np.count_nonzero((np.sum(confusion, axis=1) > 0) & (predicted == 0)))


def work_seconds(segment: Segment) -> float:
    """Return the seconds of work of a training segment; see `RunResult.work_seconds`."""
    return segment.cpu_seconds if segment.device.kind == "CPU" else segment.seconds


def summarise_run(
    store: Store,
    network: Network,
    segments: Sequence[Segment],
    evaluations: Sequence[Evaluation],
    probed: Probe | None = None,
) -> RunResult:
    """Return the numbers of a run from the records of its stages.

    Args:
        store: where the files of the records are.
        network: the trained network.
        segments: the stretches of training; none if nothing is trained.
        evaluations: after each segment.
        probed: outputs and gradients before training.
    """
    validation, test = evaluations[-1].validation, evaluations[-1].test
    predictions = read_predictions(store.path(test.predictions))
    last = segments[-1] if segments else None
    return RunResult(
        test=test.correct / test.total,
        test_images=test.total,
        validation=validation.correct / validation.total,
        iterations=network.iteration,
        train_seconds=round(sum(segment.seconds for segment in segments), 3),
        work_seconds=round(sum(map(work_seconds, segments)), 3),
        device=last.device if last else None,
        weights=network.checkpoint.sha256,
        folder=str(PurePosixPath(network.checkpoint.path).parent),
        trained="" if store.remote else written_at(store.path(network.checkpoint)),
        predictions=test.predictions.sha256,
        lowest_classes=lowest_classes(class_probabilities(predictions)),
        never_predicted=never_predicted(validation.confusion),
        curve=tuple(
            CurvePoint(
                iteration=one.iteration, validation=one.validation.correct / one.validation.total
            )
            for one in evaluations
        ),
        probe=probed,
    )


def written_at(path: Path) -> str:
    """Return when a file was written, ISO 8601 with time zone."""
    moment = datetime.datetime.fromtimestamp(path.stat().st_mtime).astimezone()
    return moment.isoformat(timespec="seconds")


Outcome = RunResult | str | None
"""Outcome of one job: its result, the reason of its failure, or None if it has not been run."""
