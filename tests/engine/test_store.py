"""Tests of the artifact root: atomic writes and detection of damage."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import small_disk

from tasks.engine.digests import sha256
from tasks.engine.executors import LocalExecutor
from tasks.engine.models import FileRef, Record, StageRecord, file_refs
from tasks.engine.stage import stage
from tasks.engine.store import Store, Workspace, disk_errors
from tasks.runtime.errors import PipelineError

KEY = "0123456789ab" + "c" * 52


class Counted(Record):
    """Result of a stage that counts."""

    number: int


def make_output(store: Store, content: str = "hello") -> FileRef:
    with store.workspace("stage", KEY) as work:
        work.output("a.txt").write_text(content)
        return work.finished("a.txt")


def test_outputs_appear_only_after_the_end_of_the_stage(store: Store) -> None:
    place = store.root / "stage" / KEY[:12]
    with store.workspace("stage", KEY) as work:
        work.output("a.txt").write_text("hello")
        file = work.finished("a.txt")
        assert not place.exists()
    assert (place / "a.txt").read_text() == "hello"
    assert file.path == f"stage/{KEY[:12]}/a.txt"
    assert file.size == 5
    assert store.problem(file) is None


def test_failure_keeps_earlier_outputs_and_leaves_no_files(store: Store) -> None:
    file = make_output(store)
    before = sorted(store.root.rglob("*"))
    with pytest.raises(RuntimeError), store.workspace("stage", KEY) as work:
        work.output("a.txt").write_text("half")
        raise RuntimeError
    assert sorted(store.root.rglob("*")) == before
    assert store.path(file).read_text() == "hello"


def test_files_of_a_killed_run_are_not_among_the_outputs(store: Store) -> None:
    """The run may have waited while the other one was killed, after the sweep."""
    half = store.root / "stage" / f".{KEY[:12]}.tmp" / "half"
    half.parent.mkdir(parents=True)
    half.write_text("written")
    with store.workspace("stage", KEY) as work:
        work.output("whole").write_text("written")
    assert [path.name for path in (store.root / "stage" / KEY[:12]).iterdir()] == ["whole"]


def test_scratch_folder_survives_failure_but_not_the_cache_entry(store: Store) -> None:
    with pytest.raises(RuntimeError), store.workspace("stage", KEY) as work:
        work.scratch.mkdir()
        (work.scratch / "half").write_text("half")
        raise RuntimeError
    with store.workspace("stage", KEY) as work:
        assert (work.scratch / "half").read_text() == "half"
    assert work.scratch.exists()
    store.write_record(f"stage-{KEY}.json", b"{}")
    assert not work.scratch.exists()


def test_scratch_of_a_finished_stage_is_removed_by_the_next_run(store: Store) -> None:
    """A run may be killed between its cache entry and the removal of its scratch folder."""
    done, refreshed, unfinished = (digit * 64 for digit in "123")
    for key in (done, refreshed, unfinished):
        if key != unfinished:
            store.write_record(f"stage-{key}.json", b"{}")
        (store.root / "stage" / f".{key[:12]}.partial").mkdir(parents=True)
    for key, when in ((done, 0), (refreshed, 4e9)):
        os.utime(store.root / "stage" / f".{key[:12]}.partial", (when, when))
    store.prepare()
    kept = sorted(path.name for path in (store.root / "stage").iterdir())
    assert kept == [f".{key[:12]}.partial" for key in (refreshed, unfinished)]


def test_cache_entry_of_a_killed_run_is_removed_and_other_files_stay(store: Store) -> None:
    unfinished = store.records / f".stage-{KEY}.json.{'0' * 32}.tmp"
    mine = store.records / ".mine.tmp"
    for path in (unfinished, mine):
        path.write_text("{")
    with store.lock(f"stage-{KEY[:12]}").acquire():
        store.prepare()
        assert unfinished.exists(), "its run goes on"
    store.prepare()
    assert not unfinished.exists()
    assert mine.exists()


def test_work_is_not_lost_if_only_the_cache_entry_cannot_be_written(
    store: Store, tmp_path: Path
) -> None:
    """The disk of the entries is full."""
    begun = []

    @stage()
    def count(work: Workspace, until: int) -> Counted:
        number = int(work.scratch.joinpath("n").read_text()) if work.scratch.exists() else 0
        begun.append(number)
        work.scratch.mkdir(exist_ok=True)
        work.scratch.joinpath("n").write_text(str(until))
        return Counted(number=until)

    with small_disk(store.records, "4k"):
        (store.records / "full").write_bytes(bytes(4096))
        with pytest.raises(PipelineError, match=r"cache entry: cannot write to .*: no space left"):
            count(LocalExecutor(store), 7)
    assert count(LocalExecutor(store), 7).number == 7
    assert begun == [0, 7]
    assert not list(store.root.glob("*/.*"))


def test_second_run_of_a_key_replaces_the_first(store: Store) -> None:
    old = make_output(store, "old")
    new = make_output(store, "new")
    assert store.problem(old) == "output damaged: a.txt"
    assert store.problem(new) is None


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path: path.unlink(), "output missing: a.txt"),
        (lambda path: path.write_text("hell"), "output damaged: a.txt"),
        (lambda path: path.write_text("hallo"), "output damaged: a.txt"),
        (lambda path: (path.unlink(), path.mkdir()), "output missing: a.txt"),
        (lambda path: (path.unlink(), path.symlink_to(path)), "output is a symbolic link: a.txt"),
    ],
    ids=["deleted", "truncated", "changed", "a directory", "a symlink loop"],
)
def test_damaged_outputs_are_detected_and_named(store: Store, damage, problem: str) -> None:
    file = make_output(store)
    damage(store.path(file))
    assert store.problem(file) == problem


def test_flipped_bit_is_detected(store: Store) -> None:
    file = make_output(store)
    content = bytearray(store.path(file).read_bytes())
    content[2] ^= 1
    store.path(file).write_bytes(content)
    assert store.problem(file) == "output damaged: a.txt"


def test_moved_root_stays_valid(store: Store, tmp_path: Path) -> None:
    file = make_output(store)
    shutil.move(store.root, tmp_path / "elsewhere")
    assert Store(tmp_path / "elsewhere").problem(file) is None


def test_file_refs_are_found_in_records_and_in_their_json() -> None:
    class Inner(Record):
        files: tuple[FileRef, ...]

    class Outer(Record):
        inner: Inner
        last: FileRef
        none: FileRef | None = None

    a, b = (FileRef(path=name, sha256="0" * 64, size=1) for name in "ab")
    record = Outer(inner=Inner(files=(a,)), last=b)
    assert list(file_refs(record)) == [a, b]
    assert list(file_refs(record.model_dump(mode="json"))) == [a, b]


def test_records_are_read_back_and_invalid_ones_refused(store: Store) -> None:
    record = StageRecord(
        stage="stage", label="stage", key=KEY, key_inputs={}, reason="", seconds=0, output={}
    )
    name = f"stage-{KEY}.json"
    (store.records / name).write_text(record.model_dump_json())
    assert store.read_record(name) == record

    other = f"stage-{'f' * 64}.json"
    (store.records / other).write_text(record.model_dump_json())
    with pytest.raises(ValueError, match="record of another run"):
        store.read_record(other)
    (store.records / other).write_text("{}")
    with pytest.raises(ValueError, match="record unreadable"):
        store.read_record(other)
    (store.records / other).write_bytes(b"\xff\x00")
    with pytest.raises(ValueError, match="record unreadable"):
        store.read_record(other)
    with pytest.raises(FileNotFoundError):
        store.read_record("none.json")
    assert store.all_records() == [record]


def test_orphaned_temporary_folders_are_removed_and_locked_ones_kept(store: Store) -> None:
    orphan = store.root / "stage" / f".{KEY[:12]}.tmp"
    live = store.root / "stage" / ".ffffffffffff.tmp"
    for folder in (orphan, live):
        folder.mkdir(parents=True)
    script = (
        "import sys; from pathlib import Path; from tasks.engine.store import Store\n"
        "with Store(Path(sys.argv[1])).lock('stage-ffffffffffff'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(store.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        store.prepare()
        assert not orphan.exists()
        assert live.exists()
    finally:
        holder.kill()
        holder.wait()
    store.prepare()  # the lock ended with its owner
    assert not live.exists()


def test_latest_is_replaced_atomically_and_only_after_success(store: Store) -> None:
    store.replace_latest(lambda folder: (folder / "n").write_text("1") and None)
    assert (store.latest / "n").read_text() == "1"

    def fail(folder: Path) -> None:
        (folder / "n").write_text("2")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.replace_latest(fail)
    assert (store.latest / "n").read_text() == "1"
    store.replace_latest(lambda folder: (folder / "n").write_text("3") and None)
    assert (store.latest / "n").read_text() == "3"
    assert len(list((store.root / "runs").iterdir())) == 1


def test_digest_follows_a_changed_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    first = sha256(path)
    path.write_text("2")
    os.utime(path, ns=(1, 1))
    assert sha256(path) != first


def test_root_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError) as caught:
        Store(tmp_path / "file" / "artifacts").prepare()
    message = str(caught.value)
    assert "not a directory" in message
    assert "--artifacts" in message
    assert str(tmp_path / "file") in message


def test_only_disk_errors_are_converted(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), disk_errors("x", tmp_path):
        (tmp_path / "missing").read_text()
    with pytest.raises(PipelineError, match="no space left"), disk_errors("x", tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device", "there")
