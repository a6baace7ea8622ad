"""Two machines with one artifact root in a bucket."""

from pathlib import Path

from helpers.cache_entries import add_entry

from tasks.engine.models import FileRef, StageRecord
from tasks.engine.store import Store

KEY = "0123456789ab" + "c" * 52


def on_another_machine(store: Store, tmp_path: Path) -> Store:
    """Return the same root with the working copy of another machine."""
    return Store(tmp_path / "there", store.remote)


def make_output(store: Store, content: str = "hello") -> FileRef:
    with store.workspace("stage", KEY) as work:
        work.output("a.txt").write_text(content)
        return work.finished("a.txt")


def keep(store: Store, digit: str) -> StageRecord:
    """A stage run with one output and its cache entry."""
    return add_entry(store, "train", digit * 64, label="train-1", content=digit)


def files_at(store: Store) -> set[str]:
    assert store.remote
    return set(store.remote.files_below(""))
