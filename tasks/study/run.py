"""Runs of variants: planned, estimated, and kept in one table.

`studies/runs.csv` in the artifact root has a row for every run of every exercise, failed ones
included.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from tasks.engine.digests import json_sha256
from tasks.engine.models import Record
from tasks.geometry import size_problem
from tasks.model.costs import count_costs
from tasks.records import Evaluation, Network, Segment, Shape
from tasks.settings import NOT_RESULT_SETTINGS, Settings
from tasks.settings.presets import PRESETS
from tasks.study.variants import BY_NAME, Exercise, Variant
from tasks.words import duration, percent

DEFAULT_PRESET = "fast"
"""Preset of a study without --preset: a run takes seconds."""

START_SECONDS, RUN_SECONDS, ITERATION_SECONDS = 12.0, 2.0, 0.008
"""Measured on two quiet cores: start of a process with TensorFlow; initial weights and evaluation
of a run; an iteration of the tutorial's network with batches of 64."""
ITERATION_WORK = 3_363_072 * 64
"""Multiply-adds of that iteration's forward pass."""


class Run(Record):
    """One run of a variant with one seed."""

    exercise: str
    variant: str
    seed: int
    options: str
    """Changed settings as options of the command line."""
    settings: Settings
    repetition: int
    weights_seed: int
    problem: str
    """Why the network cannot be built; empty if it can."""

    @property
    def name(self) -> str:
        """Name of the run for people."""
        return f"{self.exercise}: {self.variant}, seed {self.seed}"

    @property
    def identity(self) -> str:
        """SHA-256 of all that the result depends on; exercises share runs."""
        inputs = self.settings.model_dump(mode="json", exclude=NOT_RESULT_SETTINGS | {"preset"})
        return json_sha256([inputs, self.repetition, self.weights_seed, self.problem])


class RunResult(Record):
    """The numbers of one run; zeros if it has none."""

    test_correct: int = 0
    test_total: int = 0
    validation_correct: int = 0
    validation_total: int = 0
    never_predicted: int = 0
    """Classes of the validation split that are predicted for none of its images."""
    iterations: int = 0
    train_seconds: float = 0.0
    """Wall time of the training when it ran."""
    weights: str = ""
    """First digits of the checkpoint's SHA-256."""
    processor: str = ""
    problem: str = ""
    """Why there are no numbers."""

    @property
    def failed(self) -> bool:
        """Whether the run failed to train: there is a class that it never predicts."""
        return self.never_predicted > 0

    @property
    def test(self) -> float:
        """Accuracy on the test split; reported, never used for a choice."""
        return self.test_correct / self.test_total

    @property
    def validation(self) -> float:
        """Accuracy on the validation split, for choices."""
        return self.validation_correct / self.validation_total

    @property
    def text(self) -> str:
        """The numbers for people."""
        if self.problem:
            return f"failed: {self.problem}"
        seconds = duration(self.train_seconds)
        return f"{percent(self.test)} (validation {percent(self.validation)}) in {seconds}"


class Row(RunResult):
    """One line of the table: a run and its numbers."""

    exercise: str
    variant: str
    seed: int
    options: str
    parameters: int


COLUMNS = list(dict.fromkeys(("exercise", "variant", "seed", *Row.model_fields)))


def summarise_run(
    network: Network, segments: Sequence[Segment], evaluation: Evaluation
) -> RunResult:
    """Return the numbers of a run from the records of its stages."""
    validation, test = evaluation.validation, evaluation.test
    confusion = np.asarray(validation.confusion)
    never = (confusion.sum(axis=1) > 0) & (confusion.sum(axis=0) == 0)
    return RunResult(
        test_correct=test.correct,
        test_total=test.total,
        validation_correct=validation.correct,
        validation_total=validation.total,
        never_predicted=int(never.sum()),
        iterations=network.iteration,
        train_seconds=round(sum(segment.seconds for segment in segments), 2),
        weights=network.checkpoint.sha256[:12],
        processor=segments[-1].device.name if segments else "",
    )


def given_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings that the user gave, without those of the preset."""
    given = settings.model_dump(exclude_unset=True)
    given.setdefault("preset", DEFAULT_PRESET)
    for name, value in PRESETS[given["preset"]].items():
        if isinstance(value, dict):
            mine = given.get(name, {})
            given[name] = {k: v for k, v in mine.items() if v != value.get(k)}
        elif given.get(name) == value:
            del given[name]
    return given


def plan(
    exercises: Iterable[Exercise], settings: Settings, seeds: int | None, shape: Shape
) -> list[Run]:
    """Return the runs of exercises, at most so many seeds of a variant.

    They are in the order of seeds: an interrupted study has some runs of every variant.
    """
    given = given_settings(settings)
    runs = [
        plan_run(exercise.name, variant, given, number, shape)
        for exercise in exercises
        for variant in exercise.variants
        for number in range(min(variant.seeds, seeds or variant.seeds))
    ]
    return sorted(runs, key=lambda run: run.seed)


def plan_run(
    exercise: str, variant: Variant, given: Mapping[str, Any], number: int, shape: Shape
) -> Run:
    """Return the run of a variant with one of the seeds, counted from 0."""
    values = {**given, **variant.changes}
    for group in given.keys() & variant.changes.keys() - {"preset"}:
        values[group] = {**given[group], **variant.changes[group]}
    training = dict(values.get("training", {}))
    first = training.get("seed", 0)
    seed = first + number
    training["seed"] = first if variant.fixed == "order" else seed
    # Only the end matters, and one segment is faster than five.
    schedule = {"milestones": (0,), **values.get("schedule", {})}
    try:
        settings = Settings.model_validate({**values, "training": training, "schedule": schedule})
        problem = size_problem(settings.network, shape.height, shape.width) or ""
    except ValidationError as error:
        settings = Settings()
        problem = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
    return Run(
        exercise=exercise,
        variant=variant.label,
        seed=seed,
        options=options(variant.changes),
        settings=settings,
        repetition=variant.repetition,
        weights_seed=first if variant.fixed == "weights" else seed,
        problem=problem,
    )


def options(changes: Mapping[str, Any]) -> str:
    """Return changed settings as options of the command line."""
    groups = [v if isinstance(v, Mapping) else {name: v} for name, v in changes.items()]
    return " ".join(option(name, value) for group in groups for name, value in group.items())


def option(name: str, value: Any) -> str:
    """Return a setting as an option: `--no-x` for False, `none` for no items."""
    name = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    if isinstance(value, (tuple, list)):
        value = ",".join(map(str, value)) or "none"
    return f"--{name} {value}"


def estimate_seconds(run: Run, shape: Shape) -> float:
    """Return about how long a run takes on two quiet cores."""
    settings = run.settings
    work = settings.training.batch_size * count_costs(settings.network, shape).multiply_adds
    return RUN_SECONDS + settings.schedule.iterations * ITERATION_SECONDS * work / ITERATION_WORK


def table_row(run: Run, result: RunResult, shape: Shape) -> Row:
    """Return the table's row of a run."""
    costs = None if run.problem else count_costs(run.settings.network, shape)
    return Row(
        **result.model_dump(),
        exercise=run.exercise,
        variant=run.variant,
        seed=run.seed,
        options=run.options,
        parameters=costs.parameters if costs else 0,
    )


def write_table(rows: Iterable[Row]) -> str:
    """Return rows as CSV, in the order of the exercises."""
    names, text = list(BY_NAME), io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    ordered = sorted(rows, key=lambda row: names.index(row.exercise))
    writer.writerows(row.model_dump() for row in ordered)
    return text.getvalue()


def read_table(text: str) -> list[Row]:
    """Return the rows of a CSV file; those of exercises that are no more are left out."""
    rows = [Row.model_validate(row) for row in csv.DictReader(io.StringIO(text))]
    return [row for row in rows if row.exercise in BY_NAME]


def replace_rows(before: Iterable[Row], new: Sequence[Row]) -> list[Row]:
    """Return a table with the exercises of the new rows replaced."""
    renewed = {row.exercise for row in new}
    return [*(row for row in before if row.exercise not in renewed), *new]
