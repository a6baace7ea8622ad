"""Executors: what happens when a stage is called.

`LocalExecutor` runs stages in this process, `PrefectExecutor` runs each of them as a Prefect task,
and `LookupExecutor` only looks: it uses cached results, and tells why other stages would run.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from filelock import Timeout
from pydantic import BaseModel, ConfigDict

from tasks.engine.models import StageRecord
from tasks.engine.remote import name_stage
from tasks.engine.stage import STAGES, P, Plan, R, Stage, key_of
from tasks.engine.store import Store
from tasks.runtime.console import log
from tasks.runtime.errors import PipelineError
from tasks.runtime.processor import instruction_set

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State


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


@dataclass
class BaseExecutor:
    """What all executors have in common."""

    store: Store
    refresh: frozenset[str] = frozenset()
    """Names or labels of stages to run regardless of the cache; `all` means every stage."""
    repetitions: Mapping[str, int] = field(default_factory=dict)
    """Name of a stage → number that enters its key, so that it is computed anew. Later stages
    depend on the bytes of its result: if they are the same, these are cached."""
    outcomes: list[StageOutcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check the names of stages.

        Raises:
            PipelineError: one is not known.
        """
        known = ("all", *STAGES)
        for name in sorted(self.refresh):
            if name not in known and not name.startswith(tuple(f"{stage}-" for stage in STAGES)):
                raise PipelineError(
                    f"--refresh {name}: no such stage; there are {', '.join(STAGES)}, and `all`"
                )

    def must_refresh(self, plan: Plan[Any]) -> bool:
        """Return whether the user asked to run this stage."""
        return bool(self.refresh & {"all", plan.stage.name, plan.label})

    def repeated(self, plan: Plan[R]) -> Plan[R]:
        """Return a plan with the number of its repetition in its key."""
        number = self.repetitions.get(plan.stage.name, 0)
        if not number:
            return plan
        key_inputs = {**plan.key_inputs, "repetition": number}
        return replace(plan, key_inputs=key_inputs, key=key_of(key_inputs))


@dataclass
class LocalExecutor(BaseExecutor):
    """Run stages in this process, and skip those with a valid cache entry."""

    def call(self, stage: Stage[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the stage's result for these arguments."""
        return self.execute(self.repeated(stage.plan(*args, **kwargs)))

    def execute(self, plan: Plan[R]) -> R:
        """Run a stage, or use its cache entry.

        Raises:
            PipelineError: something outside the code is wrong; the message names the stage.
        """
        started = time.monotonic()
        record, cached = self.run(plan)
        done = outcome(plan, record, cached=cached, started=started)
        log.info(f"{done.name}: {'cached' if cached else f'ran {done.seconds:.1f} s'}")
        self.outcomes.append(done)
        return plan.stage.output_type.model_validate(record.output)

    def run(self, plan: Plan[Any]) -> tuple[StageRecord, bool]:
        """Return the cache entry, and whether it was there already."""
        with name_stage(plan.label):
            return self.load_or_compute(plan)

    def load_or_compute(self, plan: Plan[Any]) -> tuple[StageRecord, bool]:
        """Look up a stage run, or compute it and write its cache entry; see `run`."""
        refresh = self.must_refresh(plan)
        if not refresh and (record := plan.load(self.store)):
            self.store.mark_used(plan.record_name)
            return record, True
        lock = self.store.lock(plan.lock_name)
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            log.info(f"{plan.label}: waiting for another run that computes it")
            held = lock.acquire()
        with held:  # `with lock` would take it a second time
            if not refresh and (record := plan.load(self.store)):
                return record, True
            reason = plan.reason(self.store, refresh=refresh)
            log.info(f"{plan.label}: running ({reason})")
            record = plan.compute(self.store, reason)
            self.write(plan, record)
        return record, False

    def write(self, plan: Plan[Any], record: StageRecord) -> None:
        """Write a cache entry."""
        content = record.model_dump_json(indent=1).encode()
        self.store.write_record(plan.record_name, content)


@dataclass
class PrefectExecutor(LocalExecutor):
    """Run each stage as a Prefect task, which Prefect watches, but does not cache."""

    states: dict[str, "State[Any]"] = field(default_factory=dict)
    """Prefect's state of each stage, by the folder of its outputs."""

    def run(self, plan: Plan[Any]) -> tuple[StageRecord, bool]:
        """Return the cache entry, and whether it was there already, as a task of Prefect."""
        from tasks.engine.prefect_task import run_as_task

        wait_for = [self.states[folder] for folder in plan.upstream if folder in self.states]
        found: list[tuple[StageRecord, bool]] = []

        def compute() -> str | None:
            found.append(super(PrefectExecutor, self).run(plan))
            record, cached = found[-1]
            return None if cached else record.reason

        self.states[plan.folder] = run_as_task(plan, compute, wait_for)
        return found[-1]


class NotCachedError(Exception):
    """A stage would have to run."""


@dataclass
class LookupExecutor(BaseExecutor):
    """Compute nothing: use cached results, and note for each stage whether it would run."""

    cached_only: bool = False
    """Whether a stage that would run is an error."""
    verdicts: list[tuple[str, str]] = field(default_factory=list)
    """Label of each stage, and `up to date` or why it would run."""

    def call(self, stage: Stage[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the stage's cached result, or an `Unknown` value.

        Raises:
            NotCachedError: there is none, and only cached results are wanted.
        """
        arguments = stage.arguments(*args, **kwargs)
        if any(map(is_unknown, arguments.values())):
            # The key is not known: it may turn out that nothing has changed.
            unknown: R = self.add_unknown(stage.label.format(**arguments), "upstream will run")
            return unknown
        started = time.monotonic()
        plan = self.repeated(stage.plan(*args, **kwargs))
        record, refresh = plan.load(self.store), self.must_refresh(plan)
        if record is None or refresh:
            if self.cached_only:
                raise NotCachedError(plan.label)
            missing: R = self.add_unknown(plan.label, plan.reason(self.store, refresh=refresh))
            return missing
        if self.cached_only:
            self.store.mark_used(plan.record_name)
        self.outcomes.append(outcome(plan, record, cached=True, started=started))
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


def other_processor(plan: Plan[Any], record: StageRecord) -> str:
    """Return a note for a result of TensorFlow that other vector instructions computed."""
    then, now = record.instructions, instruction_set()
    if "tensorflow" not in plan.stage.libraries or then in ("", now):
        return ""
    return f" (computed with {then}; with {now} here, its last bits would differ)"


class Unknown:
    """The result of a stage that a lookup has not found, and everything in it.

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
