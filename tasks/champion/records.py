"""Records of champions and of challengers that were kept out."""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from tasks.engine.models import FileRef, Record
from tasks.records import Splits
from tasks.words import percent

CHAMPION_ID = r"\d{4,}-[0-9a-f]{12}"

Background = Literal["dark", "light", "mixed"]
"""Brightness of the pixels around the object in the images of a data set."""


class Accuracy(Record):
    """Accuracy of a model on a split."""

    correct: int = Field(ge=0)
    total: int = Field(ge=1)

    @property
    def percent(self) -> str:
        """Return the accuracy in percent with two decimals, e.g. `98.80 %`."""
        return percent(self.correct / self.total)


class TrainingData(Record):
    """The data that a model was trained on."""

    source: str
    """As in the record of `download`."""
    splits: Splits
    """They may have gone from the artifact root since."""
    background: Background
    mnist: bool
    """Whether the training images are MNIST's."""

    def __str__(self) -> str:
        shape, test = self.splits.shape, self.splits.test.file.sha256
        return (
            f"{self.source} ({shape.classes} classes, {shape.height} × {shape.width} pixels,"
            f" {self.background} background, test split {test[:12]})"
        )


class Facts(Record):
    """Facts about a challenger: data, accuracies, settings, versions."""

    data: TrainingData
    validation: Accuracy
    test: Accuracy
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the run that trained it."""
    versions: dict[str, str] = Field(default_factory=dict)


class Entry(Record):
    """One line of the history: a decision on a model, with its reason."""

    action: str
    id: str = Field(pattern=f"^{CHAMPION_ID}$")
    """Number of the decision, from 1, and first 12 digits of the model's SHA-256."""
    facts: Facts
    by: str
    """Flow run or user that decided."""
    when: str
    """ISO 8601 with time zone."""
    why: str

    @property
    def short_digest(self) -> str:
        """The first 12 digits of the model's SHA-256."""
        return self.id.partition("-")[2]

    def __str__(self) -> str:
        scores = f"validation {self.facts.validation.percent}  test {self.facts.test.percent}"
        return f"{self.id}  {self.when}  {scores}  {self.action} by {self.by}: {self.why}"


class Champion(Entry):
    """A model in use from then on; the name of its folder is its id."""

    action: Literal["promoted", "rolled back"]
    model: FileRef
    """Keras file, which challengers are compared with; its digest is in the id."""
    onnx: FileRef
    """The model with its calibrated temperature, for scoring."""
    calibration: FileRef
    """Output of the stage `calibrate`."""

    @property
    def files(self) -> tuple[FileRef, ...]:
        """The files in its folder."""
        return self.model, self.onnx, self.calibration


class KeptOut(Entry):
    """A challenger that did not become the champion."""

    action: Literal["kept out"]


LINE: TypeAdapter[Champion | KeptOut] = TypeAdapter(
    Annotated[Champion | KeptOut, Field(discriminator="action")]
)
