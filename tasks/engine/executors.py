"""Executors: what happens when a stage is called.

`PrefectExecutor` runs stages as Prefect tasks, `LocalExecutor` in this process without Prefect,
`DryRunExecutor` tells what would run, `CacheOnlyExecutor` uses cached results alone, and
`RepeatedExecutor` lets another executor run a stage again under a key of its own.
"""

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol

from pydantic import BaseModel, ConfigDict

from tasks.engine import layout
from tasks.engine.models import StageRecord
from tasks.engine.remote import name_stage
from tasks.engine.stage import STAGES, P, Plan, R, Stage, key_of
from tasks.engine.store import Store
from tasks.runtime.console import log
from tasks.runtime.errors import PipelineError
from tasks.runtime.processor import instruction_set

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State
    from prefect.task_runners import TaskRunner


class StageOutcome(BaseModel):
    """The outcome of one stage in a flow run."""

    model_config = ConfigDict(frozen=True)

    name: str
    """Label of the stage run, e.g. `train-100`."""
    key: str
    """64 hexadecimal digits."""
    state: Literal["ran", "cached"]
    seconds: float
    """Wall time in this flow run."""
    computed_in: float
    """Wall time of the computation, in this flow run or an earlier one."""
    reason: str = ""
    """Why the stage ran; empty when cached."""


def outcome(plan: Plan[Any], record: StageRecord, *, cached: bool, started: float) -> StageOutcome:
    """Return the outcome of a stage run that began at a monotonic time."""
    return StageOutcome(
        name=plan.label,
        key=plan.key,
        state="cached" if cached else "ran",
        seconds=round(time.monotonic() - started, 3),
        computed_in=record.seconds,
        reason="" if cached else record.reason,
    )


class PlanExecutor(Protocol):
    """An executor that can be given a plan, too."""

    @property
    def store(self) -> Store:
        """The artifact root."""

    def execute(self, plan: Plan[R]) -> R:
        """Return the result of a stage run."""


@dataclass
class PrefectExecutor:
    """Run stages as Prefect tasks, and skip those with a valid cache entry."""

    store: Store
    refresh: frozenset[str] = frozenset()
    """Names of stages to run regardless of the cache; `all` means every stage."""
    task_runner: "TaskRunner[Any] | None" = None
    """Runner whose workers compute the stages; None: this process. See runtime/dask.py."""
    outcomes: list[StageOutcome] = field(default_factory=list)
    states: dict[str, "State[Any]"] = field(default_factory=dict)
    """Prefect's state of each stage, by the folder of its outputs."""

    def __post_init__(self) -> None:
        check_stage_names(self.refresh)

    def call(self, stage: Stage[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the stage's result for these arguments."""
        return self.execute(stage.plan(*args, **kwargs))

    def execute(self, plan: Plan[R]) -> R:
        """Run a stage as a Prefect task, or use its cache entry.

        Raises:
            PipelineError: something outside the code is wrong; the message names the stage.
        """
        from tasks.engine.prefect_cache import run_cached

        started = time.monotonic()
        with name_stage(plan.label):
            state = run_cached(
                plan,
                self.store,
                refresh=must_refresh(plan, self.refresh),
                wait_for=[self.states[folder] for folder in plan.upstream if folder in self.states],
                # Only this machine may have the user's files.
                task_runner=None if plan.stage.local_only else self.task_runner,
            )
            self.states[plan.folder] = state
            # Read back what Prefect wrote: without a cache entry there is no result.
            record = plan.load(self.store)
        if record is None:
            raise PipelineError(
                f"{plan.label}: its record could not be written to"
                f" {self.store.address}/{layout.RECORDS};"
                " free some space, or name another folder with --artifacts"
            )
        self.store.mark_used(plan.record_name)
        done = outcome(plan, record, cached=state.name == "Cached", started=started)
        ran = "" if done.state == "cached" else f"ran {done.seconds:.1f} s"
        log.info(f"{done.name}: {ran or 'cached'}")
        self.outcomes.append(done)
        return plan.stage.output_type.model_validate(record.output)


@dataclass
class LocalExecutor:
    """Compute missing results in this process, without Prefect."""

    store: Store
    refresh: frozenset[str] = frozenset()
    """Names of stages to run regardless of the cache; `all` means every stage."""
    outcomes: list[StageOutcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_stage_names(self.refresh)

    def call(self, stage: Stage[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the stage's result for these arguments."""
        return self.execute(stage.plan(*args, **kwargs))

    def execute(self, plan: Plan[R]) -> R:
        """Return the cached result, or compute it and write its cache entry."""
        started = time.monotonic()
        refresh = must_refresh(plan, self.refresh)
        cached = None if refresh else plan.load(self.store)
        record = cached or self.compute(plan, refresh=refresh)
        self.outcomes.append(outcome(plan, record, cached=bool(cached), started=started))
        return plan.stage.output_type.model_validate(record.output)

    def compute(self, plan: Plan[R], *, refresh: bool) -> StageRecord:
        """Compute a stage run, and write its cache entry."""
        with self.store.lock(plan.lock_name).acquire():
            record = plan.compute(self.store, plan.reason(self.store, refresh=refresh))
            self.write(plan, record)
        return record

    def write(self, plan: Plan[R], record: StageRecord) -> None:
        """Write a cache entry."""
        self.store.write_record(plan.record_name, record.model_dump_json(indent=1).encode())


@dataclass
class DryRunExecutor:
    """Compute nothing, and collect for each stage whether it would run."""

    store: Store
    refresh: frozenset[str] = frozenset()
    """Names of stages to run regardless of the cache; `all` means every stage."""
    verdicts: list[tuple[str, str]] = field(default_factory=list)
    """Label of each stage, and `up to date` or why it would run."""

    def __post_init__(self) -> None:
        check_stage_names(self.refresh)

    def call(self, stage: Stage[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the stage's cached result, or an `Unknown` value."""
        arguments = stage.arguments(*args, **kwargs)
        if any(map(is_unknown, arguments.values())):
            # The key is not known: it may turn out that nothing has changed.
            unknown: R = self.add_unknown(stage.label.format(**arguments), "upstream will run")
            return unknown
        return self.execute(stage.plan(*args, **kwargs))

    def execute(self, plan: Plan[R]) -> R:
        """Return the cached result of a stage run, or an `Unknown` value."""
        record = plan.load(self.store)
        refresh = must_refresh(plan, self.refresh)
        if record is None or refresh:
            unknown: R = self.add_unknown(plan.label, plan.reason(self.store, refresh=refresh))
            return unknown
        self.verdicts.append((plan.label, f"up to date{other_processor(plan, record)}"))
        return plan.stage.output_type.model_validate(record.output)

    def add_unknown(self, label: str, why: str) -> Any:
        """Note that a stage would run, and return a value in place of its result."""
        self.verdicts.append((label, f"will run: {why}"))
        return Unknown(label)

    def lines(self) -> list[str]:
        """Return a line of text for each stage."""
        width = max(len(label) for label, _ in self.verdicts)
        return [f"{label:<{width}}  {verdict}" for label, verdict in self.verdicts]


class NotCachedError(Exception):
    """A stage would have to run."""


@dataclass
class CacheOnlyExecutor:
    """Use cached results, and compute nothing."""

    store: Store
    outcomes: list[StageOutcome] = field(default_factory=list)

    def call(self, stage: Stage[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the stage's cached result.

        Raises:
            NotCachedError: there is none.
        """
        return self.execute(stage.plan(*args, **kwargs))

    def execute(self, plan: Plan[R]) -> R:
        """Return the cached result of a stage run.

        Raises:
            NotCachedError: there is none.
        """
        started = time.monotonic()
        record = plan.load(self.store)
        if record is None:
            raise NotCachedError(plan.label)
        self.store.mark_used(plan.record_name)
        self.outcomes.append(outcome(plan, record, cached=True, started=started))
        return plan.stage.output_type.model_validate(record.output)


@dataclass
class RepeatedExecutor:
    """Let another executor run one stage again, under a key that holds a number.

    Later stages depend on the bytes of its result. If they are the same, later stages are cached.
    """

    executor: PlanExecutor
    stage: str
    """Name of the stage that is repeated."""
    repetition: int = 0
    """0 is the ordinary run."""

    @property
    def store(self) -> Store:
        """The artifact root."""
        return self.executor.store

    def call(self, stage: Stage[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the stage's result for these arguments."""
        plan = stage.plan(*args, **kwargs)
        if self.repetition and stage.name == self.stage:
            plan = with_repetition(plan, self.repetition)
        return self.executor.execute(plan)


def other_processor(plan: Plan[Any], record: StageRecord) -> str:
    """Return a note for a result of TensorFlow that other vector instructions computed."""
    then, now = record.instructions, instruction_set()
    if "tensorflow" not in plan.stage.libraries or then in ("", now):
        return ""
    return f" (computed with {then}; with {now} here, its last bits would differ)"


def with_repetition(plan: Plan[R], repetition: int) -> Plan[R]:
    """Return a plan with a number in its key."""
    key_inputs = {**plan.key_inputs, "repetition": repetition}
    return replace(plan, key_inputs=key_inputs, key=key_of(key_inputs))


def check_stage_names(names: frozenset[str]) -> None:
    """Check that stages have these names.

    Raises:
        PipelineError: one is not known.
    """
    if unknown := sorted(names - {"all", *STAGES}):
        raise PipelineError(
            f"--refresh {unknown[0]}: no such stage; there are {', '.join(STAGES)}, and `all`"
        )


def must_refresh(plan: Plan[Any], refresh: frozenset[str]) -> bool:
    """Return whether the user asked to run this stage."""
    return bool(refresh & {"all", plan.stage.name})


class Unknown:
    """The result of a stage that a dry run has not computed, and everything in it.

    It can be handed on to other stages. Whoever needs its value gets an error.
    """

    def __init__(self, label: str) -> None:
        self._label = label

    def __getattr__(self, name: str) -> "Unknown":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def _fail(self, *_: object) -> NoReturn:
        raise TypeError(
            f"the result of {self._label} is not known in a dry run: a flow may hand it to other"
            " stages, but not branch on it, compare it or compute with it"
        )

    __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = _fail
    __len__ = __iter__ = __getitem__ = __contains__ = __int__ = __float__ = __index__ = _fail
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _fail
    __str__ = __format__ = _fail


def is_unknown(value: object) -> bool:
    """Return whether a value is, or holds, the result of a stage that has not run."""
    if isinstance(value, (list, tuple)):
        return any(map(is_unknown, value))
    return isinstance(value, Unknown)
