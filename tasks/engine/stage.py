"""Cached stages: their keys and their cache entries.

    @stage()
    def convert(work: Workspace, files: IdxFiles, settings: ConvertSettings) -> Splits:
        table = read(work.input(files.train_images))
        write(table, work.output("train.parquet"))
        return Splits(train=work.finished("train.parquet"))

    splits = convert(executor, files, settings)

A stage is called with an executor in place of the function's workspace; see executors.py. Its key
is the SHA-256 of its name, of the settings that it was given, of the *digests* of its input files,
of the fingerprint of its code (see fingerprint.py) and of the versions of the libraries that its
result depends on. If a cache entry has that key, and every file in it is there and intact, the
stage is skipped.

Nothing here imports Prefect, so keys can be computed and cache entries be read without it.
"""

import functools
import importlib.metadata
import inspect
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import (
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    get_type_hints,
)

from pydantic import BaseModel, ValidationError

from tasks.engine import layout
from tasks.engine.digests import json_sha256
from tasks.engine.explain import describe_changes, join_phrases, leaves
from tasks.engine.fingerprint import EMPTY_MODULE, dotted_name, fingerprint
from tasks.engine.models import FileRef, NotInKey, Record, StageRecord, file_refs
from tasks.engine.store import Store, Workspace, disk_errors
from tasks.runtime.errors import PipelineError
from tasks.runtime.processor import instruction_set
from tasks.runtime.threads import DEFAULT_THREADS, threads

P = ParamSpec("P")
R = TypeVar("R", bound=Record)

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""Part of every key: another Python parses the same code into another syntax tree."""

KEY_FORMAT = 2
"""Part of every key; raised when cache entries or folders change their form."""

MAX_COMPARED = 200
"""Cache entries of a stage to search for the most similar one; a study leaves thousands."""


class Executor(Protocol):
    """What a stage call needs: something that computes a stage or finds its result."""

    @property
    def store(self) -> Store:
        """The artifact root."""

    def call(self, stage: "Stage[P, R]", *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the stage's result for these arguments."""


class Stage(Generic[P, R]):
    """A function from records and settings to a record that is computed only when necessary.

    Called with an `Executor` in place of the function's `Workspace`.
    """

    def __init__(
        self,
        function: Callable[Concatenate[Workspace, P], R],
        *,
        label: str | None,
        extra: Callable[..., Any] | None,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = function.__name__.replace("_", "-")
        self.label = label or self.name
        self.extra = extra
        # Taken when the module is loaded: a later edit is not the code that runs.
        self.fingerprint = fingerprint(function.__module__)
        self.loaded_later = {
            path for path in self.fingerprint.code if dotted_name(path) not in sys.modules
        }
        STAGES[self.name] = self

    @property
    def libraries(self) -> tuple[str, ...]:
        """Distributions that the result depends on: those that the code imports."""
        return self.fingerprint.libraries

    @functools.cached_property
    def output_type(self) -> type[R]:
        """The class of the stage's result."""
        result: type[R] = get_type_hints(self.function)["return"]
        return result

    def __call__(self, executor: Executor, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the stage's result, computed or cached as the executor decides."""
        return executor.call(self, *args, **kwargs)

    def arguments(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        """Return the function's arguments by name, without the workspace."""
        # The signature's first parameter is the workspace: None stands in for it.
        bound = inspect.signature(self.function).bind(None, *args, **kwargs)
        bound.apply_defaults()
        return dict(list(bound.arguments.items())[1:])

    def plan(self, *args: P.args, **kwargs: P.kwargs) -> "Plan[R]":
        """Return the run of the stage with these arguments, and so its key."""
        arguments = self.arguments(*args, **kwargs)
        key_inputs: dict[str, Any] = {
            "format": KEY_FORMAT,
            "stage": self.name,
            "arguments": {name: key_view(value) for name, value in arguments.items()},
            "code": self.fingerprint.code,
            "imports": self.fingerprint.imports,
            "libraries": self.versions(),
            "Python": PYTHON,
        }
        if "tensorflow" in self.libraries and threads() != DEFAULT_THREADS:
            key_inputs["threads"] = threads()
        if self.extra is not None:
            key_inputs["extra"] = self.extra(*args, **kwargs)
        return Plan(
            stage=self,
            label=self.label.format(**arguments),
            key_inputs=key_inputs,
            key=key_of(key_inputs),
            upstream=frozenset(
                Path(file.path).parent.as_posix() for file in file_refs(list(arguments.values()))
            ),
            arguments=arguments,
        )

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries that the result depends on."""
        return {name: library_version(name) for name in self.libraries}

    def dependencies(self) -> dict[str, str]:
        """Return digests of the stage's modules and versions of its libraries, by name."""
        return {**self.fingerprint.code, **self.versions(), "Python": PYTHON}

    def check_code(self, label: str) -> None:
        """Check that the key describes the code that ran.

        Args:
            label: name of the run.

        Raises:
            PipelineError: a module that was loaded during the run had been edited after the key
                was computed.
        """
        now = fingerprint(self.function.__module__).code
        for path in sorted(self.loaded_later):
            if now.get(path) != self.fingerprint.code[path]:
                raise PipelineError(f"{label}: {path} was edited during the run; run it again")


STAGES: dict[str, Stage[..., Any]] = {}
"""Every stage that has been loaded, by name."""


def check_dependencies(label: str, here: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Check that code and libraries of this process are those that a run expects.

    Args:
        label: name of the run.
        here: dependencies of this process; see `Stage.dependencies`.
        expected: dependencies of the process that computed the key.

    Raises:
        PipelineError: this worker has another version of Python, the project or a package.
    """
    python, needed = here.get("Python"), expected.get("Python")
    if python != needed:  # then all digests of code differ, too
        raise PipelineError(
            f"{label}: the worker at {platform.node()} has Python {python}, the run Python"
            f" {needed}; start the worker with Python {needed}"
        )
    differing = sorted(
        name for name in {**here, **expected} if here.get(name) != expected.get(name)
    )
    if differing:
        raise PipelineError(
            f"{label}: the worker at {platform.node()} has another {join_phrases(differing)} than"
            " the run; install the same version there"
        )


@dataclass(frozen=True)
class Plan(Generic[R]):
    """One run of a stage with its arguments: its key, and access to its cache entry."""

    stage: Stage[..., R]
    label: str
    key_inputs: dict[str, Any]
    """Everything that the result depends on, as plain values."""
    key: str
    """SHA-256 of the key inputs; see `key_of`."""
    upstream: frozenset[str]
    """Folders of the inputs, relative to the artifact root."""
    arguments: dict[str, Any]
    """Arguments of the stage's function, by name."""

    @property
    def record_name(self) -> str:
        """File name of the cache entry."""
        return layout.record_name(self.stage.name, self.key)

    @property
    def folder(self) -> str:
        """Folder of the outputs, relative to the artifact root."""
        return layout.stage_folder(self.stage.name, self.key)

    @property
    def lock_name(self) -> str:
        """Name of the lock that a run holds."""
        return layout.lock_name(self.stage.name, self.key)

    def compute(self, store: Store, reason: str) -> StageRecord:
        """Run the stage's function and move its outputs to their place.

        The caller holds the lock of this run, and writes the record.

        Args:
            store: the artifact root.
            reason: why the stage runs.

        Raises:
            PipelineError: code or inputs have changed since the key was made.
        """
        started = time.monotonic()
        with (
            disk_errors(self.label, store.root / self.stage.name),
            store.workspace(self.stage.name, self.key) as work,
        ):
            output = self.stage.function(work, **self.arguments)
            self.stage.check_code(self.label)
            self.check_inputs(store)
        result = output.model_dump(mode="json")
        return StageRecord(
            stage=self.stage.name,
            label=self.label,
            key=self.key,
            key_inputs=self.key_inputs,
            reason=reason,
            seconds=round(time.monotonic() - started, 3),
            instructions=instruction_set(),
            output=result,
            output_sha256=json_sha256(result),
        )

    def check_inputs(self, store: Store) -> None:
        """Check that the key describes the inputs that the stage has read.

        A file that has the same size and times as when its digest was computed is not read again.

        Raises:
            PipelineError: an input was changed or removed while the stage ran.
        """
        for file in file_refs(list(self.arguments.values())):
            never_fetched = store.remote and not store.place(file).exists()
            if not never_fetched and store.local_problem(file):
                raise PipelineError(
                    f"{self.label}: its input {file.path} changed during the run; run it again"
                )
        extra = self.stage.extra and self.stage.extra(**self.arguments)
        if extra != self.key_inputs.get("extra"):
            raise PipelineError(f"{self.label}: its source changed during the run; run it again")

    def load(self, store: Store) -> StageRecord | None:
        """Return the cache entry if it can be used: readable, and all its files intact."""
        found = self.validate(store)
        return found if isinstance(found, StageRecord) else None

    def problem(self, store: Store) -> str | None:
        """Return why the cache entry cannot be used, or None if it can."""
        found = self.validate(store)
        return found if isinstance(found, str) else None

    def validate(self, store: Store) -> StageRecord | str:
        """Return the cache entry, or why it cannot be used."""
        try:
            record = store.read_record(self.record_name)
            self.stage.output_type.model_validate(record.output)
        except FileNotFoundError:
            return "no record"
        except ValidationError:
            return "record of another form"
        except ValueError as error:
            return str(error)
        except OSError as error:
            return f"record unreadable: {error.strerror}"
        if key_of(record.key_inputs) != self.key:
            return "record of another run: its key inputs have another key"
        problems = (store.problem(file) for file in file_refs(record.output))
        return next(filter(None, problems), record)

    def reason(self, store: Store, *, refresh: bool) -> str:
        """Return why the stage runs.

        Args:
            store: the artifact root.
            refresh: whether the user asked for a run.
        """
        return "refresh asked for" if refresh else self.explain(store)

    def explain(self, store: Store) -> str:
        """Return the differences to the most similar earlier run with this label."""
        problem = self.problem(store)
        if problem and problem != "no record":
            return problem
        now = dict(leaves(self.key_inputs))
        earlier = [
            dict(leaves(record.key_inputs))
            for record in store.all_records(self.stage.name, MAX_COMPARED)
            if (record.stage, record.label) == (self.stage.name, self.label)
        ]
        if not earlier:
            return "never run"
        changes = [describe_changes(then, now) for then in earlier]
        fewest: list[str] = min(changes, key=len)
        return join_phrases(fewest) or "no record"


def stage(
    *, label: str | None = None, extra: Callable[..., Any] | None = None
) -> Callable[[Callable[Concatenate[Workspace, P], R]], Stage[P, R]]:
    """Make a function a cached stage.

    Args:
        label: name of a run; may name arguments, as in `train-{iterations}`.
        extra: function of the same arguments; returns further plain values for the key.
    """
    return lambda function: Stage(function, label=label, extra=extra)


def key_of(key_inputs: Mapping[str, Any]) -> str:
    """Return the key: the SHA-256 of the key inputs, without the paths of modules."""
    digests = sorted(set(key_inputs.get("code", {}).values()) - {EMPTY_MODULE})
    return json_sha256({**key_inputs, "code": digests})


def key_view(value: object) -> Any:
    """Return a value as it enters the key: files by content, models by fields."""
    if isinstance(value, FileRef):
        return f"{value.name} sha256:{value.sha256}"
    if isinstance(value, BaseModel):
        return {
            name: key_view(getattr(value, name))
            for name, info in type(value).model_fields.items()
            if NotInKey not in info.metadata
        }
    if isinstance(value, (list, tuple)):
        return [key_view(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a stage takes records, settings and plain values, not {type(value).__name__}")


@functools.cache
def library_version(name: str) -> str:
    """Return the installed version of a distribution; empty if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
