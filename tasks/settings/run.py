"""All settings of a run, of promotion and of scoring."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from tasks.geometry import known_side, size_problem
from tasks.runtime.threads import DEFAULT_THREADS
from tasks.settings.base import BatchSize, Commas, Numbers, Root, Share, StageSettings
from tasks.settings.data import AuditSettings, ConvertSettings, DownloadSettings
from tasks.settings.network import NetworkSettings
from tasks.settings.presets import PRESETS, Preset
from tasks.settings.training import EvaluationSettings, ScheduleSettings, TrainingSettings

NOT_RESULT_SETTINGS = {"name", "artifacts", "refresh"}
"""Settings that do not influence results: where they are stored and computed."""
Insight = Literal["excite", "attribute", "embed", "none"]
DEFAULT_OUT = Path("predictions.parquet")
"""Predictions file of a run outside a terminal, if none is named."""
DEFAULT_CHAMPION = "default"
CHAMPION_NAME = "[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
"""Pattern of names that are plain folder names everywhere."""
ChampionName = Annotated[str, Field(pattern=f"^{CHAMPION_NAME}$")]


def given(values: Any) -> dict[str, Any]:
    """Return the values of a group of settings that were given, as a dictionary."""
    if isinstance(values, BaseModel):
        return values.model_dump(exclude_unset=True)
    return dict(values or {})


class FigureSettings(StageSettings):
    """Contents of the figures."""

    test_images: Numbers = Field(
        (0, 13), description="Test images whose way through the network is drawn."
    )
    conv2_channels: Numbers = Field(
        (0, 1), description="Input channels of conv2 whose filters are drawn."
    )
    insights: Annotated[tuple[Insight, ...], Commas] = Field(
        ("excite", "attribute", "embed"),
        description="Looks into the trained network, each a stage of its own; 'none' for none."
        " excite (3 s): the input that excites each class most; attribute (3 s): which pixels"
        " speak for the wrong and for the true class; embed (9 s): a map of the test images as"
        " the last hidden layer sees them. Seconds on two cores, for MNIST.",
    )

    @field_validator("insights")
    @classmethod
    def none_stands_alone(cls, value: tuple[Insight, ...]) -> tuple[Insight, ...]:
        if "none" in value:
            raise ValueError("should be none alone, or excite, attribute, embed")
        return value


class RetrainSettings(StageSettings):
    """Limits of the promotion rule; see champion/rule.py."""

    champion: ChampionName = Field(
        DEFAULT_CHAMPION,
        description="Name of the champion to compare with, made of letters, digits, - and _."
        " Champions of several data sets live side by side under names of their own.",
    )
    floor: Share = Field(0.97, description="Validation accuracy that every champion must reach.")
    alpha: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05,
        description="A challenger that is worse than the champion with a p-value below this (exact"
        " one-sided McNemar test on the validation split) is kept out.",
    )
    margin: Share = Field(
        0.001,
        description="How far below that of the best champion so far a challenger's validation"
        " accuracy may be.",
    )
    seed_policy: Literal["fixed", "date"] = Field(
        "fixed",
        description="'fixed' trains with --seed; 'date' with the day that the run is scheduled"
        " for, as in 20260131 (UTC), so that each run brings a new challenger.",
    )
    new_task: bool = Field(
        False,
        description="Let a challenger that was trained on data of another kind (number of"
        " classes, image size, ground, source) replace the champion without a comparison.",
    )


class ScoreSettings(StageSettings):
    """Settings of scoring images with the champion."""

    out: Path | None = Field(
        None,
        description="File to write, Parquet, with the probability of every class. Default: none in"
        " a terminal, else predictions.parquet.",
    )
    contact_sheet: Path | None = Field(
        None,
        description="PNG to write: each picture as it came, as the network saw it, and the answer;"
        " the first 200.",
    )
    fit: Literal["auto", "mnist", "none"] = Field(
        "auto",
        description="mnist: pictures of any size are brought into the form of MNIST's digits; auto"
        " does so for a champion of MNIST, and leaves alone what is in that form already (of other"
        " champions' pictures only the ground is inverted, if theirs is another); none: pictures"
        " are taken as they are.",
    )
    champion: ChampionName = Field(DEFAULT_CHAMPION, description="Name of the champion.")
    model: Literal["champion", "latest"] = Field(
        "champion", description="latest: score with the network of the last run, not the champion."
    )
    batch: BatchSize = Field(1024, description="Pictures in memory at a time.")
    artifacts: Root | None = Field(
        None,
        description="Folder or URL that holds the champion. Default: artifacts/ beside this"
        " project.",
    )


class Settings(StageSettings):
    """All settings of a run."""

    preset: Preset = Field(
        "tutorial",
        description="Settings that go together, unless other values are given: tutorial (98.7 % in"
        " 10,000 iterations), fast (the same network, 99 % in a 25th of the time), or best (a"
        " larger network, 99.67 % in 6 to 15 minutes on two cores). In a form, a field that is"
        " filled in counts as given.",
    )
    name: str = Field(
        "",
        pattern=r"^[\w .,+=-]{0,60}$",
        description="Name of the run in lists and comparisons of runs, such as a word on what is"
        " tried.",
    )
    schedule: ScheduleSettings = ScheduleSettings()
    training: TrainingSettings = TrainingSettings()
    network: NetworkSettings = NetworkSettings()
    download: DownloadSettings = DownloadSettings()
    convert: ConvertSettings = ConvertSettings()
    audit: AuditSettings = AuditSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    figures: FigureSettings = FigureSettings()
    drawn: Share = Field(
        0.0,
        description="Digits drawn from strokes, in forms that people outside the United States"
        " write, are added to MNIST's training images: this share of their number.",
    )
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
    refresh: Annotated[tuple[str, ...], Commas] = Field(
        (),
        description="Stages to run again regardless of the cache, by their names in --status; later"
        " stages run if the new bytes differ. Alone, or with `all`: every stage.",
    )

    @model_validator(mode="before")
    @classmethod
    def put_preset_below(cls, values: Any) -> Any:
        """Use the preset's values where no others are given."""
        if not isinstance(values, dict) or values.get("preset", "tutorial") not in PRESETS:
            return values
        preset = PRESETS[values.get("preset", "tutorial")]
        return values | {
            name: own | given(values.get(name)) if isinstance(own, dict) else values.get(name, own)
            for name, own in preset.items()
        }

    @model_validator(mode="after")
    def network_fits_the_images(self) -> Self:
        """Check the network if the image size is known; otherwise `initialise` checks it."""
        data = self.download
        side = known_side(data.source, data.digests, data.image_size)
        if side and (fault := size_problem(self.network, side, side)):
            raise ValueError(fault)
        return self

    @property
    def title(self) -> str:
        """What a run is called in Prefect's UI."""
        return f"{self.name or self.preset}, seed {self.training.seed}"

    @property
    def cycle(self) -> int | None:
        """Iterations of the learning rate's one cycle; None if it is constant."""
        one_cycle = self.training.rate_schedule == "one-cycle"
        return self.schedule.iterations if one_cycle else None
