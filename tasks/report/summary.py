"""The numbers of one run: what metrics.json holds and the page shows."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tasks.records import Device, Metrics
from tasks.stage import StageOutcome


class Facts(BaseModel):
    model_config = ConfigDict(frozen=True)


class Score(Facts):
    """How many images of a split were classified correctly."""

    correct: int
    total: int
    accuracy: float = Field(description="correct / total, from 0 to 1")


class Milestone(Score):
    """Test accuracy after so many training iterations."""

    iteration: int
    train_seconds: float = Field(
        description="what the training up to here took when it ran, in seconds"
    )


class Earlier(Score):
    """What the run before reached on the same test images."""

    finished: str = Field(description="ISO 8601 with time zone")
    same_predictions: bool = Field(description="whether every image was classified the same")


class Summary(Facts):
    """One run in numbers."""

    test: Score
    before: Earlier | None = Field(
        None, description="the run before, if it was tested on the same images"
    )
    milestones: list[Milestone]
    confusion_matrix: list[list[int]] = Field(description="classes × classes, rows true")
    class_names: list[str]
    metrics: Metrics = Field(description="by class and by confidence")
    train_seconds: float
    seed: int
    device: Device
    settings: dict[str, Any]
    data_source: str
    versions: dict[str, str]
    stages: list[StageOutcome]
    test_sha256: str = Field(description="digest of test.parquet")
    predictions_sha256: str = Field(description="digest of predictions.parquet")
    finished: str = Field(description="ISO 8601 with time zone")
