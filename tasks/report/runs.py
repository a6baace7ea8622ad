"""Runs that are kept: numbers, settings, learning curve and validation errors of each.

A run is a small JSON file, `runs/000012.json` below the artifact root. It holds all that a
comparison needs but the images.
"""

import difflib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationError

from tasks.engine import Store
from tasks.engine.layout import RUNS
from tasks.engine.models import FileRef
from tasks.report.summary import FrozenModel, Summary
from tasks.runtime.errors import PipelineError
from tasks.settings import Settings
from tasks.statistics import wilson_interval
from tasks.words import duration, joined, percent, percent_interval

FILE = re.compile(r"(\d{6,})\.json")


class Curve(FrozenModel):
    """The measured training batches."""

    iteration: list[int]
    accuracy: list[float]
    loss: list[float | None] = Field(description="None where it is not finite")


class KeptRun(FrozenModel):
    """A run as it is kept."""

    summary: Summary
    curve: Curve
    validation: FileRef = Field(description="the validation split")
    errors: list[tuple[int, int, int]] = Field(
        description="misclassified validation images: place in the split, true class, predicted"
    )

    @property
    def title(self) -> str:
        """Number and name."""
        summary = self.summary
        return f"run {summary.number}{f' ({summary.name})' if summary.name else ''}"

    @property
    def options(self) -> list[str]:
        """Options that differ from the defaults."""
        return changed_options(self.summary.settings)


def kept_numbers(store: Store) -> list[int]:
    """Return the numbers of all kept runs, ascending."""
    return sorted(int(found[1]) for name in store.files(RUNS) if (found := FILE.fullmatch(name)))


def read_run(store: Store, number: int) -> KeptRun:
    """Return a kept run.

    Raises:
        PipelineError: its file is damaged, changed by hand or of another version.
    """
    name = f"{RUNS}/{number:06}.json"
    try:
        return KeptRun.model_validate_json(store.read(name))
    except (OSError, ValidationError) as error:
        raise PipelineError(
            f"{store.address}/{name} is damaged or of another version: remove it, and the run is"
            " no longer listed"
        ) from error


def last_run(store: Store) -> KeptRun | None:
    """Return the newest run that can be read; None if there is none."""
    for number in reversed(kept_numbers(store)):
        try:
            return read_run(store, number)
        except PipelineError:
            continue
    return None


def keep(store: Store, run: KeptRun) -> None:
    """Keep a run; one with the number of an earlier run takes its place."""
    name = f"{RUNS}/{run.summary.number:06}.json"
    store.write(name, run.model_dump_json().encode())


def find_run(store: Store, wanted: str) -> KeptRun:
    """Return the run with a number, `latest`, or the newest one with a name.

    Raises:
        PipelineError: there is none; the message names the nearest.
    """
    numbers = kept_numbers(store)
    if not numbers:
        raise PipelineError(f"no run is kept in {store.address} yet: python flows/pipeline.py")
    if wanted == "latest":
        return read_run(store, numbers[-1])
    if wanted.isdecimal() and int(wanted) in numbers:
        return read_run(store, int(wanted))
    names = {}
    for number in numbers:
        run = read_run(store, number)
        names[run.summary.name] = run
    if wanted and wanted in names:
        return names[wanted]
    known = [name for name in (*names, *map(str, numbers)) if name]
    near = difflib.get_close_matches(wanted, known, 3, 0.4) or known[-3:]
    raise PipelineError(f"no run is called {wanted}; there is {joined(near, 'or')}")


def flat(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the settings of all groups by the names of their options without dashes in front."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value)
        else:
            yield name.replace("_", "-"), value


def changed_options(settings: Mapping[str, Any]) -> list[str]:
    """Return the options that lead to settings: a preset, and what differs from it."""
    preset = settings.get("preset", "tutorial")
    try:
        base = dict(flat(Settings(preset=preset).model_dump(mode="json")))
    except ValidationError:
        base = {}
    found = [f"--preset {preset}"] if preset != "tutorial" else []
    for name, value in flat(settings):
        if name != "preset" and name in base and value != base[name] and value is not None:
            found.append(as_option(name, value))
    return found


def as_option(name: str, value: Any) -> str:
    """Return a setting as it is written on the command line."""
    if isinstance(value, bool):
        return f"--{'' if value else 'no-'}{name}"
    return f"--{name} {shlex.quote(shown(value))}"


def shown(value: Any) -> str:
    """Return the value of a setting as text."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "none"
    return "default" if value is None else str(value)


def listing(runs: Sequence[KeptRun]) -> list[str]:
    """Return runs as lines of a table for a terminal."""
    rows = [("run", "finished", "validation", "test, 95 % interval", "training", "name, settings")]
    for run in runs:
        summary = run.summary
        low, high = wilson_interval(summary.test.correct, summary.test.total)
        what = " ".join([*([summary.name] if summary.name else []), *run.options])
        rows.append(
            (
                str(summary.number),
                summary.finished[:16].replace("T", " "),
                percent(summary.validation.accuracy),
                f"{percent(summary.test.accuracy)} ({percent_interval(low, high)})",
                duration(summary.train_seconds),
                what or "the defaults",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
