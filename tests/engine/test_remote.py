"""An artifact root at a URL, and the lock that works through it; fsspec's `memory://` is one."""

import dataclasses
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
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


def test_prune_removes_what_it_wrote_and_nothing_else(far: Store, tmp_path: Path) -> None:
    needed, old = keep(far, "1"), keep(far, "2")
    assert far.remote
    mine = {"train/notes.txt", f"train/{'3' * 12}/x", f"train/{'2' * 12}x/y", "records/notes.json"}
    for name in mine:
        far.remote.write(name, b"mine")
    before = files_at(far)
    there = elsewhere(far, tmp_path)
    lines = prune.listing(there, {}, frozenset({needed.key}))
    assert [line.split()[:2] for line in lines[:-1]] == [["*", "1" * 12], ["2" * 12, "0.00"]]
    assert remove_all_but_latest(there, needed)[-1] == "1 stage runs, 0.00 MB removed"
    gone = {f"records/train-{old.key}.json", f"train/{'2' * 12}/a.txt"}
    assert files_at(far) == before - gone
    assert mine < files_at(far)


@pytest.mark.usefixtures("quick")
def test_prune_refuses_while_another_machine_uses_the_root(far: Store, tmp_path: Path) -> None:
    record = keep(far, "1")
    there = elsewhere(far, tmp_path)
    with far.in_use(), pytest.raises(PipelineError, match="a run is using these results"):
        remove_all_but_latest(there)
    assert far.problem(FileRef.model_validate(record.output["file"])) is None
    assert remove_all_but_latest(there)[-1] == "1 stage runs, 0.00 MB removed"


@pytest.mark.usefixtures("quick")
def test_a_run_that_was_killed_does_not_stop_prune_for_ever(far: Store, tmp_path: Path) -> None:
    assert far.remote
    keep(far, "1")
    far.remote.write("locks/run.0123", b"somebody 7")
    assert remove_all_but_latest(far)[-1] == "1 stage runs, 0.00 MB removed"
    assert far.remote.listing("locks") == {}


@pytest.mark.parametrize(("name", "adopted"), [("thesis.tex", False), ("records/x", True)])
def test_a_url_with_other_files_is_refused(
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


def test_the_time_of_use_is_known_to_the_day(far: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"records/train-{keep(far, '1').key}.json"
    assert far.remote
    before = far.remote.head(name).modified
    far.mark_used(name.removeprefix("records/"))
    assert far.remote.head(name).modified == before
    monkeypatch.setattr(store_module, "SECONDS_PER_DAY", -1)
    far.mark_used(name.removeprefix("records/"))
    assert far.remote.head(name).modified > before


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
