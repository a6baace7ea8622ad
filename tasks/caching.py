"""Prefect's cache with the two things that it lacks: checked hits, and locks that die
with their owner."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from filelock import BaseFileLock, Timeout
from prefect import Task
from prefect.cache_policies import CachePolicy
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.objects import State
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists
from prefect.filesystems import WritableFileSystem
from prefect.locking.protocol import LockManager
from prefect.results import ResultRecord, ResultRecordMetadata  # type: ignore[attr-defined]
from prefect.serializers import JSONSerializer
from prefect.transactions import IsolationLevel
from prefect.utilities.asyncutils import run_sync_in_worker_thread
from pydantic import PrivateAttr

from tasks.console import log
from tasks.live import progress_artifact
from tasks.stage import Plan
from tasks.store import Store
from tasks.turns import limiter

LEASE_SECONDS = 90.0
"""After so long without a sign of life a run's turn is over, and it counts as crashed."""


def run_cached(
    compute: Callable[[], dict[str, Any]],
    plan: Plan[Any],
    store: Store,
    *,
    refresh: bool,
    wait_for: list[State[Any]],
) -> State[Any]:
    """Run a stage as a Prefect task whose result is the stage's record.

    Args:
        compute: gives the record, in JSON form.
        plan: what is to be run; its record's name is Prefect's cache key.
        store: the artifact root.
        refresh: run even if the record can be used.
        wait_for: states of the tasks that the inputs come from.

    Returns:
        The final state; its name is `Cached` if nothing had to be done.

    Raises:
        Exception: what `compute` raised.
    """
    policy = FixedKey(plan.record_name).configure(
        key_storage=CheckedRecords.over(store, plan),
        lock_manager=OwnerLocks(store),
        isolation_level=IsolationLevel.SERIALIZABLE,
    )

    def compute_in_sight() -> dict[str, Any]:
        token = limiter.set(one_at_a_time)
        try:
            with progress_artifact(f"mnist-{plan.stage.name}-progress"):
                return compute()
        finally:
            limiter.reset(token)

    task = Task(
        compute_in_sight,
        name=plan.stage.name,
        task_run_name=plan.label,
        cache_policy=policy,
        result_storage=store.records,
        result_serializer=RECORD_JSON,
        persist_result=True,
        cache_result_in_memory=False,
        refresh_cache=refresh,
    )
    state = task(return_state=True, wait_for=wait_for)
    try:
        state.result()
    finally:
        forget_exception(state)
    return state


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


def forget_exception(state: State[Any]) -> None:
    """Remove the pickled exception that Prefect leaves among the records of failed tasks."""
    if state.is_failed() and isinstance(state.data, ResultRecord):
        Path(state.data.metadata.storage_key or "").unlink(missing_ok=True)


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


class CheckedRecords(WritableFileSystem):
    """Prefect's view of a record: there only if the record and all its files are whole.

    Prefect asks a key's metadata whether a result is there. The metadata is made up here,
    at the moment of asking, from where the records lie now: so a moved artifact root stays
    valid, and nothing that is damaged is ever found.
    """

    _store: Store = PrivateAttr()
    _plan: Plan[Any] = PrivateAttr()

    @classmethod
    def over(cls, store: Store, plan: Plan[Any]) -> Self:
        """A view of one record. (Prefect's blocks take no arguments of their own.)"""
        records = cls()
        records._store = store
        records._plan = plan
        return records

    def read_path(self, path: str, _sync: bool = True) -> bytes:  # type: ignore[override]
        if self._plan.kept(self._store) is None:
            raise ValueError(f"{path} cannot be used")
        metadata = ResultRecordMetadata(
            storage_key=str(self._store.records.resolve() / path), serializer=RECORD_JSON
        )
        return metadata.dump_bytes()

    def write_path(self, path: str, content: bytes, _sync: bool = True) -> None:  # type: ignore[override]
        """Nothing to keep: the record itself says it all."""


@dataclass
class OwnerLocks(LockManager):
    """Locks for Prefect's transactions that the operating system drops with their owner.

    Prefect's own `FileSystemLockManager` leaves its lock behind when a run is killed, and
    the next run waits for it for ever.
    """

    store: Store
    held: dict[str, tuple[str, BaseFileLock]] = field(default_factory=dict)

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
