"""Tests of listing, showing and pruning cache entries."""

import json
import os
import time
from pathlib import Path

import pytest
from helpers.two_machines import files_at, keep, on_another_machine

from tasks.engine import prune as pruning
from tasks.engine.models import StageRecord
from tasks.engine.store import Store
from tasks.report.summary import keys_of_latest
from tasks.runtime.errors import PipelineError

DAY = 86_400
DEFAULTS = {"learning_rate": 1e-4, "seed": 0, "conv2_channels": [0, 1], "test_images": [0, 13]}


def add_run(store: Store, label: str, number: int, days: float) -> StageRecord:
    """Add a stage run with one output file, last used a number of days ago."""
    stage, key = label.split("-", maxsplit=1)[0], f"{number:x}" * 64
    with store.workspace(stage, key) as work:
        work.output("a.txt").write_text(str(number))
        file = work.finished("a.txt")
    record = StageRecord(
        stage=stage,
        label=label,
        key=key,
        key_inputs={"arguments": {"training": {"learning_rate": 0.01, "seed": 0}}},
        reason="never run",
        seconds=1.0,
        output={"file": file.model_dump()},
    )
    store.record_path(record).write_text(record.model_dump_json())
    used = time.time() - days * DAY
    os.utime(store.record_path(record), (used, used))
    return record


def point_latest_at(store: Store, *records: StageRecord) -> None:
    def fill(folder: Path) -> None:
        (folder / "report").mkdir()
        stages = [{"name": record.label, "key": record.key} for record in records]
        (folder / "report" / "metrics.json").write_text(json.dumps({"stages": stages}))

    store.replace_latest(fill)


def removed(store: Store, records: list[StageRecord]) -> list[StageRecord]:
    return [record for record in records if not store.record_path(record).exists()]


def test_only_old_and_surplus_runs_are_removed(store: Store) -> None:
    old = [add_run(store, "train-100", n, days=50 - n) for n in range(4)]
    young = [add_run(store, "train-100", 5, days=1)]
    other = [add_run(store, "convert", 6, days=90)]
    lines = pruning.prune(store, keys_of_latest(store), keep_latest=2, older_than=30, dry_run=False)
    assert removed(store, old + young + other) == old[:3]
    assert not any((store.root / "train" / record.key[:12]).exists() for record in old[:3])
    assert (store.root / "train" / old[3].key[:12] / "a.txt").exists()
    assert lines[-1] == "3 stage runs, 0.00 MB removed"


def test_dry_run_removes_nothing(store: Store) -> None:
    records = [add_run(store, "train-100", n, days=50) for n in range(3)]
    lines = pruning.prune(store, keys_of_latest(store), keep_latest=0, older_than=0, dry_run=True)
    assert removed(store, records) == []
    assert lines[-1] == "3 stage runs, 0.00 MB would be removed"


def test_runs_of_the_latest_report_are_kept(store: Store) -> None:
    needed, surplus = (
        add_run(store, "train-100", 1, days=99),
        add_run(store, "train-100", 2, days=98),
    )
    point_latest_at(store, needed)
    pruning.prune(store, keys_of_latest(store), keep_latest=0, older_than=0, dry_run=False)
    assert removed(store, [needed, surplus]) == [surplus]


def test_unreadable_report_stops_the_removal(store: Store) -> None:
    record = add_run(store, "train-100", 1, days=99)
    point_latest_at(store, record)
    (store.latest / "report" / "metrics.json").write_text("{")
    with pytest.raises(PipelineError, match=r"metrics\.json cannot be read, so nothing"):
        pruning.prune(store, keys_of_latest(store), keep_latest=0, older_than=0, dry_run=False)
    assert removed(store, [record]) == []


def test_locked_runs_are_kept(store: Store) -> None:
    record = add_run(store, "train-100", 1, days=99)
    with store.lock(f"train-{record.key[:12]}"):
        pruning.prune(store, keys_of_latest(store), keep_latest=0, older_than=0, dry_run=False)
    assert removed(store, [record]) == []


def test_old_unfinished_runs_are_removed(store: Store) -> None:
    """A killed run leaves its scratch folder, which `older_than` applies to."""
    recent, forgotten, running = (
        store.root / "train" / f".{digit * 12}.partial" for digit in "123"
    )
    for folder in (recent, forgotten, running):
        folder.mkdir(parents=True)
        (folder / "progress").write_text("")
    for folder in (forgotten, running):
        os.utime(folder, (0, 0))
    with store.lock(f"train-{'3' * 12}"):
        lines = pruning.prune(
            store, keys_of_latest(store), keep_latest=0, older_than=30, dry_run=False
        )
    assert lines[0] == f"{'2' * 12}  unfinished  train"
    assert store.unfinished() == [recent, running]


def test_listing_shows_size_settings_and_runs_of_the_latest_report(store: Store) -> None:
    point_latest_at(store, add_run(store, "train-100", 1, days=2))
    add_run(store, "convert", 2, days=0)
    first, second, total = pruning.listing(store, DEFAULTS, keys_of_latest(store))
    assert first.split() == [
        "*",
        "1" * 12,
        "0.00",
        "MB",
        "2",
        "days",
        "train-100",
        "learning_rate=0.01",
    ]
    assert second.split()[:4] == ["2" * 12, "0.00", "MB", "today"]
    assert total == f"2 stage runs, 0.00 MB in {store.root}"


def test_facts_with_names_of_settings_are_not_listed_as_settings(store: Store) -> None:
    record = add_run(store, "draw", 1, days=0)
    key_inputs = {
        "arguments": {
            "layers": {"file": "layers.safetensors sha256:1", "test_images": [247, 259]},
            "settings": {"conv2_channels": [3]},
        }
    }
    changed = record.model_copy(update={"key_inputs": key_inputs})
    assert pruning.changed_settings(changed, DEFAULTS) == "conv2_channels=[3]"


def test_record_is_shown_by_the_first_digits_of_its_key(store: Store) -> None:
    record = add_run(store, "train-100", 1, days=0)
    add_run(store, "train-100", 2, days=0)
    assert json.loads(pruning.show(store, "111")) == record.model_dump(mode="json")
    with pytest.raises(PipelineError, match="no records"):
        pruning.show(store, "333")
    with pytest.raises(PipelineError, match="2 records"):
        pruning.show(store, "")


def remove_all_but_latest(store: Store, *needed: StageRecord) -> list[str]:
    keys = frozenset(record.key for record in needed)
    return pruning.prune(store, keys, keep_latest=0, older_than=0, dry_run=False)


def test_prune_removes_only_files_of_the_project(
    remote_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "DAYS_AT_URL", 0)
    needed, old = keep(remote_store, "1"), keep(remote_store, "2")
    assert remote_store.remote
    mine = {"train/notes.txt", f"train/{'3' * 12}/x", f"train/{'2' * 12}x/y", "records/notes.json"}
    for name in mine:
        remote_store.remote.write(name, b"mine")
    before = files_at(remote_store)
    there = on_another_machine(remote_store, tmp_path)
    lines = pruning.listing(there, {}, frozenset({needed.key}))
    assert sorted(line.split()[:2] for line in lines[:-1]) == [["*", "1" * 12], ["2" * 12, "0.00"]]
    assert remove_all_but_latest(there, needed)[-1] == "1 stage runs, 0.00 MB removed"
    gone = {f"records/train-{old.key}.json", f"train/{'2' * 12}/a.txt"}
    assert files_at(remote_store) == before - gone
    assert mine < files_at(remote_store)


def test_prune_leaves_in_a_bucket_what_may_be_in_use(remote_store: Store) -> None:
    keep(remote_store, "1")
    assert remove_all_but_latest(remote_store)[-1] == "0 stage runs, 0.00 MB removed"
