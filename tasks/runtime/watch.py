"""Watch for flow runs whose process has gone, and mark them as crashed.

Prefect leaves such runs as they are: `Pending`, `Running`, `AwaitingRetry` or `Cancelling`. An
automation that waits for heartbeat events cannot find them all: it fires for every run in progress
when the server comes back after an outage, takes the time of an event from the clock of the run's
machine, and never hears of a run that died before its first heartbeat. So each worker looks at the
states of its pool's runs every few seconds. A run whose state and newest heartbeat have not changed
for `SILENCE_SECONDS` has lost its process. Time is this process's own monotonic clock, and starts
again after every gap in the view of the server, so clocks need not agree.
"""

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
    LogFilter,
    LogFilterFlowRunId,
    LogFilterLevel,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort, LogSort
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelled, Cancelling, Crashed

from tasks.runtime.console import log
from tasks.runtime.hooks import FAILURE_KEY, publish_reason

SILENCE_SECONDS = 90.0
"""A run without a sign of life for this time counts as crashed and loses its concurrency slots.

Heartbeats come every 30 s, see pyproject.toml.
"""
POLL_SECONDS = 5.0
CRASHED_RUNS = 20
"""Newest crashed runs that are looked at."""
GAP_POLLS = 4
"""After so many missed looks at the server, the silence of every run is measured anew."""

ASKED_AGAIN = "Asked the worker again to cancel this run."

ACTIVE = FlowRunFilterState(
    type=FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING, StateType.CANCELLING])
)
CRASHED = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CRASHED]))
WAITING = FlowRunFilterState(name=FlowRunFilterStateName(any_=["AwaitingRetry"]))


@dataclass
class Watch:
    """View of the runs of one work pool."""

    pool: str
    silence: float = SILENCE_SECONDS
    poll: float = POLL_SECONDS
    signs: dict[UUID, tuple[object, float]] = field(default_factory=dict)
    """Newest sign of life of each run, and when it was first seen (monotonic)."""
    crashed: dict[UUID, float] | None = None
    """When each crashed run was first seen (monotonic); infinite before the first look."""
    looked: float = 0.0
    """Time of the last successful look (monotonic)."""

    def run(self) -> None:
        """Look at the server until the process ends."""
        while True:
            try:
                with get_client(sync_client=True) as client:
                    self.look(client)
            except (httpx.HTTPError, PrefectHTTPStatusError):
                pass  # no server; the next look sees the gap
            except Exception as error:  # the watch must not end before its worker
                log.warning(f"watch: {type(error).__name__}: {error}")
            time.sleep(self.poll)

    def look(self, client: SyncPrefectClient) -> None:
        """Look at all runs once, and mark the silent ones.

        Args:
            client: client of the server.

        Raises:
            httpx.HTTPError: the server does not answer.
        """
        runs = {run.id: run for run in self.active_runs(client)}
        beats = {id: newest_heartbeat(client, id) for id in runs}
        now = time.monotonic()
        if now - self.looked > GAP_POLLS * self.poll:
            self.signs = {}
        self.looked = now
        for id in self.signs.keys() - runs.keys():
            del self.signs[id]
        for id, run in runs.items():
            # The process of a run that is being cancelled may live on: its heartbeats do not count.
            sign = (run.state_id, None if is_cancelling(run) else beats[id])
            if id not in self.signs or self.signs[id][0] != sign:
                self.signs[id] = (sign, now)
            elif now - self.signs[id][1] >= self.silence + expected_wait(run):
                self.mark(client, run)
        self.leave_reasons(client, now)

    def leave_reasons(self, client: SyncPrefectClient, now: float) -> None:
        """Publish the reasons of crashed runs whose own hook did not, such as a failed import.

        Args:
            client: client of the server.
            now: time of this look (monotonic).
        """
        newest = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=CRASHED),
            work_pool_filter=self.pool_filter,
            sort=FlowRunSort.END_TIME_DESC,
            limit=CRASHED_RUNS,
        )
        if self.crashed is None:
            self.crashed = {run.id: math.inf for run in newest}
        for run in newest:
            since = self.crashed.setdefault(run.id, now)
            if now - since >= self.silence / 3:  # a hook has had its time
                self.crashed[run.id] = math.inf
                leave_reason(client, run.id)

    @property
    def pool_filter(self) -> WorkPoolFilter:
        """Return the filter for this work pool."""
        return WorkPoolFilter(name=WorkPoolFilterName(any_=[self.pool]))

    def active_runs(self, client: SyncPrefectClient) -> Iterator[FlowRun]:
        """Yield the runs that should have a process."""
        for state in (ACTIVE, WAITING):
            for run in client.read_flow_runs(
                flow_run_filter=FlowRunFilter(state=state), work_pool_filter=self.pool_filter
            ):
                # Other waiting runs have no process yet; a worker will start one.
                if state is ACTIVE or run.empirical_policy.retry_type == "in_process":
                    yield run

    def mark(self, client: SyncPrefectClient, run: FlowRun) -> None:
        """Mark a silent run as crashed, or as cancelled if it was being cancelled.

        A server that is killed may lose the message to the worker that a run is to be cancelled. So
        the state is first set once more, which sends the message again.
        """
        assert run.state
        if is_cancelling(run) and run.state.message != ASKED_AGAIN:
            client.set_flow_run_state(run.id, Cancelling(message=ASKED_AGAIN), force=True)
            return
        message = (
            f"{run.state.name} without a sign of life for {self.silence:.0f} s; its process or"
            " machine seems to be gone."
        )
        state: State[Any] = (Cancelled if is_cancelling(run) else Crashed)(message=message)
        client.set_flow_run_state(run.id, state)
        leave_reason(client, run.id)


def is_cancelling(run: FlowRun) -> bool:
    """Return whether a run is being cancelled."""
    return run.state_type == StateType.CANCELLING


def newest_heartbeat(client: SyncPrefectClient, run_id: UUID) -> UUID | None:
    """Return the id of the newest heartbeat event of a run."""
    events = client.read_events(
        EventFilter(
            event=EventNameFilter(name=["prefect.flow-run.heartbeat"]),
            resource=EventResourceFilter(id=[f"prefect.flow-run.{run_id}"]),
        ),
        limit=1,
    ).events
    return events[0].id if events else None


def expected_wait(run: FlowRun) -> float:
    """Return the seconds for which a run waits for its next try; 0 in other states."""
    assert run.state
    scheduled = run.state.state_details.scheduled_time
    if run.state.type != StateType.SCHEDULED or scheduled is None:
        return 0.0
    return max(0.0, scheduled.timestamp() - run.state.timestamp.timestamp())


def leave_reason(client: SyncPrefectClient, run_id: UUID) -> None:
    """Publish why a run has crashed, unless its own hook did."""
    try:
        run = client.read_flow_run(run_id)
    except ObjectNotFound:
        return  # deleted, with its server's database or by hand
    published = client.read_artifacts(
        artifact_filter=ArtifactFilter(
            key=ArtifactFilterKey(any_=[FAILURE_KEY]),
            flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]),
        )
    )
    if run.state and run.state.is_crashed() and not published:
        message = " ".join(filter(None, [run.state.message, last_error(client, run_id)]))
        state = run.state.model_copy(update={"message": message})
        publish_reason(client, client.read_flow(run.flow_id).name, run, state)


def last_error(client: SyncPrefectClient, run_id: UUID) -> str:
    """Return the last line of the newest error in the log of a run, such as a failed import."""
    errors = client.read_logs(
        LogFilter(
            flow_run_id=LogFilterFlowRunId(any_=[run_id]), level=LogFilterLevel(ge_=logging.ERROR)
        ),
        limit=1,
        sort=LogSort.TIMESTAMP_DESC,
    )
    return errors[0].message.strip().splitlines()[-1] if errors else ""
