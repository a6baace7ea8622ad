"""Watch for flow runs whose process has gone, and mark them as crashed.

Prefect leaves such runs as they are: `Pending`, `Running`, `AwaitingRetry` or `Cancelling`. An
automation that waits for heartbeat events cannot find them all: it fires for every run in progress
when the server comes back after an outage, takes the time of an event from the clock of the run's
machine, and never hears of a run that died before its first heartbeat. So each worker looks at the
states of its pool's runs every few seconds. A run whose state and newest heartbeat have not changed
for `SILENCE_SECONDS` has lost its process. Time is this process's own monotonic clock, and starts
again after every gap in the view of the server, so clocks need not agree.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.events.filters import EventFilter
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Cancelled, Cancelling, Crashed

from tasks.runtime.console import log

SILENCE_SECONDS = 90.0
"""A run without a sign of life for this time counts as crashed and loses its concurrency slots.

Heartbeats come every 30 s, see pyproject.toml.
"""
GAP_POLLS = 4
"""After so many missed looks at the server, the silence of every run is measured anew."""

ASKED_AGAIN = "Asked the worker again to cancel this run."

ACTIVE = {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}
WAITING = {"name": {"any_": ["AwaitingRetry"]}}


@dataclass
class Watch:
    """View of the runs of one work pool."""

    pool: str
    silence: float = SILENCE_SECONDS
    poll: float = 5.0
    """Seconds between two looks at the server."""
    signs: dict[UUID, tuple[object, float]] = field(default_factory=dict)
    """Newest sign of life of each run, and when it was first seen (monotonic)."""
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

        Raises:
            httpx.HTTPError: the server does not answer.
        """
        runs = {run.id: run for run in self.active_runs(client)}
        # The process of a run that is being cancelled may live on: its heartbeats do not count.
        signs = {
            id: (run.state_id, None if is_cancelling(run) else newest_heartbeat(client, id))
            for id, run in runs.items()
        }
        now = time.monotonic()
        known = self.signs if now - self.looked <= GAP_POLLS * self.poll else {}
        self.looked = now
        self.signs = {
            id: known[id] if id in known and known[id][0] == sign else (sign, now)
            for id, sign in signs.items()
        }
        for id, run in runs.items():
            if now - self.signs[id][1] >= self.silence + expected_wait(run):
                self.mark(client, run)

    def active_runs(self, client: SyncPrefectClient) -> Iterator[FlowRun]:
        """Yield the runs that should have a process."""
        pool = WorkPoolFilter.model_validate({"name": {"any_": [self.pool]}})
        for state in (ACTIVE, WAITING):
            chosen = FlowRunFilter.model_validate({"state": state})
            for run in client.read_flow_runs(flow_run_filter=chosen, work_pool_filter=pool):
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


def is_cancelling(run: FlowRun) -> bool:
    """Return whether a run is being cancelled."""
    return run.state_type == StateType.CANCELLING


def newest_heartbeat(client: SyncPrefectClient, run_id: UUID) -> UUID | None:
    """Return the id of the newest heartbeat event of a run."""
    chosen = {
        "event": {"name": ["prefect.flow-run.heartbeat"]},
        "resource": {"id": [f"prefect.flow-run.{run_id}"]},
    }
    events = client.read_events(EventFilter.model_validate(chosen), limit=1).events
    return events[0].id if events else None


def expected_wait(run: FlowRun) -> float:
    """Return the seconds for which a run waits for its next try; 0 in other states."""
    assert run.state
    scheduled = run.state.state_details.scheduled_time
    if run.state.type != StateType.SCHEDULED or scheduled is None:
        return 0.0
    return max(0.0, scheduled.timestamp() - run.state.timestamp.timestamp())
