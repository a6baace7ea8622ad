"""Tests that files of others are not deleted, overwritten or executed."""

import json
import os
import tempfile
from pathlib import Path

import pytest
from helpers.cache_entries import add_entry
from pydantic import ValidationError

from tasks.engine import FileRef, Store, open_store
from tasks.engine.layout import MARKER
from tasks.engine.models import StageRecord
from tasks.engine.prune import prune
from tasks.runtime.errors import PipelineError

KEY = "1" * 64


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def entry(store: Store, stage: str = "train") -> StageRecord:
    return add_entry(store, stage, KEY)


@pytest.mark.parametrize("names", [("thesis.tex",), ("runs/exp1/events", "data/.labels.old")])
def test_folder_with_other_files_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(PipelineError, match="not empty"):
        Store(tmp_path).prepare()
    assert tree(tmp_path) == before


def test_root_without_a_marker_is_adopted(tmp_path: Path) -> None:
    for name in ("records", "locks", "runs"):
        (tmp_path / name).mkdir()
    Store(tmp_path).prepare()
    assert (tmp_path / MARKER).is_file()


def test_other_files_in_a_root_are_kept(store: Store) -> None:
    mine = [
        "runs/exp1/events",
        "runs/1/x",
        "runs/20261130/x",
        "data/.labels.old/x",
        "train/.best.tmp/x",
        ".x.tmp/y",
    ]
    for name in mine:
        (store.root / name).parent.mkdir(parents=True, exist_ok=True)
        (store.root / name).write_text("mine")
    store.prepare()
    for _ in range(2):
        store.replace_latest(lambda folder: (folder / "page").write_text("page"))
    prune(store, frozenset(), keep_latest=0, older_than=0, dry_run=False)
    assert {name for name in mine if (store.root / name).read_text() == "mine"} == set(mine)
    assert sorted(p.name for p in (store.root / "runs").iterdir()) == [
        "000002",
        "1",
        "20261130",
        "exp1",
    ]


def test_unfinished_outputs_of_a_killed_run_are_removed(store: Store) -> None:
    leftover = store.root / "train" / f".{'a' * 12}.tmp"
    leftover.mkdir(parents=True)
    store.prepare()
    assert not leftover.exists()


@pytest.mark.parametrize("name", ["records", "locks", "train", "runs", "studies"])
def test_link_in_the_root_is_not_followed(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    (victim / "x").mkdir(parents=True)
    (victim / "x" / "file").write_text("mine")
    store = Store(tmp_path / "root")
    store.root.mkdir()
    (store.root / MARKER).touch()
    (store.root / name).symlink_to(victim, target_is_directory=True)
    before = tree(victim)
    with pytest.raises(PipelineError, match="symbolic link"):
        store.prepare()
        entry(store)
        store.replace_latest(lambda folder: (folder / "page").write_text("page"))
        store.write_study("page", b"page")
    assert tree(victim) == before


def test_link_in_place_of_a_cache_entry_is_replaced(store: Store, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (store.records / f"train-{KEY}.json").symlink_to(tmp_path / "mine")
    entry(store)
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (store.records / f"train-{KEY}.json").is_symlink()


def test_copied_latest_folder_is_moved_aside(store: Store) -> None:
    store.latest.mkdir()
    (store.latest / "mine").write_text("mine")
    store.replace_latest(lambda folder: (folder / "page").write_text("page"))
    assert (store.latest / "page").read_text() == "page"
    assert (store.root / "latest.1" / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "a//b", "", "a\\b", "a/\x1b[2J"]
)
def test_path_outside_the_root_or_with_control_characters_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        FileRef(path=path, sha256="0" * 64, size=1)


@pytest.mark.parametrize(
    "field",
    [{"stage": ".."}, {"stage": "a/b"}, {"key": ".."}, {"key": "1"}, {"label": "x\x1b[2J"}],
    ids=str,
)
def test_cache_entry_of_another_run_is_not_used(store: Store, field: dict[str, str]) -> None:
    outside = store.root.parent / "..keep"
    outside.mkdir()
    values = entry(store).model_dump(mode="json") | field
    name = f"{values['stage']}-{values['key']}.json".replace("/", "-")
    (store.records / name).write_text(json.dumps(values))
    lines = prune(store, frozenset(), keep_latest=0, older_than=0, dry_run=False)
    assert outside.is_dir()
    assert len(lines) <= 2


def test_prune_removes_nothing_during_a_run(store: Store) -> None:
    entry(store)
    with store.in_use(), pytest.raises(PipelineError, match="a run is using"):
        prune(store, frozenset(), keep_latest=0, older_than=0, dry_run=False)
    assert (
        "1 stage runs" in prune(store, frozenset(), keep_latest=0, older_than=0, dry_run=False)[-1]
    )


def test_root_accepts_tilde_and_file_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_store("~/x").root == tmp_path / "x"
    assert open_store(f"file://{tmp_path}/x").root == tmp_path / "x"


def test_file_in_place_of_the_root_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PipelineError, match="cannot write to"):
        Store(tmp_path / "file").prepare()


@pytest.mark.parametrize(
    "address", ["s3://KEY:SECRET@bucket/x", "s3://KEY:SEC/RET@bucket", "ftp://me:SECRET@host/x"]
)
def test_an_address_with_a_secret_is_refused_without_printing_it(address: str) -> None:
    with pytest.raises(PipelineError, match="AWS_ACCESS_KEY_ID") as refused:
        open_store(address)
    assert "KEY:" not in str(refused.value) and "SEC" not in str(refused.value)[:60]


@pytest.mark.parametrize("address", ["s3:/bucket", "s3:bucket", "ftp://host/x", "s3://"])
def test_an_address_that_is_neither_a_folder_nor_s3_is_refused(address: str) -> None:
    with pytest.raises(PipelineError, match=r"s3://bucket/folder"):
        open_store(address)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs two users")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_root_of_another_user_is_refused_in_one_line() -> None:
    """The first user's umask, 022, lets others read only."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = Path(folder) / "root"
        Store(root).prepare()
        for path in (root, *root.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setuid(65_534)
                Store(root).prepare()
            except PipelineError as error:
                os.write(writer, str(error).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(writer)
        with os.fdopen(reader) as said:
            message = said.read()
    assert message.startswith(f"artifacts: cannot write to {root}")
    assert message.endswith(
        "permission denied; choose a folder that can be written, or name another folder with"
        " --artifacts"
    )
