"""Tests of locks of cache entries, by the rules of Prefect's lock managers."""

import asyncio
import pickle
import threading
import time

import pytest

from tasks.engine import Store
from tasks.engine.prefect_cache import OwnerLocks

KEY = f"train-{'1' * 64}.json"


@pytest.fixture
def locks(store: Store) -> OwnerLocks:
    return OwnerLocks(store)


def test_lock_has_one_holder(locks: OwnerLocks) -> None:
    assert locks.acquire_lock(KEY, "a")
    assert locks.acquire_lock(KEY, "a")
    assert not locks.acquire_lock(KEY, "b", acquire_timeout=0.1)
    assert locks.is_locked(KEY)
    assert locks.is_lock_holder(KEY, "a")
    assert not locks.is_lock_holder(KEY, "b")
    locks.release_lock(KEY, "a")
    assert not locks.is_locked(KEY)
    assert locks.acquire_lock(KEY, "b")


def test_another_process_sees_the_lock(locks: OwnerLocks, store: Store) -> None:
    locks.acquire_lock(KEY, "a")
    other = OwnerLocks(store)
    assert other.is_locked(KEY)
    assert not other.wait_for_lock(KEY, timeout=0.1)
    assert not other.acquire_lock(KEY, "b", acquire_timeout=0.1)
    locks.release_lock(KEY, "a")
    assert other.wait_for_lock(KEY, timeout=5)


def test_released_lock_can_be_released_again(locks: OwnerLocks) -> None:
    locks.acquire_lock(KEY, "a")
    locks.release_lock(KEY, "a")
    locks.release_lock(KEY, "a")


def test_lock_of_another_holder_cannot_be_released(locks: OwnerLocks) -> None:
    locks.acquire_lock(KEY, "a")
    with pytest.raises(ValueError, match="does not hold"):
        locks.release_lock(KEY, "b")
    assert locks.is_lock_holder(KEY, "a")


def test_hold_timeout_releases_the_lock(locks: OwnerLocks) -> None:
    locks.acquire_lock(KEY, "a", hold_timeout=0.1)
    assert locks.acquire_lock(KEY, "b", acquire_timeout=10)
    assert locks.is_lock_holder(KEY, "b")


def test_wait_in_the_same_process_ends_with_the_release(locks: OwnerLocks) -> None:
    locks.acquire_lock(KEY, "a")
    assert not locks.wait_for_lock(KEY, timeout=0.1)
    threading.Timer(0.2, lambda: locks.release_lock(KEY, "a")).start()
    assert locks.wait_for_lock(KEY, timeout=10)


def test_wait_does_not_block_the_event_loop(locks: OwnerLocks) -> None:
    async def wait_beside_other_work() -> bool:
        waiting = asyncio.create_task(locks.aacquire_lock(KEY, "b", acquire_timeout=10))
        await asyncio.sleep(0.05)
        locks.release_lock(KEY, "a")
        return await waiting

    locks.acquire_lock(KEY, "a")
    assert asyncio.run(wait_beside_other_work())


def test_pickled_manager_works(locks: OwnerLocks) -> None:
    locks.acquire_lock(KEY, "a")
    copy = pickle.loads(pickle.dumps(locks))
    assert copy.is_locked(KEY)
    assert not copy.is_lock_holder(KEY, "a")
    locks.release_lock(KEY, "a")
    assert copy.acquire_lock(KEY, "a", acquire_timeout=5)


def test_only_one_of_many_threads_holds_a_lock(locks: OwnerLocks) -> None:
    inside, most = 0, 0

    def work(holder: str) -> None:
        nonlocal inside, most
        assert locks.acquire_lock(KEY, holder, acquire_timeout=30)
        inside += 1
        most = max(most, inside)
        time.sleep(0.01)
        inside -= 1
        locks.release_lock(KEY, holder)

    threads = [threading.Thread(target=work, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert not locks.is_locked(KEY)
