"""A stage run as a Prefect task: its state, its progress, and the slots of concurrency limits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.objects import State
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists
from prefect.states import Completed

from tasks.engine.concurrency import limit_concurrency
from tasks.engine.progress import progress_artifact
from tasks.engine.stage import Plan
from tasks.runtime.console import log
from tasks.runtime.watch import SILENCE_SECONDS


def run_as_task(
    plan: Plan[Any], compute: Callable[[], str | None], wait_for: list[State[Any]]
) -> State[Any]:
    """Run a stage as a Prefect task.

    Args:
        plan: the stage run.
        compute: returns why the stage ran; None if its result was cached.
        wait_for: states of the tasks that produced the inputs.

    Returns:
        The final state; its name is `Cached` if nothing had to be done.

    Raises:
        Exception: what the stage raised.
    """

    def body() -> State[Any]:
        with (
            limit_concurrency(global_limit),
            progress_artifact(f"mnist-{plan.stage.name}-progress"),
        ):
            reason = compute()
        if reason is None:
            return Completed(name="Cached", message="unchanged; its files are intact", data=True)
        return Completed(message=reason, data=True)

    task = Task(
        body,
        name=plan.stage.name,
        task_run_name=plan.label,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    state: State[Any] = task(return_state=True, wait_for=wait_for)
    if not state.is_completed():
        state.result()
    return state


@contextmanager
def global_limit(name: str) -> Iterator[None]:
    """Hold a slot of one of Prefect's global concurrency limits.

    A limit that the server does not know is created with one slot; change it there for more. The
    slot of a run that dies is free again after `SILENCE_SECONDS`.

    Args:
        name: name of the limit.
    """
    with get_client(sync_client=True) as client:
        with suppress(ObjectAlreadyExists):
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
        limit = client.read_global_concurrency_limit_by_name(name)
    if limit.active_slots >= limit.limit:
        log.info(f"waiting for a slot of Prefect's concurrency limit `{name}`")
    with concurrency(name, lease_duration=SILENCE_SECONDS):
        yield
