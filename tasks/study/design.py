"""Studies as values: a question, variants of the settings, a budget."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from tasks.engine.digests import json_sha256
from tasks.engine.models import Record
from tasks.settings import NOT_RESULT_SETTINGS, Settings
from tasks.settings.presets import PRESETS, Preset
from tasks.study.answer import Conclusion, Row, StudyAnswer
from tasks.study.conclusions import compare_with_first

DEFAULT_PRESET: Preset = "fast"
"""Preset of a study without --preset: a run takes seconds."""

CURVE_PARTS = (8, 4, 2, 1)
"""A run of a constant learning rate is evaluated after these parts of its iterations: a learning
curve. With another schedule, what comes before the end says little."""

Changes = Mapping[str, Any]
"""Values of settings by group, as in a preset; may hold `preset` itself."""

Rule = Callable[[StudyAnswer, Sequence[Row]], Conclusion]
"""Rule that turns an answer and its rows with results into sentences."""


class Variant(Record):
    """One way to train, compared with the others."""

    name: str
    changes: dict[str, Any] = Field(default_factory=dict)
    """Changes of the settings that the study starts from."""
    times: int = 1
    """Multiple of the study's iterations; training goes on from a run with one times as many."""
    repetition: int = 0
    """Trains again with the same settings, under a cache entry of its own for each number."""
    fixed: Literal["none", "weights", "order"] = "none"
    """Keeps the initial weights, or the order of images, of the first seed for all seeds."""
    curve: str = ""
    """Name of the curve in the plot that the variant is a point of; empty for none."""
    x: float = 0.0
    """Its place on that curve."""
    compares: bool = True
    """Whether it is compared with the first variant; otherwise, it is only a point of a curve."""
    most_seeds: int | None = None
    """Upper limit of seeds for an expensive variant; None: as many as the study has."""


class Search(Record):
    """A search for a small network; each choice depends on the results before."""

    trials: int
    batch_size: int
    """Number of trials that are chosen before any of them runs. It does not depend on the number of
    workers, so every machine chooses the same trials."""
    seed: int = 0
    goals: tuple[float, ...]
    """Validation accuracies, descending. Of each, the smallest network that reaches it is run with
    every seed."""
    times: int = 1
    """Multiple of the study's iterations that each network is trained for."""


class Study(Record):
    """A question, the runs that answer it, and the rule of its conclusions."""

    number: int
    """Number of the exercise."""
    name: str
    question: str
    variants: tuple[Variant, ...]
    """The first is the reference of the others."""
    rule: Rule = compare_with_first
    iterations: int | None = None
    """Default of --iterations; None: the preset's."""
    search: Search | None = None
    most_seeds: int | None = None
    """Upper limit of seeds for an expensive study; None: as many as --seeds allows."""
    compares: bool = True
    """Whether variants are compared with the first; otherwise, seeds end with the first look."""
    probes: bool = False
    """Whether outputs and gradients before training, and the accuracy on the training images after
    it, are computed, with the first seed."""
    shows_activations: bool = False
    """Whether the table has the number of values that go through the activation."""
    x_label: str = ""
    """Name of what the curves of the plot are over."""
    shows_sizes: bool = False
    """Whether the plot shows the variants by their number of parameters."""
    shows_learning: bool = False
    """Whether the plot shows learning curves."""


class Job(Record):
    """One run of a variant, with one seed."""

    name: str
    """Name of the subflow's run."""
    settings: Settings
    repetition: int = 0
    weights_seed: int
    probes: bool = False
    """See `Study.probes`."""

    @property
    def identity(self) -> str:
        """SHA-256 of all that the job's result depends on."""
        inputs = self.settings.model_dump(mode="json", exclude=NOT_RESULT_SETTINGS | {"preset"})
        return json_sha256([inputs, self.repetition, self.weights_seed, self.probes])


def given_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings that the user gave, without those of the preset."""
    given = settings.model_dump(exclude_unset=True)
    given.setdefault("preset", DEFAULT_PRESET)
    for group, values in PRESETS[given["preset"]].items():
        given[group] = {k: v for k, v in given.get(group, {}).items() if v != values.get(k)}
    return given


def merge(below: Changes, above: Changes) -> dict[str, Any]:
    """Merge two sets of values group by group; the second one wins."""
    merged = dict(below)
    for name, value in above.items():
        known = merged.get(name)
        both = isinstance(value, Mapping) and isinstance(known, Mapping)
        merged[name] = {**known, **value} if both and known is not None else value
    return merged


def make_job(study: Study, variant: Variant, given: Changes, number: int) -> Job:
    """Return the run of a variant with one of the seeds.

    Args:
        study: study of the variant; its name and iterations are used.
        variant: variant to run.
        given: settings of all variants, see `given_settings`.
        number: number of the seed, from 0; it is added to the first seed.

    Raises:
        ValidationError: the settings contradict each other, or the network cannot be built.
    """
    values = merge(given, variant.changes)
    training, schedule = dict(values.get("training", {})), dict(values.get("schedule", {}))
    first = training.get("seed", 0)
    seed = first + number
    training["seed"] = first if variant.fixed == "order" else seed
    if study.iterations is not None:
        schedule.setdefault("iterations", study.iterations)
    settings = Settings.model_validate({**values, "training": training, "schedule": schedule})
    once = settings.schedule.iterations
    constant = settings.training.rate_schedule == "constant"
    milestones = [once // part for part in CURVE_PARTS] if constant else [once]
    schedule |= {"iterations": once * variant.times, "milestones": milestones}
    settings = Settings.model_validate({**values, "training": training, "schedule": schedule})
    return Job(
        name=f"{study.name}: {variant.name}, seed {seed}",
        settings=settings,
        repetition=variant.repetition,
        weights_seed=first if variant.fixed == "weights" else seed,
        probes=study.probes and number == 0,
    )
