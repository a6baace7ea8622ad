"""An artifact root at a URL, and the lock that works through it; fsspec's `memory://` is one."""

import contextlib
import dataclasses
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
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
from tasks.runtime.server import free_port
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
    pytest.importorskip("pyftpdlib")
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
    there = elsewhere(store, tmp_path)
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
    assert not list(store.root.glob("convert/*"))


def test_settings_keep_urls_and_refuse_an_address_without_dask() -> None:
    assert Settings(artifacts="s3://bucket/mnist").artifacts == "s3://bucket/mnist"
    with pytest.raises(ValueError, match="--dask-address goes with --runner dask"):
        Settings(runner="local", dask_address="tcp://host:8786")


def test_remote_names_do_not_travel_with_connections() -> None:
    there = Remote("memory://somewhere")
    assert there.files
    assert pickle.loads(pickle.dumps(there)).__dict__.keys() == {"url"}
