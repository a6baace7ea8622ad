"""Prefect's cache with the two things that it lacks: checked hits, and locks that die
with their owner."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout
from prefect import Task
from prefect.cache_policies import CachePolicy
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.objects import State
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists
from prefect.filesystems import WritableFileSystem
from prefect.locking.protocol import LockManager
from prefect.results import ResultRecordMetadata  # type: ignore[attr-defined]
from prefect.serializers import JSONSerializer
from prefect.task_runners import TaskRunner
from prefect.transactions import IsolationLevel
from prefect.utilities.asyncutils import run_sync_in_worker_thread
from pydantic import PrivateAttr

from tasks import cluster
from tasks.console import log
from tasks.live import progress_artifact
from tasks.remote import Lease
from tasks.stage import Plan, naming
from tasks.store import Store
from tasks.threads import threads
from tasks.turns import taking_turns

LEASE_SECONDS = 90.0
"""After so long without a sign of life a run's turn is over, and it counts as crashed."""


def run_cached(
    plan: Plan[Any],
    store: Store,
    *,
    refresh: bool,
    wait_for: list[State[Any]],
    runner: TaskRunner[Any] | None = None,
) -> State[Any]:
    """Run a stage as a Prefect task whose result is the stage's record.

    Args:
        plan: what is to be run; its record's name is Prefect's cache key.
        store: the artifact root.
        refresh: run even if the record can be used.
        wait_for: states of the tasks that the inputs come from.
        runner: whose workers run the task; None: this process.

    Returns:
        The final state, without the result; its name is `Cached` if nothing had to be done.

    Raises:
        Exception: what the stage raised.
    """
    policy = FixedKey(plan.record_name).configure(
        key_storage=CheckedRecords.over(store, plan),
        lock_manager=OwnerLocks(store),
        isolation_level=IsolationLevel.SERIALIZABLE,
    )
    elsewhere, count = runner is not None, threads()

    def compute() -> dict[str, Any]:
        if elsewhere:
            cluster.settle_in(count)
        with (
            taking_turns(one_at_a_time),
            naming(plan.label),
            progress_artifact(f"mnist-{plan.stage.name}-progress"),
        ):
            reason = plan.reason(store, refresh)
            log.info(f"{plan.label}: running ({reason})")
            return plan.compute(store, reason).model_dump(mode="json")

    task = Task(
        compute,
        name=plan.stage.name,
        task_run_name=plan.label,
        cache_policy=policy,
        result_serializer=RECORD_JSON,
        persist_result=True,
        cache_result_in_memory=False,
        refresh_cache=refresh,
    )
    # Set afterwards: as an argument, Prefect takes only what is registered with its server.
    task.result_storage = Records.over(store, plan)
    if runner is None:
        state = task(return_state=True, wait_for=wait_for)
    else:
        state = cluster.submit(runner, task, plan.label, wait_for, iter(plan.arguments.values()))
    if not state.is_completed():
        state.result()
    # Prefect walks through all that it finds here, for each task that waits for it.
    return state.model_copy(update={"data": True})


@contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Wait until there is room under Prefect's global concurrency limit of this name.

    If the server has none, it gets one with room for one run; who has room for more changes it
    there. A run that dies leaves its place within `LEASE_SECONDS`.
    """
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
    log.info(f"waiting for a turn under Prefect's concurrency limit `{name}`")
    with concurrency(name, lease_duration=LEASE_SECONDS):
        yield


RECORD_JSON = JSONSerializer(dumps_kwargs={"indent": 1, "ensure_ascii": False})


@dataclass
class FixedKey(CachePolicy):
    """The key that the stage has computed already."""

    key: str = ""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def compute_key(self, *args: Any, **kwargs: Any) -> str:
        return self.key


class PlanFiles(WritableFileSystem):
    """What Prefect sees of one stage run. (Its blocks take no arguments of their own.)"""

    _store: Store = PrivateAttr()
    _plan: Plan[Any] = PrivateAttr()

    @classmethod
    def over(cls, store: Store, plan: Plan[Any]) -> Self:
        files = cls()
        files._store = store
        files._plan = plan
        return files


class CheckedRecords(PlanFiles):
    """Prefect's view of a record: there only if the record and all its files are whole.

    Prefect asks a key's metadata whether a result is there. The metadata is made up here,
    at the moment of asking, from where the records lie now: so a moved artifact root stays
    valid, and nothing that is damaged is ever found.
    """

    def read_path(self, path: str, _sync: bool = True) -> bytes:  # type: ignore[override]
        if self._plan.kept(self._store) is None:
            raise ValueError(f"{path} cannot be used")
        metadata = ResultRecordMetadata(storage_key=path, serializer=RECORD_JSON)
        return metadata.dump_bytes()

    def write_path(self, path: str, content: bytes, _sync: bool = True) -> None:  # type: ignore[override]
        """Nothing to keep: the record itself says it all."""


class Records(PlanFiles):
    """Where Prefect keeps its results: the store's records."""

    def _resolve_path(self, path: str) -> Path:
        """As relative as it is: Prefect would make names absolute, which hold on one machine."""
        return Path(path)

    def read_path(self, path: str, _sync: bool = True) -> bytes:  # type: ignore[override]
        return self._store.read(f"records/{path}")

    def write_path(self, path: str, content: bytes, _sync: bool = True) -> None:  # type: ignore[override]
        # Exceptions of tasks that failed would be kept here too, pickled under random names.
        if path == self._plan.record_name:
            self._store.write_record(path, content)


@dataclass
class OwnerLocks(LockManager):
    """Locks for Prefect's transactions that the operating system drops with their owner.

    Prefect's own `FileSystemLockManager` leaves its lock behind when a run is killed, and
    the next run waits for it for ever.
    """

    store: Store
    held: dict[str, tuple[str, FileLock | Lease]] = field(default_factory=dict)

    def name(self, key: str) -> str:
        """Name of a record's lock: that of the folder of its stage run."""
        stage, _, digest = key.rpartition("-")
        return f"{stage}-{digest[:12]}"

    def acquire_lock(
        self,
        key: str,
        holder: str,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        if self.is_lock_holder(key, holder):
            return True
        lock = self.store.lock(self.name(key))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info(f"{self.name(key)}: another run is at it; waiting")
            try:
                lock.acquire(timeout=-1 if acquire_timeout is None else acquire_timeout)
            except Timeout:
                return False
        self.held[key] = (holder, lock)
        return True

    def release_lock(self, key: str, holder: str) -> None:
        if not self.is_lock_holder(key, holder):
            raise ValueError(f"{holder} does not hold the lock of {key}")
        self.held.pop(key)[1].release()

    def is_locked(self, key: str) -> bool:
        if key in self.held:
            return True
        if "-" not in key:
            return False  # no record, but what Prefect keeps of a task that failed
        with self.store.if_free(self.name(key)) as free:
            return not free

    def is_lock_holder(self, key: str, holder: str) -> bool:
        return key in self.held and self.held[key][0] == holder

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        lock = self.store.lock(self.name(key))
        try:
            with lock.acquire(timeout=-1 if timeout is None else timeout):
                return True
        except Timeout:
            return False

    async def aacquire_lock(
        self,
        key: str,
        holder: str,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        return await run_sync_in_worker_thread(
            self.acquire_lock, key, holder, acquire_timeout, hold_timeout
        )

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        return await run_sync_in_worker_thread(self.wait_for_lock, key, timeout)
