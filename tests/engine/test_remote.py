"""Tests of an artifact root at a URL, and of its leases; with fsspec's `memory://`."""

import contextlib
import dataclasses
import hashlib
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from tasks.data.convert import convert
from tasks.engine import layout, prune
from tasks.engine import lease as lease_module
from tasks.engine import store as store_module
from tasks.engine.lease import Lease
from tasks.engine.models import FileRef, StageRecord
from tasks.engine.remote import Remote
from tasks.engine.store import Store, open_store
from tasks.runtime.errors import PipelineError
from tasks.runtime.server import free_port
from tasks.settings import ConvertSettings, Settings

KEY = "0123456789ab" + "c" * 52


@pytest.fixture
def remote_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Yield an artifact root in memory, with a working copy."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    store = open_store(f"memory://{tmp_path.name}")
    store.prepare()
    assert store.remote
    yield store
    store.remote.files.store.clear()


def on_another_machine(store: Store, tmp_path: Path) -> Store:
    """Return the same root with the working copy of another machine."""
    return Store(tmp_path / "there", store.remote)


def make_output(store: Store, content: str = "hello") -> FileRef:
    with store.workspace("stage", KEY) as work:
        work.output("a.txt").write_text(content)
        return work.finished("a.txt")


def damage(store: Store, file: FileRef, content: bytes) -> None:
    assert store.remote
    store.remote.write(file.path, content)


def test_outputs_are_read_on_another_machine(remote_store: Store, tmp_path: Path) -> None:
    file = make_output(remote_store)
    there = on_another_machine(remote_store, tmp_path)
    assert there.problem(file) is None
    assert not there.place(file).exists()
    assert there.path(file).read_text() == "hello"


def test_damaged_copy_is_removed_and_computed_again(remote_store: Store, tmp_path: Path) -> None:
    file = make_output(remote_store)
    damage(remote_store, file, b"hallo")
    there = on_another_machine(remote_store, tmp_path)
    with pytest.raises(PipelineError, match=r"a\.txt was damaged and is removed; run it again"):
        there.path(file)
    assert there.remote
    assert there.problem(file) == "output missing: a.txt"


def test_other_size_is_detected_without_a_download(remote_store: Store) -> None:
    file = make_output(remote_store)
    damage(remote_store, file, b"hell")
    assert remote_store.problem(file) == "output damaged: a.txt"


def test_cache_entries_are_read_from_the_url(remote_store: Store, tmp_path: Path) -> None:
    record = StageRecord(
        stage="stage", label="stage", key=KEY, key_inputs={}, reason="", seconds=1.0, output={}
    )
    name = f"stage-{KEY}.json"
    remote_store.write_record(name, record.model_dump_json().encode())
    there = on_another_machine(remote_store, tmp_path)
    assert there.read_record(name) == record
    assert there.all_records() == there.all_records("stage") == [record]
    assert there.all_records("other") == []
    assert there.all_records("stage", newest=0) == []
    assert remote_store.remote
    remote_store.remote.remove(f"records/{name}")
    assert there.all_records() == []


def test_latest_lists_the_paths_of_linked_files(remote_store: Store) -> None:
    file = make_output(remote_store)

    def fill(folder: Path) -> None:
        (folder / "page.html").write_text("page")
        (folder / "a.txt").symlink_to(f"../../{file.path}")

    assert remote_store.replace_latest(fill) == f"{remote_store.address}/latest"
    assert remote_store.read("latest/page.html") == b"page"
    assert remote_store.read("latest/files.json") == f'{{\n "a.txt": "{file.path}"\n}}'.encode()


def test_store_is_pickled_as_its_address(
    remote_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = pickle.dumps(remote_store)
    monkeypatch.setenv("XDG_CACHE_HOME", "/another/cache")
    unpacked = pickle.loads(packed)
    assert unpacked.address == remote_store.address
    assert unpacked.root.parts[:3] == ("/", "another", "cache")


def keep(store: Store, digit: str) -> StageRecord:
    """A stage run with one output and its cache entry."""
    with store.workspace("train", digit * 64) as work:
        work.output("a.txt").write_text(digit)
        output = {"file": work.finished("a.txt").model_dump()}
    record = StageRecord(
        stage="train",
        label="train-1",
        key=digit * 64,
        key_inputs={},
        reason="never run",
        seconds=1.0,
        output=output,
    )
    store.write_record(f"train-{record.key}.json", record.model_dump_json().encode())
    return record


def remove_all_but_latest(store: Store, *needed: StageRecord) -> list[str]:
    keys = frozenset(record.key for record in needed)
    return prune.prune(store, keys, keep_latest=0, older_than=0, dry_run=False)


def files_at(store: Store) -> set[str]:
    assert store.remote
    return set(store.remote.files_below(""))


def test_prune_removes_only_files_of_the_project(remote_store: Store, tmp_path: Path) -> None:
    needed, old = keep(remote_store, "1"), keep(remote_store, "2")
    assert remote_store.remote
    mine = {"train/notes.txt", f"train/{'3' * 12}/x", f"train/{'2' * 12}x/y", "records/notes.json"}
    for name in mine:
        remote_store.remote.write(name, b"mine")
    before = files_at(remote_store)
    there = on_another_machine(remote_store, tmp_path)
    lines = prune.listing(there, {}, frozenset({needed.key}))
    assert [line.split()[:2] for line in lines[:-1]] == [["*", "1" * 12], ["2" * 12, "0.00"]]
    assert remove_all_but_latest(there, needed)[-1] == "1 stage runs, 0.00 MB removed"
    gone = {f"records/train-{old.key}.json", f"train/{'2' * 12}/a.txt"}
    assert files_at(remote_store) == before - gone
    assert mine < files_at(remote_store)


@pytest.mark.usefixtures("short_lease_times")
def test_prune_refuses_while_another_machine_uses_the_root(
    remote_store: Store, tmp_path: Path
) -> None:
    record = keep(remote_store, "1")
    there = on_another_machine(remote_store, tmp_path)
    with remote_store.in_use(), pytest.raises(PipelineError, match="a run is using these results"):
        remove_all_but_latest(there)
    assert remote_store.problem(FileRef.model_validate(record.output["file"])) is None
    assert remove_all_but_latest(there)[-1] == "1 stage runs, 0.00 MB removed"


@pytest.mark.usefixtures("short_lease_times")
def test_prune_goes_on_after_the_lease_of_a_killed_run_expires(
    remote_store: Store, tmp_path: Path
) -> None:
    assert remote_store.remote
    keep(remote_store, "1")
    remote_store.remote.write("locks/run.0123", b"somebody 7")
    assert remove_all_but_latest(remote_store)[-1] == "1 stage runs, 0.00 MB removed"
    assert remote_store.remote.listing("locks") == {}


@pytest.mark.parametrize(("name", "adopted"), [("thesis.tex", False), ("records/x", True)])
def test_url_with_other_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, adopted: bool
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    store = open_store(f"memory://{tmp_path.name}")
    assert store.remote
    store.remote.write(name, b"mine")
    if adopted:
        store.prepare()
        assert layout.MARKER in store.remote.names()
    else:
        with pytest.raises(PipelineError, match=f"--artifacts {store.address}: .* not empty"):
            store.prepare()
        assert files_at(store) == {name}
    assert store.remote.read(name) == b"mine"
    store.remote.files.store.clear()


def test_time_of_use_is_recorded_to_the_day(
    remote_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"records/train-{keep(remote_store, '1').key}.json"
    assert remote_store.remote
    before = remote_store.remote.head(name).modified
    remote_store.mark_used(name.removeprefix("records/"))
    assert remote_store.remote.head(name).modified == before
    monkeypatch.setattr(store_module, "SECONDS_PER_DAY", -1)
    remote_store.mark_used(name.removeprefix("records/"))
    assert remote_store.remote.head(name).modified > before


def test_unknown_protocol_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(PipelineError, match="nowhere://bucket: Protocol not known: nowhere"):
        open_store("nowhere://bucket").prepare()


def test_host_and_user_of_the_url_reach_the_file_system() -> None:
    remote = Remote("webhdfs://ann@namenode:9870/data/mnist")
    assert remote.files.url == "http://namenode:9870/webhdfs/v1"
    assert remote.files.pars == {"user.name": "ann"}
    assert remote.path("records/a.json") == "/data/mnist/records/a.json"
    assert remote.place("records/a.json") == "webhdfs://***@namenode:9870/data/mnist/records/a.json"


FTP_SERVER = """
import sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import ThreadedFTPServer

users = DummyAuthorizer()
users.add_user("ann", "secret", sys.argv[2], perm="elradfmwMT")
FTPHandler.authorizer = users
ThreadedFTPServer(("127.0.0.1", int(sys.argv[1])), FTPHandler).serve_forever()
"""


@pytest.fixture
def ftp_port(tmp_path: Path) -> Iterator[int]:
    """The port of a real FTP server for the folder `ftp` in `tmp_path`."""
    (tmp_path / "ftp").mkdir()
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-c", FTP_SERVER, str(port), str(tmp_path / "ftp")],
        stderr=subprocess.DEVNULL,
    ) as server:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield port
        server.kill()


def test_an_ftp_server_holds_results_and_leases(
    ftp_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    store = open_store(f"ftp://ann:secret@127.0.0.1:{ftp_port}/mnist")
    store.prepare()
    file = make_output(store)
    assert (tmp_path / "ftp" / "mnist" / file.path).read_text() == "hello"
    there = on_another_machine(store, tmp_path)
    assert there.path(file).read_text() == "hello"
    record = StageRecord(
        stage="stage", label="stage", key=KEY, key_inputs={}, reason="", seconds=1.0, output={}
    )
    store.write_record(f"stage-{KEY}.json", record.model_dump_json().encode())
    assert there.all_records("stage") == [record]
    ours, theirs = lease(store, tmp_path / "ours"), lease(there, tmp_path / "theirs")
    with ours.acquire(), pytest.raises(Timeout):
        theirs.acquire(timeout=0)
    assert store.remote
    assert store.remote.listing("locks") == {}
    assert abs(store.remote.head(file.path).modified - time.time()) < 86_400
    store.remote.remove("nothing/here")


def test_a_refused_password_is_not_printed(
    ftp_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    store = open_store(f"ftp://ann:wrong@127.0.0.1:{ftp_port}/mnist")
    with pytest.raises(PipelineError, match=r"^ftp://\*\*\*@127.* cannot be used: 530") as refused:
        store.prepare()
    assert "wrong" not in str(refused.value)


def test_missing_s3fs_error_names_the_extra(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from tasks.engine.store import open_store; open_store('s3://bucket').prepare()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    last = done.stderr.splitlines()[-1]
    assert last.endswith("s3://bucket: s3 is not installed: pip install -e '.[s3]'")


@pytest.fixture
def short_lease_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(lease_module, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(lease_module, "EXPIRE_SECONDS", 0.5)
    monkeypatch.setattr(lease_module, "SETTLE_SECONDS", 0.3)


def lease(store: Store, machine: Path) -> Lease:
    """Return the lease with the local lock of one machine."""
    machine.mkdir(exist_ok=True)
    assert store.remote
    return Lease(store.remote, "locks/one", FileLock(machine / "lock", thread_local=False))


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


@pytest.mark.usefixtures("short_lease_times")
def test_waiting_owners_hold_a_lease_one_at_a_time(remote_store: Store, tmp_path: Path) -> None:
    inside, most = [], []

    def work(number: int) -> None:
        with lease(remote_store, tmp_path / str(number)).acquire():
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.05)
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert most == [1, 1, 1, 1]


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
    start = threading.Barrier(4)
    inside, most = [], []

    def work(number: int) -> None:
        mine = lease(store, tmp_path / str(number))
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
    assert most == [1, 1, 1, 1]


def test_a_conditional_create_is_probed(remote_store: Store) -> None:
    assert remote_store.remote
    assert remote_store.remote.creates_alone
    assert not Remote("file:///tmp/x").creates_alone
    assert list(remote_store.remote.listing("")) == [layout.MARKER], "the probe is removed"


def files_for_convert() -> FileRef:
    return FileRef(path="download/0/x", sha256="0" * 64, size=1)


def test_worker_with_other_code_or_libraries_refuses_a_stage(store: Store) -> None:
    from tasks.records import IdxFiles

    file = files_for_convert()
    files = IdxFiles(train_images=file, train_labels=file, test_images=file, test_labels=file)
    plan = pickle.loads(pickle.dumps(convert.plan(files, ConvertSettings())))
    assert plan.stage is convert
    code = {**plan.key_inputs["code"], "tasks/data/idx.py": "0" * 64}
    changed = dataclasses.replace(plan, key_inputs={**plan.key_inputs, "code": code})
    with pytest.raises(
        PipelineError, match=r"convert: the worker at .* another tasks/data/idx\.py"
    ):
        changed.compute(store, "")
    older = {**plan.key_inputs["libraries"], "pyarrow": "1.0"}
    changed = dataclasses.replace(plan, key_inputs={**plan.key_inputs, "libraries": older})
    with pytest.raises(PipelineError, match="another pyarrow than the run"):
        changed.compute(store, "")
    changed = dataclasses.replace(plan, key_inputs={**plan.key_inputs, "code": {}, "Python": "3.9"})
    with pytest.raises(PipelineError, match=r"has Python 3\.1\d, the run Python 3\.9; start"):
        changed.compute(store, "")
    assert not list(store.root.glob("convert/*"))


def test_settings_keep_urls_and_refuse_a_dask_address_without_dask() -> None:
    assert Settings(artifacts="s3://bucket/mnist").artifacts == "s3://bucket/mnist"
    with pytest.raises(ValueError, match="--dask-address goes with --runner dask"):
        Settings(runner="local", dask_address="tcp://host:8786")


def test_remote_is_pickled_without_its_connection() -> None:
    there = Remote("memory://somewhere")
    assert there.files
    assert pickle.loads(pickle.dumps(there)).__dict__.keys() == {"url"}
