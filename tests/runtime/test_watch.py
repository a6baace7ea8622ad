"""The watch for runs whose process has gone: a real server, short silences."""

import contextlib
import time
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRunPolicy, State
from prefect.events import emit_event
from prefect.events.worker import EventsWorker
from prefect.exceptions import ObjectAlreadyExists
from prefect.states import Cancelling, Completed, Failed, Pending, Running

from tasks.runtime.watch import Watch

pytestmark = pytest.mark.server

POOL = "watched"
SILENCE = 1.0

Start = Callable[..., UUID]


@flow
def silent() -> None:
    """Never called: its runs have no process."""


@pytest.fixture
def client(prefect_server: str) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        with contextlib.suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        yield client


@pytest.fixture
def watch(client: SyncPrefectClient) -> Watch:
    watch = Watch(POOL, silence=SILENCE, poll=10.0)
    watch.look(client)
    return watch


@pytest.fixture
def start(client: SyncPrefectClient) -> Start:
    """Create a run and lead it through states."""
    deployment = client.create_deployment(
        client.create_flow(silent), name="silent", work_pool_name=POOL
    )

    def create(*states: State, policy: FlowRunPolicy | None = None) -> UUID:
        run_id: UUID = client.create_flow_run_from_deployment(deployment).id
        if policy:
            client.update_flow_run(run_id, empirical_policy=policy)
        for state in states:
            client.set_flow_run_state(run_id, state)
        return run_id

    return create


def name_of(client: SyncPrefectClient, run: UUID) -> str | None:
    state = client.read_flow_run(run).state
    return state.name if state else None


def look_twice(watch: Watch, client: SyncPrefectClient) -> None:
    """Look before and after the silence."""
    watch.look(client)
    time.sleep(SILENCE)
    watch.look(client)


def test_silent_runs_end(client: SyncPrefectClient, watch: Watch, start: Start) -> None:
    runs = {
        start(Pending()): "Crashed",
        start(Pending(), Running()): "Crashed",
        start(): "Scheduled",
        start(Pending(), Running(), Completed()): "Completed",
    }
    look_twice(watch, client)
    assert {run: name_of(client, run) for run in runs} == runs


def test_run_that_stays_cancelling_is_cancelled_once_more_before_it_ends(
    client: SyncPrefectClient, watch: Watch, start: Start
) -> None:
    run = start(Pending(), Running(), Cancelling())
    before = client.read_flow_run(run).state_id
    look_twice(watch, client)
    assert name_of(client, run) == "Cancelling"
    assert client.read_flow_run(run).state_id != before
    look_twice(watch, client)
    assert name_of(client, run) == "Cancelled"


def test_a_heartbeat_is_a_sign_of_life(
    client: SyncPrefectClient, watch: Watch, start: Start
) -> None:
    run = start(Pending(), Running())
    watch.silence = 60
    watch.look(client)
    sign, since = watch.signs[run]
    resource = {"prefect.resource.id": f"prefect.flow-run.{run}"}
    emit_event("prefect.flow-run.heartbeat", resource=resource)
    EventsWorker.drain_all(timeout=5)
    until = time.monotonic() + 30
    while watch.signs[run][0] == sign:  # the server stores events every few seconds
        assert time.monotonic() < until
        time.sleep(0.2)
        watch.look(client)
    assert watch.signs[run][1] > since


def test_a_run_that_waits_for_its_next_try_lives_until_then(
    client: SyncPrefectClient, watch: Watch, start: Start
) -> None:
    policy = FlowRunPolicy(retries=1, retry_delay=2)
    run = start(Pending(), Running(), Failed(), policy=policy)
    assert name_of(client, run) == "AwaitingRetry"
    look_twice(watch, client)
    assert name_of(client, run) == "AwaitingRetry"
    time.sleep(2.1)
    watch.look(client)
    assert name_of(client, run) == "Crashed"


def test_after_a_gap_in_the_view_silence_is_measured_anew(
    client: SyncPrefectClient, watch: Watch, start: Start
) -> None:
    run = start(Pending(), Running())
    watch.look(client)
    time.sleep(SILENCE)
    watch.looked -= 1000  # as after an outage of the server
    watch.look(client)
    assert name_of(client, run) == "Running"
    time.sleep(SILENCE)
    watch.look(client)
    assert name_of(client, run) == "Crashed"
