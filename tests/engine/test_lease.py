"""Tests of leases: one holder at a time, silent owners and their successors."""

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import Timeout
from helpers.two_machines import lease

from tasks.engine import lease as lease_module
from tasks.engine.lease import Lease
from tasks.engine.remote import Remote
from tasks.engine.store import Store


@pytest.mark.usefixtures("short_lease_times")
def test_lease_is_held_by_one_machine_until_release(remote_store: Store, tmp_path: Path) -> None:
    ours, theirs = lease(remote_store, tmp_path / "ours"), lease(remote_store, tmp_path / "theirs")
    with ours.acquire():
        with pytest.raises(Timeout):
            theirs.acquire(timeout=1.5)  # three times EXPIRE_SECONDS
        assert not theirs.local.is_locked
    with theirs.acquire(timeout=0):
        pass
    assert remote_store.remote
    assert remote_store.remote.listing("locks") == {}


@pytest.mark.usefixtures("short_lease_times")
def test_expired_lease_is_taken_over(remote_store: Store, tmp_path: Path) -> None:
    assert remote_store.remote
    remote_store.remote.write("locks/one", b"somebody 7")  # never renewed
    with lease(remote_store, tmp_path / "ours").acquire(timeout=5):
        assert not remote_store.remote.read("locks/one").startswith(b"somebody")


def most_inside(store: Store, folder: Path) -> list[int]:
    """Let four owners ask for a lease at once; return how many held it as each one came in."""
    start = threading.Barrier(4)
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        mine = lease(store, folder / str(number))
        start.wait()
        with mine.acquire():
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.05)
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return most


@pytest.mark.usefixtures("short_lease_times")
def test_waiting_owners_hold_a_lease_one_at_a_time(remote_store: Store, tmp_path: Path) -> None:
    assert most_inside(remote_store, tmp_path) == [1, 1, 1, 1]


class Stopped(Remote):
    """A remote whose user is stopped once, just before an operation on a file."""

    def create(self, name: str, content: bytes) -> bool:
        self.reach("create", name)
        return super().create(name, content)

    def write(self, name: str, content: bytes) -> None:
        self.reach("write", name)
        super().write(name, content)

    def reach(self, operation: str, name: str) -> None:
        moment, meanwhile = vars(self).get("stop", ("", None))
        if meanwhile and f"{operation} {name}".startswith(moment):
            vars(self)["stop"] = ("", None)
            meanwhile()


def stopped(store: Store, tmp_path: Path, moment: str, meanwhile: Callable[[], object]) -> Lease:
    assert store.remote
    remote = Stopped(store.remote.url)
    vars(remote)["stop"] = moment, meanwhile
    return lease(Store(tmp_path, remote), tmp_path / "ours")


@pytest.mark.usefixtures("short_lease_times")
def test_a_waiting_process_does_not_remove_the_file_of_a_faster_one(
    remote_store: Store, tmp_path: Path
) -> None:
    """It has seen the silent owner's file, and is stopped while another one takes over."""
    assert remote_store.remote
    remote_store.remote.write("locks/one", b"somebody 7")
    theirs = lease(remote_store, tmp_path / "theirs")
    ours = stopped(
        remote_store, tmp_path, "create locks/one.after", lambda: theirs.acquire(timeout=5)
    )
    with pytest.raises(Timeout):
        ours.acquire(timeout=2)
    assert remote_store.remote.read("locks/one").startswith(theirs.token.encode())
    theirs.release()
    assert remote_store.remote.listing("locks") == {}


@pytest.mark.usefixtures("short_lease_times")
def test_a_successor_that_is_slow_is_the_only_one(remote_store: Store, tmp_path: Path) -> None:
    """It is stopped between its claim and its file."""
    assert remote_store.remote
    remote_store.remote.write("locks/one", b"somebody 7")
    theirs = lease(remote_store, tmp_path / "theirs")

    def try_to_take() -> None:
        with pytest.raises(Timeout):
            theirs.acquire(timeout=0.8)

    with stopped(remote_store, tmp_path, "write locks/one", try_to_take).acquire(timeout=5) as ours:
        assert remote_store.remote.read("locks/one").startswith(ours.token.encode())


@pytest.mark.usefixtures("short_lease_times")
def test_a_successor_that_died_does_not_block_the_lease(
    remote_store: Store, tmp_path: Path
) -> None:
    assert remote_store.remote
    remote_store.remote.write("locks/one", b"somebody 7")
    claim = hashlib.sha256(b"somebody 7").hexdigest()[:16]
    remote_store.remote.write(f"locks/one.after-{claim}", b"")
    with lease(remote_store, tmp_path / "ours").acquire(timeout=10):
        assert remote_store.remote.listing("locks").keys() == {"one"}


@pytest.mark.usefixtures("short_lease_times")
def test_an_owner_that_was_silent_leaves_the_lease_to_its_successor(
    remote_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is stopped for longer than a silent owner is granted, then goes on."""
    ours, theirs = lease(remote_store, tmp_path / "ours"), lease(remote_store, tmp_path / "theirs")
    monkeypatch.setattr(lease_module, "RENEW_SECONDS", 3600.0)
    ours.acquire()
    monkeypatch.setattr(lease_module, "RENEW_SECONDS", 0.05)
    theirs.acquire(timeout=5)
    ours.release()
    assert remote_store.remote
    assert remote_store.remote.read("locks/one").startswith(theirs.token.encode())
    theirs.release()


class LooksFirst(Remote):
    """A file system without a conditional request: it looks, and then writes."""

    creates_alone = False

    def create(self, name: str, content: bytes) -> bool:
        if name in {f"locks/{found}" for found in self.listing("locks")}:
            return False
        time.sleep(0.05)
        self.write(name, content)
        return True


@pytest.mark.usefixtures("short_lease_times")
def test_one_holder_where_two_can_create_a_file(remote_store: Store, tmp_path: Path) -> None:
    assert remote_store.remote
    store = Store(tmp_path, LooksFirst(remote_store.remote.url))
    assert most_inside(store, tmp_path) == [1, 1, 1, 1]
