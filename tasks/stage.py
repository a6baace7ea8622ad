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
import importlib.metadata
import inspect
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
from tasks.remote import RemoteError
from tasks.settings import OutsideKey
from tasks.store import (
    FileRef,
    Record,
    StageRecord,
    Store,
    Workspace,
    disk_errors,
    file_refs,
    json_sha256,
)
from tasks.threads import DEFAULT_THREADS, threads

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State
    from prefect.task_runners import TaskRunner

P = ParamSpec("P")
R = TypeVar("R", bound=Record)

KEY_FORMAT = 1
"""Part of every key; raised when records or folders change their form."""

COMPARED = 200
"""Records of a stage among which the most similar is looked for; a study leaves thousands."""
MOST_PHRASES = 5
LONGEST_PHRASE = 80  # characters
"""How much is said about why a stage runs: it has to fit into a line or two."""


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
    computed_in: float
    """Wall time of the computation, in this run or the earlier one that made the result."""
    reason: str = ""
    """Why it ran; empty when cached."""


@contextmanager
def naming(label: str) -> Iterator[None]:
    """Say of a root that cannot be used which stage wanted to."""
    try:
        yield
    except RemoteError as error:
        raise PipelineError(f"{label}: {error}") from error


@dataclass
class Run:
    """One run of a flow: where it keeps its results, and what has happened so far."""

    store: Store
    refresh: frozenset[str] = frozenset()
    """Stages to run whatever is kept, by name; `all` stands for every one."""
    outcomes: list[StageOutcome] = field(default_factory=list)
    states: dict[str, "State[Any]"] = field(default_factory=dict)
    """Prefect's state of each stage, by the folder of its outputs."""
    runner: "TaskRunner[Any] | None" = None
    """Whose workers compute the stages; None: this process. See cluster.py."""

    def call(self, stage: "Stage[P, R]", *args: P.args, **kwargs: P.kwargs) -> R:
        """What calling a stage with this run comes to."""
        return self.execute(stage.plan(*args, **kwargs))

    def execute(self, plan: "Plan[R]") -> R:
        """Run a stage as a Prefect task, or use what is kept.

        Raises:
            PipelineError: something outside the code is wrong; the message names the stage.
        """
        from tasks.caching import run_cached

        started = time.monotonic()
        with naming(plan.label):
            state = run_cached(
                plan,
                self.store,
                refresh=self.must_refresh(plan),
                wait_for=[self.states[folder] for folder in plan.upstream if folder in self.states],
                # What only this machine may have, such as files of the user, stays here.
                runner=None if plan.stage.at_home else self.runner,
            )
            self.states[plan.folder] = state
            # Read back what Prefect wrote: a record that could not be written is no result.
            record = plan.kept(self.store)
        if record is None:
            raise PipelineError(
                f"{plan.label}: its record could not be written to {self.store.address}/records;"
                " free some space, or name another folder with --artifacts"
            )
        self.store.mark_used(plan.record_name)
        cached = state.name == "Cached"
        seconds = round(time.monotonic() - started, 3)
        log.info(f"{plan.label}: cached" if cached else f"{plan.label}: ran {seconds:.1f} s")
        self.outcomes.append(
            StageOutcome(
                name=plan.label,
                key=plan.key,
                state="cached" if cached else "ran",
                seconds=seconds,
                computed_in=record.seconds,
                reason="" if cached else record.reason,
            )
        )
        return plan.stage.output_type.model_validate(record.output)

    def must_refresh(self, plan: "Plan[Any]") -> bool:
        return bool(self.refresh & {"all", plan.stage.name})

    def reason(self, plan: "Plan[Any]") -> str:
        return plan.reason(self.store, self.must_refresh(plan))


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
        at_home: bool,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = function.__name__.replace("_", "-")
        self.libraries = libraries
        self.label = label or self.name
        self.extra = extra
        self.at_home = at_home
        # As it is now, while it is loaded: what is edited later is not what runs.
        self.code = code_digests(function.__module__)
        self.loaded_later = {path for path in self.code if dotted_name(path) not in sys.modules}

    def __reduce__(self) -> str:
        return self.function.__qualname__  # a worker has, and uses, its own

    @functools.cached_property
    def output_type(self) -> type[R]:
        result: type[R] = get_type_hints(self.function)["return"]
        return result

    def __call__(self, run: Run, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the stage, or use what is kept; see `Run.execute`."""
        return run.call(self, *args, **kwargs)

    def arguments(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        """The function's arguments by name, without the workspace."""
        # The signature's first parameter is the workspace: None stands in for it.
        bound = inspect.signature(self.function).bind(None, *args, **kwargs)
        bound.apply_defaults()
        return dict(list(bound.arguments.items())[1:])

    def plan(self, *args: P.args, **kwargs: P.kwargs) -> "Plan[R]":
        """What a run with these arguments is made from, and so its key."""
        arguments = self.arguments(*args, **kwargs)
        material: dict[str, Any] = {
            "format": KEY_FORMAT,
            "stage": self.name,
            "arguments": {name: key_view(value) for name, value in arguments.items()},
            "code": self.code,
            "libraries": self.versions(),
        }
        if "tensorflow" in self.libraries and threads() != DEFAULT_THREADS:
            material["threads"] = threads()
        if self.extra is not None:
            material["extra"] = self.extra(*args, **kwargs)
        return Plan(
            stage=self,
            label=self.label.format(**arguments),
            material=material,
            key=json_sha256(material),
            upstream=frozenset(
                Path(file.path).parent.as_posix() for file in file_refs(list(arguments.values()))
            ),
            arguments=arguments,
        )

    def versions(self) -> dict[str, str]:
        return {name: library_version(name) for name in self.libraries}

    def made_of(self) -> dict[str, str]:
        """Digests of its modules and versions of its libraries, by their names."""
        return {**self.code, **self.versions()}

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


def check_made_of(label: str, here: Mapping[str, str], asked: Mapping[str, str]) -> None:
    """Make sure that code and libraries here are those that a run asks for.

    Args:
        label: of what is to be computed.
        here: see `Stage.made_of`.
        asked: the same of the process that asks.

    Raises:
        PipelineError: this is a worker on which the project or a package is another.
    """
    if others := sorted(n for n in {**here, **asked} if here.get(n) != asked.get(n)):
        raise PipelineError(
            f"{label}: the worker at {platform.node()} has another {in_short(others)} than"
            " the run; install the same version there"
        )


@dataclass(frozen=True)
class Plan(Generic[R]):
    """One run of a stage with its arguments: its key, and what is kept of it."""

    stage: Stage[..., R]
    label: str
    material: dict[str, Any]
    """Everything that the result depends on, as plain values."""
    key: str
    """SHA-256 of the material."""
    upstream: frozenset[str]
    """Folders of the inputs, relative to the artifact root."""
    arguments: dict[str, Any]
    """Of the stage's function, by name."""

    @property
    def record_name(self) -> str:
        return f"{self.stage.name}-{self.key}.json"

    @property
    def folder(self) -> str:
        """Where the outputs lie, relative to the artifact root."""
        return f"{self.stage.name}/{self.key[:12]}"

    def compute(self, store: Store, reason: str) -> StageRecord:
        """Run the stage's function and move its outputs to their place.

        The caller holds the lock of this run, and writes the record.
        """
        asked = {**self.material["code"], **self.material["libraries"]}
        check_made_of(self.label, self.stage.made_of(), asked)
        store.remove_link(self.record_name)
        begun = time.monotonic()
        with (
            disk_errors(self.label, store.root / self.stage.name),
            store.workspace(self.stage.name, self.key) as work,
        ):
            output = self.stage.function(work, **self.arguments)
            self.stage.check_code(self.label)
            extra = self.stage.extra and self.stage.extra(**self.arguments)
            if extra != self.material.get("extra"):
                raise PipelineError(
                    f"{self.label}: its source changed during the run; run it again"
                )
        result = output.model_dump(mode="json")
        return StageRecord(
            stage=self.stage.name,
            label=self.label,
            key=self.key,
            material=self.material,
            reason=reason,
            seconds=round(time.monotonic() - begun, 3),
            output=result,
            output_sha256=json_sha256(result),
        )

    def kept(self, store: Store) -> StageRecord | None:
        """The record of this run if it can be used: readable, and all its files whole."""
        found = self.look(store)
        return found if isinstance(found, StageRecord) else None

    def fault(self, store: Store) -> str | None:
        """Why what is kept of this run cannot be used; None if it can."""
        found = self.look(store)
        return found if isinstance(found, str) else None

    def look(self, store: Store) -> StageRecord | str:
        """The record of this run, or why what is kept of it cannot be used."""
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
        faults = (store.fault(file) for file in file_refs(record.output))
        return next(filter(None, faults), record)

    def reason(self, store: Store, refresh: bool) -> str:
        """Why it is run, given whether that was asked for."""
        return "refresh asked for" if refresh else self.explain(store)

    def explain(self, store: Store) -> str:
        """Why the stage must run: what differs from the most similar run of its label."""
        fault = self.fault(store)
        if fault and fault != "no record":
            return fault
        now = dict(leaves(self.material))
        earlier = [
            dict(leaves(record.material))
            for record in store.all_records(self.stage.name, COMPARED)
            if (record.stage, record.label) == (self.stage.name, self.label)
        ]
        if not earlier:
            return "never run"
        changes = [describe_changes(then, now) for then in earlier]
        fewest: list[str] = min(changes, key=len)
        return in_short(fewest) or "no record"


def stage(
    *,
    libraries: tuple[str, ...] = (),
    label: str | None = None,
    extra: Callable[..., Any] | None = None,
    at_home: bool = False,
) -> Callable[[Callable[Concatenate[Workspace, P], R]], Stage[P, R]]:
    """Make a function a cached stage.

    Args:
        libraries: distributions whose version the result depends on.
        label: what a run is called; may name arguments, as in `train-{iterations}`.
        extra: more that the result depends on, from the same arguments: plain values.
        at_home: run by the flow itself, never by a worker on another machine.
    """
    return lambda function: Stage(function, libraries, label, extra, at_home)


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
    """The differences between two keys' materials, one phrase each, none of them twice."""
    changed = [path for path in {**then, **now} if then.get(path) != now.get(path)]
    return list(dict.fromkeys(describe_change(path, then, now) for path in changed))


def describe_change(
    path: tuple[str, ...], then: dict[tuple[str, ...], Any], now: dict[tuple[str, ...], Any]
) -> str:
    """What has become of one part of the material."""
    name, before, after = path[-1], then.get(path), now.get(path)
    if path[0] == "code":
        return f"code changed: {name}"
    if isinstance(after, str) and " sha256:" in after:
        return f"input changed: {after.split()[0]}"
    if path not in then or path not in now:
        other, what = (now, "gone") if path in then else (then, "new")
        part = path[:2]  # an argument as a whole, such as a record with all its facts
        known = any(p[: len(part)] == part for p, value in other.items() if value is not None)
        return f"{name if known else part[-1]} {what}"
    phrase = f"{name} {before} → {after}"
    return phrase if len(phrase) <= LONGEST_PHRASE else f"{name} changed"


def in_short(phrases: list[str]) -> str:
    """The first few phrases, and how many there are besides."""
    shown = phrases[:MOST_PHRASES]
    more = len(phrases) - len(shown)
    return "; ".join([*shown, f"and {more} more"] if more else shown)
