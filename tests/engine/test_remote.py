"""An artifact root at a URL, and the lock that works through it; fsspec's `memory://` is one."""

import dataclasses
import hashlib
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from tasks.data.convert import convert
from tasks.engine import lease as lease_module
from tasks.engine.lease import Lease
from tasks.engine.models import FileRef, StageRecord
from tasks.engine.remote import Remote
from tasks.engine.store import Store, open_store
from tasks.runtime.errors import PipelineError
from tasks.settings import ConvertSettings, Settings

KEY = "0123456789ab" + "c" * 52


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A root in memory, with a working copy of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    store = open_store(f"memory://{tmp_path.name}")
    store.prepare()
    assert store.remote
    yield store
    store.remote.files.store.clear()


def elsewhere(store: Store, tmp_path: Path) -> Store:
    """The same root as another machine sees it."""
    return Store(tmp_path / "there", store.remote)


def make_output(store: Store, content: str = "hello") -> FileRef:
    with store.workspace("stage", KEY) as work:
        work.output("a.txt").write_text(content)
        return work.finished("a.txt")


def damage(store: Store, file: FileRef, content: bytes) -> None:
    assert store.remote
    store.remote.write(file.path, content)


def test_outputs_are_read_on_another_machine(far: Store, tmp_path: Path) -> None:
    file = make_output(far)
    there = elsewhere(far, tmp_path)
    assert there.problem(file) is None
    assert not there.place(file).exists()
    assert there.path(file).read_text() == "hello"


def test_a_file_that_came_damaged_is_not_used_and_made_again(far: Store, tmp_path: Path) -> None:
    file = make_output(far)
    damage(far, file, b"hallo")
    there = elsewhere(far, tmp_path)
    with pytest.raises(PipelineError, match=r"a\.txt was damaged and is removed; run it again"):
        there.path(file)
    assert there.remote
    assert there.problem(file) == "output missing: a.txt"


def test_another_size_is_found_without_fetching(far: Store) -> None:
    file = make_output(far)
    damage(far, file, b"hell")
    assert far.problem(file) == "output damaged: a.txt"


def test_records_are_those_of_the_url(far: Store, tmp_path: Path) -> None:
    record = StageRecord(
        stage="stage", label="stage", key=KEY, key_inputs={}, reason="", seconds=1.0, output={}
    )
    name = f"stage-{KEY}.json"
    far.write_record(name, record.model_dump_json().encode())
    there = elsewhere(far, tmp_path)
    assert there.read_record(name) == record
    assert there.all_records() == there.all_records("stage") == [record]
    assert there.all_records("other") == []
    assert there.all_records("stage", newest=0) == []
    assert far.remote
    far.remote.remove(f"records/{name}")
    assert there.all_records() == []


def test_the_report_and_where_the_rest_is(far: Store) -> None:
    file = make_output(far)

    def fill(folder: Path) -> None:
        (folder / "page.html").write_text("page")
        (folder / "a.txt").symlink_to(f"../../{file.path}")

    assert far.replace_latest(fill) == f"{far.address}/latest"
    assert far.read("latest/page.html") == b"page"
    assert far.read("latest/files.json") == f'{{\n "a.txt": "{file.path}"\n}}'.encode()


def test_a_store_travels_as_its_address(far: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pickle.dumps(far)
    monkeypatch.setenv("XDG_CACHE_HOME", "/another/cache")
    unpacked = pickle.loads(packed)
    assert unpacked.address == far.address
    assert unpacked.root.parts[:3] == ("/", "another", "cache")


def test_what_needs_a_folder_says_so(far: Store) -> None:
    with pytest.raises(PipelineError, match=f"cache prune needs a folder.* {far.address}; "):
        far.must_be_local("cache prune", "…")


def test_an_unknown_protocol_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(PipelineError, match="nowhere://bucket: Protocol not known: nowhere"):
        open_store("nowhere://bucket").prepare()


def test_without_s3fs_the_extra_is_named(tmp_path: Path) -> None:
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
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(lease_module, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(lease_module, "EXPIRE_SECONDS", 0.5)
    monkeypatch.setattr(lease_module, "SETTLE_SECONDS", 0.3)


def lease(store: Store, machine: Path) -> Lease:
    """A lock as one machine sees it."""
    machine.mkdir(exist_ok=True)
    assert store.remote
    return Lease(store.remote, "locks/one", FileLock(machine / "lock", thread_local=False))


@pytest.mark.usefixtures("quick")
def test_a_lease_is_held_by_one_machine_for_as_long_as_it_lives(far: Store, tmp_path: Path) -> None:
    ours, theirs = lease(far, tmp_path / "ours"), lease(far, tmp_path / "theirs")
    with ours.acquire():
        with pytest.raises(Timeout):
            theirs.acquire(timeout=1.5)  # three times what a silent owner is granted
        assert not theirs.local.is_locked
    with theirs.acquire(timeout=0):
        pass
    assert far.remote
    assert far.remote.listing("locks") == {}


@pytest.mark.usefixtures("quick")
def test_a_lease_whose_owner_has_gone_is_taken_over(far: Store, tmp_path: Path) -> None:
    assert far.remote
    far.remote.write("locks/one", b"somebody 7")  # and no beat any more
    with lease(far, tmp_path / "ours").acquire(timeout=5):
        assert not far.remote.read("locks/one").startswith(b"somebody")


@pytest.mark.usefixtures("quick")
def test_many_wait_and_one_after_the_other_has_it(far: Store, tmp_path: Path) -> None:
    inside, most = [], []

    def work(number: int) -> None:
        with lease(far, tmp_path / str(number)).acquire():
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


@pytest.mark.usefixtures("quick")
def test_a_waiting_process_does_not_remove_the_file_of_a_faster_one(
    far: Store, tmp_path: Path
) -> None:
    """It has seen the silent owner's file, and is stopped while another one takes over."""
    assert far.remote
    far.remote.write("locks/one", b"somebody 7")
    theirs = lease(far, tmp_path / "theirs")
    ours = stopped(far, tmp_path, "create locks/one.after", lambda: theirs.acquire(timeout=5))
    with pytest.raises(Timeout):
        ours.acquire(timeout=2)
    assert far.remote.read("locks/one").startswith(theirs.token.encode())
    theirs.release()
    assert far.remote.listing("locks") == {}


@pytest.mark.usefixtures("quick")
def test_a_successor_that_is_slow_is_the_only_one(far: Store, tmp_path: Path) -> None:
    """It is stopped between its claim and its file."""
    assert far.remote
    far.remote.write("locks/one", b"somebody 7")
    theirs = lease(far, tmp_path / "theirs")

    def try_to_take() -> None:
        with pytest.raises(Timeout):
            theirs.acquire(timeout=0.8)

    with stopped(far, tmp_path, "write locks/one", try_to_take).acquire(timeout=5) as ours:
        assert far.remote.read("locks/one").startswith(ours.token.encode())


@pytest.mark.usefixtures("quick")
def test_a_successor_that_died_does_not_block_the_lease(far: Store, tmp_path: Path) -> None:
    assert far.remote
    far.remote.write("locks/one", b"somebody 7")
    claim = hashlib.sha256(b"somebody 7").hexdigest()[:16]
    far.remote.write(f"locks/one.after-{claim}", b"")
    with lease(far, tmp_path / "ours").acquire(timeout=10):
        assert far.remote.listing("locks").keys() == {"one"}


@pytest.mark.usefixtures("quick")
def test_an_owner_that_was_silent_leaves_the_lease_to_its_successor(
    far: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is stopped for longer than a silent owner is granted, then goes on."""
    ours, theirs = lease(far, tmp_path / "ours"), lease(far, tmp_path / "theirs")
    monkeypatch.setattr(lease_module, "RENEW_SECONDS", 3600.0)
    ours.acquire()
    monkeypatch.setattr(lease_module, "RENEW_SECONDS", 0.05)
    theirs.acquire(timeout=5)
    ours.release()
    assert far.remote
    assert far.remote.read("locks/one").startswith(theirs.token.encode())
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


@pytest.mark.usefixtures("quick")
def test_one_holder_where_two_can_create_a_file(far: Store, tmp_path: Path) -> None:
    assert far.remote
    store = Store(tmp_path, LooksFirst(far.remote.url))
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


def test_a_conditional_create_is_probed(far: Store) -> None:
    assert far.remote
    assert far.remote.creates_alone
    assert not Remote("file:///tmp/x").creates_alone
    assert far.remote.listing("") == {}


def files_for_convert() -> FileRef:
    return FileRef(path="download/0/x", sha256="0" * 64, size=1)


def test_a_worker_with_other_code_or_libraries_refuses(store: Store) -> None:
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


def test_settings_keep_urls_and_refuse_an_address_without_dask() -> None:
    assert Settings(artifacts="s3://bucket/mnist").artifacts == "s3://bucket/mnist"
    with pytest.raises(ValueError, match="--dask-address goes with --runner dask"):
        Settings(runner="local", dask_address="tcp://host:8786")


def test_remote_names_do_not_travel_with_connections() -> None:
    there = Remote("memory://somewhere")
    assert there.files
    assert pickle.loads(pickle.dumps(there)).__dict__.keys() == {"url"}
