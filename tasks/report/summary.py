"""Numbers of one run, as written to metrics.json and shown on the page."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tasks.engine import StageOutcome, Store
from tasks.engine.layout import LATEST
from tasks.records import Device, Dropped, Finding, LabelCheck, Metrics, SplitFacts
from tasks.runtime.errors import PipelineError


class FrozenModel(BaseModel):
    """Base class of the frozen models in metrics.json."""

    model_config = ConfigDict(frozen=True)


class Score(FrozenModel):
    """Number of correctly classified images of a split."""

    correct: int
    total: int
    accuracy: float = Field(description="correct / total, from 0 to 1")


class Milestone(Score):
    """Test accuracy after a number of training iterations, and validation accuracy beside it."""

    iteration: int
    validation: Score
    train_seconds: float = Field(
        description="cumulative training time, in seconds, when it was measured"
    )


class PreviousRun(FrozenModel):
    """Validation accuracy of the previous run on the same validation images."""

    number: int
    name: str
    validation: Score
    finished: str = Field(description="ISO 8601 with time zone")
    same_predictions: bool = Field(description="whether every test image was classified the same")


class LabelIssue(FrozenModel):
    """A label that the network contradicts with confidence."""

    split: str
    index: int = Field(description="row in the original file")
    label: str = Field(description="name of the class")
    suggested: str = Field(description="class that the network finds most probable")
    label_probability: float
    suggested_probability: float


class DataFacts(FrozenModel):
    """Facts about the data, before and after training."""

    splits: list[SplitFacts] = Field(description="train, validation and test, with all images")
    findings: list[Finding]
    dropped: list[Dropped] = Field(description="images left out, if --drop was given")
    labels: list[LabelCheck] = Field(description="doubtful labels in each split")
    most_doubtful: list[LabelIssue] = Field(description="the most contradicted labels")


class Summary(FrozenModel):
    """Numbers of one run."""

    name: str = Field("", description="given with --name")
    number: int = Field(0, description="of the run, in the order of `pipeline.py runs`")
    validation: Score = Field(description="what runs are compared by")
    test: Score = Field(description="reported once: nothing is chosen by it")
    before: PreviousRun | None = Field(
        None, description="previous run, if its validation images are the same"
    )
    milestones: list[Milestone]
    confusion_matrix: list[list[int]] = Field(description="classes × classes, rows true")
    class_names: list[str]
    metrics: Metrics = Field(description="by class and by confidence")
    training_images: int = Field(description="drawn ones included")
    train_seconds: float
    seed: int
    device: Device
    settings: dict[str, Any]
    data_source: str
    data: DataFacts
    data_notes: list[str] = Field([], description="what was done to the data on the way")
    versions: dict[str, str]
    stages: list[StageOutcome]
    validation_sha256: str = Field(description="digest of validation.parquet")
    test_sha256: str = Field(description="digest of test.parquet")
    predictions_sha256: str = Field(description="digest of predictions.parquet")
    finished: str = Field(description="ISO 8601 with time zone")


def keys_of_latest(store: Store) -> frozenset[str]:
    """Return the keys of the stage runs behind the latest report; empty if there is none.

    Raises:
        PipelineError: the report cannot be read.
    """
    name = f"{LATEST}/report/metrics.json"
    if not store.has_latest():
        return frozenset()
    try:
        return frozenset(stage["key"] for stage in json.loads(store.read(name))["stages"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise PipelineError(
            f"{store.address}/{name} cannot be read, so nothing is removed: make it again with a"
            " run"
        ) from error
