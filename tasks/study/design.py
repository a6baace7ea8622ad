"""What a study is: a question, variants of the settings, seeds, a budget."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from tasks.engine.digests import json_sha256
from tasks.engine.models import Record
from tasks.settings import WHERE_AND_HOW_AGAIN, Settings
from tasks.settings.presets import PRESETS, Preset

DEFAULT_PRESET: Preset = "fast"
"""What variants differ from, where nothing else is said: a run takes seconds."""

Changes = Mapping[str, Any]
"""Groups of settings and the values that are set in them, as in a preset; `preset` itself too."""


class Variant(Record):
    """One way to train, compared with the others."""

    name: str
    changes: dict[str, Any] = Field(default_factory=dict)
    """Against the settings that the study starts from."""
    times: int = 1
    """Trains for so many times the study's iterations, on from a run with once as many."""
    again: int = 0
    """Each number trains anew, whatever is kept: the same settings, once more."""
    fixed: Literal["none", "weights", "order"] = "none"
    """What is the first seed's for all seeds: the initial weights, or the order of images."""


class Search(Record):
    """Many small networks, chosen one after the other by what came of those before."""

    trials: int
    at_a_time: int
    """Trials that are chosen before any of them has run: not how many run at the same time, so
    that the same ones are chosen on every machine."""
    seed: int = 0
    tolerance: float = 0.01
    """A result is good if its validation accuracy is at most so far below that of the first
    variant."""


class Study(Record):
    """A question, and the runs that answer it."""

    number: int
    """Of the exercise."""
    name: str
    question: str
    variants: tuple[Variant, ...]
    """The first is what the others are compared with."""
    iterations: int | None = None
    """Training iterations, where nothing is said; None: those of the preset."""
    search: Search | None = None
    shows_activations: bool = False
    """Whether the number of values that go through the activation is part of the answer."""


class Job(Record):
    """One run: a variant with one seed."""

    name: str
    """Of the subflow."""
    settings: Settings
    again: int = 0
    weights_seed: int

    @property
    def identity(self) -> str:
        """The same for jobs that compute the same."""
        what = self.settings.model_dump(mode="json", exclude=WHERE_AND_HOW_AGAIN | {"preset"})
        return json_sha256([what, self.again, self.weights_seed])


def given_settings(settings: Settings) -> dict[str, Any]:
    """The settings that were given, without those that their preset brings along."""
    said = settings.model_dump(exclude_unset=True)
    said.setdefault("preset", DEFAULT_PRESET)
    for group, values in PRESETS[said["preset"]].items():
        own = {k: v for k, v in said.get(group, {}).items() if v != values.get(k)}
        said[group] = own
    return said


def merge(below: Changes, above: Changes) -> dict[str, Any]:
    """Two sets of values, group by group; what stands in the second wins."""
    merged = dict(below)
    for name, value in above.items():
        known = merged.get(name)
        both = isinstance(value, Mapping) and isinstance(known, Mapping)
        merged[name] = {**known, **value} if both and known is not None else value
    return merged


def make_job(study: Study, variant: Variant, said: Changes, number: int) -> Job:
    """The run of a variant with one of the seeds.

    Args:
        study: names the budget.
        variant: what is changed.
        said: settings of all variants, see `given_settings`.
        number: which of the seeds, from 0; they follow each other.

    Raises:
        ValidationError: the settings contradict each other, or the network cannot be built.
    """
    values = merge(said, variant.changes)
    training, schedule = dict(values.get("training", {})), dict(values.get("schedule", {}))
    first = training.get("seed", 0)
    seed = first + number
    training["seed"] = first if variant.fixed == "order" else seed
    if study.iterations is not None:
        schedule.setdefault("iterations", study.iterations)
    settings = Settings.model_validate({**values, "training": training, "schedule": schedule})
    once = settings.schedule.iterations
    schedule |= {"iterations": once * variant.times, "milestones": (once,)}
    settings = Settings.model_validate({**values, "training": training, "schedule": schedule})
    return Job(
        name=f"{study.name}: {variant.name}, seed {seed}",
        settings=settings,
        again=variant.again,
        weights_seed=first if variant.fixed == "weights" else seed,
    )
