"""The cached Prefect task: its key, its check, its explanation.

    @stage(libraries=("numpy", "pyarrow"))
    def convert(work: Workspace, files: IdxFiles, settings: ConvertSettings) -> Splits:
        table = read(work.input(files.train_images))
        write(table, work.output("train.parquet"))
        return Splits(train=work.finished("train.parquet"))

    splits = convert(run, files, settings)      # in a flow, with a Run for the workspace

A stage's key is the SHA-256 of its name, of the settings that it was given, of the
*digests* of its input files, of its code (see fingerprint.py) and of the versions of
the libraries that its result depends on. If a record of that key is there, and every
file that it names is there and whole, the stage is skipped.

Prefect itself is imported only when a stage is called, so that keys can be computed
and records be read without it.
"""

import functools
import hashlib
import importlib.metadata
import inspect
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    TypeVar,
    get_type_hints,
)

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.console import log
from tasks.errors import PipelineError
from tasks.fingerprint import code_digests, dotted_name
from tasks.settings import OutsideKey
from tasks.store import FileRef, Record, StageRecord, Store, Workspace, disk_errors, file_refs

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

P = ParamSpec("P")
R = TypeVar("R", bound=Record)

KEY_FORMAT = 1
"""Part of every key; raised when records or folders change their form."""


class StageOutcome(BaseModel):
    """What became of one stage in this run."""

    model_config = ConfigDict(frozen=True)

    name: str
    """What the run of the stage is called, e.g. `train-100`."""
    key: str
    """64 hexadecimal digits."""
    state: Literal["ran", "cached"]
    seconds: float
    """Wall time in this run."""
    reason: str = ""
    """Why it ran; empty when cached."""


@dataclass
class Run:
    """One run of a flow: where it keeps its results, and what has happened so far."""

    store: Store
    refresh: bool = False
    """Run every stage, whatever is kept."""
    outcomes: list[StageOutcome] = field(default_factory=list)
    states: dict[str, "State[Any]"] = field(default_factory=dict)
    """Prefect's state of each stage, by the folder of its outputs."""


class Stage(Generic[P, R]):
    """A function from records and settings to a record, run only when it must be.

    Called with a `Run` in place of the function's `Workspace`.
    """

    def __init__(
        self,
        function: Callable[Concatenate[Workspace, P], R],
        libraries: tuple[str, ...],
        label: str | None,
        extra: Callable[..., Any] | None,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = function.__name__.replace("_", "-")
        self.libraries = libraries
        self.label = label or self.name
        self.extra = extra
        # As it is now, while it is loaded: what is edited later is not what runs.
        self.code = code_digests(function.__module__)
        self.loaded_later = {path for path in self.code if dotted_name(path) not in sys.modules}

    @functools.cached_property
    def output_type(self) -> type[R]:
        result: type[R] = get_type_hints(self.function)["return"]
        return result

    def arguments(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        """The function's arguments by name, without the workspace."""
        # The signature's first parameter is the workspace: None stands in for it.
        bound = inspect.signature(self.function).bind(None, *args, **kwargs)
        bound.apply_defaults()
        return dict(list(bound.arguments.items())[1:])

    def material(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        """Everything that the result depends on, as plain values."""
        material: dict[str, Any] = {
            "format": KEY_FORMAT,
            "stage": self.name,
            "arguments": {
                name: key_view(value) for name, value in self.arguments(*args, **kwargs).items()
            },
            "code": self.code,
            "libraries": {name: library_version(name) for name in self.libraries},
        }
        if self.extra is not None:
            material["extra"] = self.extra(*args, **kwargs)
        return material

    def __call__(self, run: Run, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the stage, or use what is kept.

        Raises:
            PipelineError: something outside the code is wrong; the message names the stage.
        """
        from tasks.caching import cached_task, forget_exception

        started = time.monotonic()
        arguments = self.arguments(*args, **kwargs)
        label = self.label.format(**arguments)
        material = self.material(*args, **kwargs)
        key = digest_of(material)
        reason = "refresh asked for" if run.refresh else ""

        def compute() -> dict[str, Any]:
            nonlocal reason
            reason = reason or self.explain(run.store, label, material, key)
            run.store.remove_link(run.store.record_name(self.name, key))
            log.info(f"{label}: running ({reason})")
            begun = time.monotonic()
            with (
                disk_errors(label, run.store.root / self.name),
                run.store.workspace(self.name, key) as work,
            ):
                output = self.function(work, *args, **kwargs)
                self.check_code(label)
            return StageRecord(
                stage=self.name,
                label=label,
                key=key,
                material=material,
                reason=reason,
                seconds=round(time.monotonic() - begun, 3),
                output=output.model_dump(mode="json"),
            ).model_dump(mode="json")

        upstream = {
            Path(file.path).parent.as_posix() for file in file_refs(list(arguments.values()))
        }
        task = cached_task(
            compute,
            name=self.name,
            run_name=label,
            record=run.store.record_name(self.name, key),
            store=run.store,
            check=lambda: self.kept(run.store, key),
            refresh=run.refresh,
        )
        state = task(
            return_state=True, wait_for=[run.states[f] for f in upstream if f in run.states]
        )
        try:
            state.result()  # raises what the stage raised
        finally:
            forget_exception(state)
        # Read back what Prefect wrote: a record that could not be written is no result.
        record = self.kept(run.store, key)
        if record is None:
            raise PipelineError(
                f"{label}: its record could not be written to {run.store.records};"
                " free some space, or name another folder with --artifacts"
            )

        cached = state.name == "Cached"
        outcome = StageOutcome(
            name=label,
            key=key,
            state="cached" if cached else "ran",
            seconds=round(time.monotonic() - started, 3),
            reason="" if cached else reason,
        )
        log.info(f"{label}: {outcome.state}" + ("" if cached else f" {outcome.seconds:.1f} s"))
        run.outcomes.append(outcome)
        run.states[f"{self.name}/{key[:12]}"] = state
        return self.output_type.model_validate(record.output)

    def check_code(self, label: str) -> None:
        """Make sure that what ran is what the key says.

        Raises:
            PipelineError: a module that was loaded only by the run had been edited since the
                key was made.
        """
        now = code_digests(self.function.__module__)
        for path in sorted(self.loaded_later):
            if now.get(path) != self.code[path]:
                raise PipelineError(f"{label}: {path} was edited during the run; run it again")

    def kept(self, store: Store, key: str) -> StageRecord | None:
        """The record of this key if it can be used: readable, and all its files whole."""
        return (
            None if self.fault(store, key) else store.read_record(store.record_name(self.name, key))
        )

    def fault(self, store: Store, key: str) -> str | None:
        """Why what is kept for this key cannot be used; None if it can."""
        try:
            record = store.read_record(store.record_name(self.name, key))
            self.output_type.model_validate(record.output)
        except FileNotFoundError:
            return "no record"
        except ValidationError:
            return "record of another form"
        except ValueError as error:
            return str(error)
        except OSError as error:
            return f"record unreadable: {error.strerror}"
        faults = (store.fault(file) for file in file_refs(record.output))
        return next(filter(None, faults), None)

    def explain(self, store: Store, label: str, material: dict[str, Any], key: str) -> str:
        """Why the stage must run: what differs from the most similar run of that label."""
        fault = self.fault(store, key)
        if fault and fault != "no record":
            return fault
        now = dict(leaves(material))
        earlier = [
            dict(leaves(record.material))
            for record in store.records_of(self.name)
            if record.label == label
        ]
        if not earlier:
            return "never run"
        changes = [describe_changes(then, now) for then in reversed(earlier)]
        fewest: list[str] = min(changes, key=len)
        return "; ".join(fewest) or "no record"


def stage(
    *,
    libraries: tuple[str, ...] = (),
    label: str | None = None,
    extra: Callable[..., Any] | None = None,
) -> Callable[[Callable[Concatenate[Workspace, P], R]], Stage[P, R]]:
    """Make a function a cached stage.

    Args:
        libraries: distributions whose version the result depends on.
        label: what a run is called; may name arguments, as in `train-{iterations}`.
        extra: more that the result depends on, from the same arguments: plain values.
    """
    return lambda function: Stage(function, libraries, label, extra)


def key_view(value: object) -> Any:
    """A value as it enters the key: files by what they hold, models by their fields."""
    if isinstance(value, FileRef):
        return f"{value.name} sha256:{value.sha256}"
    if isinstance(value, BaseModel):
        return {
            name: key_view(getattr(value, name))
            for name, info in type(value).model_fields.items()
            if OutsideKey not in info.metadata
        }
    if isinstance(value, (list, tuple)):
        return [key_view(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a stage takes records, settings and plain values, not {type(value).__name__}")


def digest_of(material: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(material, sort_keys=True).encode()).hexdigest()


@functools.cache
def library_version(name: str) -> str:
    return importlib.metadata.version(name)


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Path and value of everything in nested dictionaries."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, (*path, name))
    else:
        yield path, value


def describe_changes(
    then: dict[tuple[str, ...], Any], now: dict[tuple[str, ...], Any]
) -> list[str]:
    """The differences between two keys' materials, one phrase each."""
    changes = []
    for path in dict.fromkeys([*then, *now]):
        before, after = then.get(path), now.get(path)
        if before == after:
            continue
        if path[0] == "code":
            changes.append(f"code changed: {path[-1]}")
        elif isinstance(after, str) and " sha256:" in after:
            changes.append(f"input changed: {after.split()[0]}")
        else:
            changes.append(f"{path[-1]} {before} → {after}")
    return changes
