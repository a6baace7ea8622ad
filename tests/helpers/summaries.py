"""Numbers of made-up runs."""

from typing import Any

from tasks.engine.executors import StageOutcome
from tasks.records import ClassMetrics, ConfusedPair, Device, LabelCheck, Metrics, SplitFacts
from tasks.report.summary import DataFacts, LabelIssue, Milestone, Score, Summary
from tasks.settings import NOT_RESULT_SETTINGS, NetworkSettings, Settings, TrainingSettings

DIGITS = [str(i) for i in range(10)]
MNIST_CLASSES = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
KEYS = ["ab12" * 16, "cd34" * 16]


def score(correct: int, total: int) -> dict[str, Any]:
    return {"correct": correct, "total": total, "accuracy": correct / total}


def milestone(iteration: int, correct: int, total: int = 10_000, seconds: float = 0) -> Milestone:
    validation = Score(**score(total // 2 - iteration // 1000, total // 2))
    return Milestone(
        iteration=iteration, validation=validation, train_seconds=seconds, **score(correct, total)
    )


def mnist_matrix() -> list[list[int]]:
    """Return a confusion matrix with 12 images of each class classified as the next one."""
    matrix = [[0] * 10 for _ in DIGITS]
    for i, count in enumerate(MNIST_CLASSES):
        matrix[i][i] = count - 12
        matrix[i][(i + 1) % 10] = 12
    return matrix


def metrics(classes: int = 10) -> Metrics:
    """Return equal metrics for all classes but the last, which has no images."""
    known = ClassMetrics(support=1_000, precision=0.99, recall=0.985, f1=0.9875)
    unknown = ClassMetrics(support=0, precision=None, recall=None, f1=None)
    return Metrics(
        classes=(*[known] * (classes - 1), unknown),
        confused=(ConfusedPair(true=0, predicted=1, count=12),),
        bins=(),
        calibration_error=0.0123,
    )


def data(classes: int = 10, **changes: Any) -> DataFacts:
    """A sound data set: 500 training, 40 validation and 80 test images of each class."""
    sizes = {"train": 500, "validation": 40, "test": 80}
    facts: dict[str, Any] = {
        "splits": [
            SplitFacts(
                name=name,
                classes=(size,) * classes,
                grey_levels=256,
                darkest=0,
                lightest=255,
                light_ground=0,
            )
            for name, size in sizes.items()
        ],
        "findings": [],
        "dropped": [],
        "labels": [
            LabelCheck(name=name, images=classes * size, correct=classes * size - 7, doubtful=3)
            for name, size in sizes.items()
        ],
        "most_doubtful": [
            LabelIssue(
                split="train",
                index=1234,
                label="7",
                suggested="1",
                label_probability=0.001,
                suggested_probability=0.9876,
            )
        ],
    }
    return DataFacts(**facts | changes)


def summary(**changes: Any) -> Summary:
    facts: dict[str, Any] = {
        "number": 12,
        "validation": Score(**score(4_931, 5_000)),
        "training_images": 60_500,
        "test": Score(**score(9880, 10_000)),
        "milestones": [
            milestone(0, 977),
            milestone(1_000, 9_330, seconds=40.25),
            milestone(2_000, 9_500, seconds=83.0),
            milestone(10_000, 9_880, seconds=3_725.0),
        ],
        "confusion_matrix": mnist_matrix(),
        "class_names": DIGITS,
        "metrics": metrics(),
        "train_seconds": 392.7,
        "seed": 4711,
        "device": Device(kind="CPU", name="Imaginary 9000", reason="TensorFlow sees no GPU"),
        "settings": Settings(
            training=TrainingSettings(seed=4711, learning_rate=3e-3),
            network=NetworkSettings(dense=(64, 32)),
        ).model_dump(mode="json", exclude=NOT_RESULT_SETTINGS),
        "data_source": "https://mirror.invalid/mnist/",
        "data": data(),
        "versions": {"tensorflow": "2.20.1", "numpy": "2.4.6"},
        "stages": [
            StageOutcome(
                name="download", key=KEYS[0], state="cached", seconds=0.01, computed_in=3, reason=""
            ),
            StageOutcome(
                name="train",
                key=KEYS[1],
                state="ran",
                seconds=125,
                computed_in=124,
                reason="no record",
            ),
        ],
        "validation_sha256": "c" * 64,
        "test_sha256": "a" * 64,
        "predictions_sha256": "b" * 64,
        "finished": "2026-01-31T14:05:09+00:00",
    }
    return Summary(**facts | changes)
