"""Prefect's cache with two additions: checked hits, and locks that end with their owner."""

import threading
import time
from collections.abc import Callable, Iterator
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

from tasks.engine import layout
from tasks.engine.concurrency import limit_concurrency
from tasks.engine.lease import Lease
from tasks.engine.progress import progress_artifact
from tasks.engine.remote import name_stage
from tasks.engine.stage import Plan
from tasks.engine.store import Store
from tasks.runtime import dask
from tasks.runtime.console import log
from tasks.runtime.threads import threads
from tasks.runtime.watch import SILENCE_SECONDS


def run_cached(
    plan: Plan[Any],
    store: Store,
    *,
    refresh: bool,
    wait_for: list[State[Any]],
    task_runner: TaskRunner[Any] | None = None,
) -> State[Any]:
    """Run a stage as a Prefect task whose result is the stage's record.

    Args:
        plan: the stage run; the name of its cache entry is Prefect's cache key.
        store: the artifact root.
        refresh: run even if the cache entry is valid.
        wait_for: states of the tasks that produced the inputs.
        task_runner: runner whose workers run the task; None: this process.

    Returns:
        The final state, without the result; its name is `Cached` if nothing had to be done.

    Raises:
        Exception: what the stage raised.
    """
    policy = CachePolicy.from_cache_key_fn(lambda *_: plan.record_name).configure(
        key_storage=CheckedRecords.over(store, plan),
        lock_manager=OwnerLocks(store),
        isolation_level=IsolationLevel.SERIALIZABLE,
    )
    on_worker, count = task_runner is not None, threads()

    def compute() -> dict[str, Any]:
        if on_worker:
            dask.prepare_worker(count)
        with (
            limit_concurrency(global_limit),
            name_stage(plan.label),
            progress_artifact(f"mnist-{plan.stage.name}-progress"),
        ):
            reason = plan.reason(store, refresh=refresh)
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
    if task_runner is None:
        state = task(return_state=True, wait_for=wait_for)
    else:
        state = dask.submit(task_runner, task, plan.label, wait_for, needs_gpu=needs_gpu(plan))
    if not state.is_completed():
        state.result()
    # Prefect walks through all that it finds here, for each task that waits for it.
    return state.model_copy(update={"data": True})


def needs_gpu(plan: Plan[Any]) -> bool:
    """Return whether a stage run asks for a GPU."""
    return any(getattr(value, "device", None) == "gpu" for value in plan.arguments.values())


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


RECORD_JSON = JSONSerializer(
    object_encoder=None,
    object_decoder=None,
    dumps_kwargs={"indent": 1, "ensure_ascii": False},
)
"""Plain JSON. Prefect's own decoder would import and call what a cache entry names."""


class PlanFiles(WritableFileSystem):
    """Prefect's view of one stage run."""

    _store: Store = PrivateAttr()
    _plan: Plan[Any] = PrivateAttr()

    @classmethod
    def over(cls, store: Store, plan: Plan[Any]) -> Self:
        files = cls()
        files._store = store
        files._plan = plan
        return files


class CheckedRecords(PlanFiles):
    """Metadata of a cache entry, found only if the entry and all its files are intact.

    Prefect reads a key's metadata to find out whether there is a result. The metadata is made
    here on each request: so a moved artifact root stays valid, and a damaged result is not
    found.
    """

    def read_path(self, path: str, _sync: bool = True) -> bytes:  # type: ignore[override]
        if self._plan.load(self._store) is None:
            raise ValueError(f"{path} cannot be used")
        metadata = ResultRecordMetadata(storage_key=path, serializer=RECORD_JSON)
        return metadata.dump_bytes()

    def write_path(self, path: str, content: bytes, _sync: bool = True) -> None:  # type: ignore[override]
        """Write nothing: the cache entry holds everything."""


class Records(PlanFiles):
    """Results of tasks in Prefect's sense: the store's cache entries."""

    def _resolve_path(self, path: str) -> Path:
        """Return the path unchanged; Prefect would make it absolute, valid on one machine."""
        return Path(path)

    def read_path(self, path: str, _sync: bool = True) -> bytes:  # type: ignore[override]
        return self._store.read(f"{layout.RECORDS}/{path}")

    def write_path(self, path: str, content: bytes, _sync: bool = True) -> None:  # type: ignore[override]
        # Prefect writes pickled exceptions of failed tasks here, too: they are not stored.
        if path == self._plan.record_name:
            self._store.write_record(path, content)


@dataclass
class OwnerLocks(LockManager):
    """Locks for Prefect's transactions that end with the process that holds them.

    They behave like Prefect's `MemoryLockManager`. Prefect's `FileSystemLockManager` leaves its
    lock behind when a run is killed, and the next run waits for it forever.
    """

    store: Store
    held: dict[str, "HeldLock"] = field(default_factory=dict)
    """Locks of this process, by key."""

    def __reduce__(self) -> tuple[type["OwnerLocks"], tuple[Store]]:
        return OwnerLocks, (self.store,)  # locks stay with their process

    def acquire_lock(
        self,
        key: str,
        holder: str,
        acquire_timeout: float | None = None,
        hold_timeout: float | None = None,
    ) -> bool:
        """Acquire the lock of a cache entry; return whether that worked in time."""
        if self.is_lock_holder(key, holder):
            return True
        until = None if acquire_timeout is None else time.monotonic() + acquire_timeout
        if not self.wait_in_process(key, acquire_timeout):
            return False
        lock = self.store.lock(layout.record_lock_name(key))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info(f"{layout.record_lock_name(key)}: waiting for another run that computes it")
            try:
                lock.acquire(timeout=-1 if until is None else max(0.0, until - time.monotonic()))
            except Timeout:
                return False
        self.held[key] = HeldLock(holder, lock)
        if hold_timeout is not None:
            self.held[key].expire_after(hold_timeout, lambda: self.release_lock(key, holder))
        return True

    def release_lock(self, key: str, holder: str) -> None:
        """Release a lock; one that a rollback has released already is left alone.

        Raises:
            ValueError: another holder has it.
        """
        if key not in self.held:
            return
        if not self.is_lock_holder(key, holder):
            raise ValueError(f"{holder} does not hold the lock of {key}")
        self.held.pop(key).release()

    def is_locked(self, key: str) -> bool:
        """Return whether anybody holds the lock of a cache entry."""
        if key in self.held:
            return True
        if "-" not in key:
            return False  # the key of a failed task, not of a cache entry
        with self.store.if_free(layout.record_lock_name(key)) as free:
            return not free

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Return whether this holder has the lock of a cache entry."""
        return key in self.held and self.held[key].holder == holder

    def wait_in_process(self, key: str, timeout: float | None) -> bool:
        """Wait until no holder of this process has a lock; return whether that was in time."""
        held = self.held.get(key)
        return held is None or held.released.wait(timeout)

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until a lock is free; return whether that was in time."""
        until = None if timeout is None else time.monotonic() + timeout
        if not self.wait_in_process(key, timeout):
            return False
        left = -1 if until is None else max(0.0, until - time.monotonic())
        try:
            with self.store.lock(layout.record_lock_name(key)).acquire(timeout=left):
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
        """Acquire a lock without blocking the event loop; see `acquire_lock`."""
        return await run_sync_in_worker_thread(
            self.acquire_lock, key, holder, acquire_timeout, hold_timeout
        )

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait for a lock without blocking the event loop; see `wait_for_lock`."""
        return await run_sync_in_worker_thread(self.wait_for_lock, key, timeout)


class HeldLock:
    """A lock of this process and its holder."""

    def __init__(self, holder: str, lock: FileLock | Lease) -> None:
        self.holder = holder
        self.lock = lock
        self.released = threading.Event()
        self.timer: threading.Timer | None = None

    def expire_after(self, seconds: float, release: Callable[[], None]) -> None:
        """Release the lock when its time is over."""
        self.timer = threading.Timer(seconds, release)
        self.timer.daemon = True
        self.timer.start()

    def release(self) -> None:
        """Release the lock, and wake those that wait for it in this process."""
        if self.timer is not None:
            self.timer.cancel()
        self.lock.release()
        self.released.set()
