"""Tests of an artifact root on S3."""

import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.s3 import BUCKET
from helpers.two_machines import KEY, files_at, keep, make_output, on_another_machine

from tasks.engine import layout
from tasks.engine import store as store_module
from tasks.engine.models import FileRef, StageRecord
from tasks.engine.store import Store, open_store
from tasks.runtime.errors import PipelineError


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


@pytest.mark.parametrize(("name", "adopted"), [("thesis.tex", False), ("records/x", True)])
def test_url_with_other_files_is_refused(
    s3: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, adopted: bool
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    store = open_store(f"{BUCKET}/{tmp_path.name}")
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


def test_time_of_use_is_recorded_to_the_day(
    remote_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"records/train-{keep(remote_store, '1').key}.json"
    assert remote_store.remote
    before = remote_store.remote.head(name).modified
    remote_store.mark_used(name.removeprefix("records/"))
    assert remote_store.remote.head(name).modified == before
    monkeypatch.setattr(store_module, "SECONDS_PER_DAY", -1)
    time.sleep(1)  # S3's times are whole seconds
    remote_store.mark_used(name.removeprefix("records/"))
    assert remote_store.remote.head(name).modified > before


def test_unknown_protocol_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(PipelineError, match=r"--artifacts nowhere://bucket: .* or on S3"):
        open_store("nowhere://bucket")


def test_missing_s3fs_error_names_the_extra(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from tasks.engine.store import open_store; open_store('s3://bucket').prepare()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    last = done.stderr.splitlines()[-1]
    assert last.endswith("s3://bucket: s3fs is not installed: pip install -e '.[s3]'")


def test_remote_is_pickled_without_its_connection(remote_store: Store) -> None:
    assert remote_store.remote
    assert remote_store.remote.files
    assert pickle.loads(pickle.dumps(remote_store.remote)).__dict__.keys() == {"url"}
