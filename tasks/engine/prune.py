"""Listing and removal of cache entries."""

import json
import time
from pathlib import Path
from typing import Any

from tasks.engine import layout
from tasks.engine.explain import leaves
from tasks.engine.models import StageRecord, file_refs
from tasks.engine.store import SECONDS_PER_DAY, Store
from tasks.runtime.errors import PipelineError

DAYS_AT_URL = 2.0
"""In a bucket, nothing is removed that was written or used in so many days."""


def last_used(store: Store, record: StageRecord) -> float:
    """Return when a stage run was computed or last used, in seconds since 1970."""
    return store.record_path(record).stat().st_mtime


def size(record: StageRecord) -> int:
    """Return the size of a stage run's outputs, in bytes."""
    return sum(file.size for file in file_refs(record.output))


def all_records(store: Store) -> list[StageRecord]:
    """Return every readable cache entry, the least recently used first."""
    return sorted(store.all_records(), key=lambda record: last_used(store, record))


def listing(store: Store, defaults: dict[str, Any], needed: frozenset[str]) -> list[str]:
    """Return a line for each cached stage run, and one for their sum.

    Args:
        store: the artifact root.
        defaults: values of settings that are not worth a mention, by name.
        needed: keys of the stage runs that the last report needs; marked with `*`.
    """
    records = all_records(store)
    lines = [
        record_line(store, record, "*" if record.key in needed else " ", defaults)
        for record in records
    ]
    total = sum(map(size, records))
    return [*lines, f"{len(records)} stage runs, {total / 1e6:.2f} MB in {store.address}"]


def record_line(store: Store, record: StageRecord, mark: str, defaults: dict[str, Any]) -> str:
    """Return the line of the listing for one stage run."""
    key, megabytes = layout.short_key(record.key), size(record) / 1e6
    settings = changed_settings(record, defaults)
    days = days_ago(store, record)
    return f"{mark} {key}  {megabytes:>8.2f} MB  {days:>9}  {record.label:<14}  {settings}".rstrip()


def changed_settings(record: StageRecord, defaults: dict[str, Any]) -> str:
    """Return the settings of a stage run that differ from the defaults."""
    return ", ".join(
        f"{path[-1]}={value}"
        for argument in record.key_inputs.get("arguments", {}).values()
        if isinstance(argument, dict) and not holds_files(argument)
        for path, value in leaves(argument)
        if path[-1] in defaults and value != defaults[path[-1]]
    )


def holds_files(argument: dict[str, Any]) -> bool:
    """Return whether an argument is a record of files, whose facts may be named like settings."""
    return any(" sha256:" in str(value) for _, value in leaves(argument))


def days_ago(store: Store, record: StageRecord) -> str:
    days = max(0.0, time.time() - last_used(store, record)) / SECONDS_PER_DAY
    return "today" if days < 1 else f"{days:.0f} days"


def show(store: Store, key: str) -> str:
    """Return one cache entry as JSON.

    Args:
        store: the artifact root.
        key: first digits of its key.

    Raises:
        PipelineError: no key begins with these digits, or more than one.
    """
    found = [record for record in store.all_records() if record.key.startswith(key)]
    if len(found) != 1:
        raise PipelineError(
            f"cache show {key}: {len(found) or 'no'} records have a key that starts so;"
            " see `cache ls`"
        )
    return json.dumps(found[0].model_dump(mode="json"), indent=1, ensure_ascii=False)


def to_remove(
    store: Store, needed: frozenset[str], keep_latest: int, older_than: float
) -> list[StageRecord]:
    """Return the stage runs to remove.

    Args:
        store: the artifact root.
        needed: keys of the stage runs that the last report needs.
        keep_latest: number of most recently used runs that stay, for each label.
        older_than: days without use after which a run is removed.
    """
    before = time.time() - older_than * SECONDS_PER_DAY
    kept: dict[str, int] = {}
    chosen = []
    for record in reversed(all_records(store)):
        kept[record.label] = kept.get(record.label, 0) + 1
        surplus = kept[record.label] > keep_latest
        if surplus and record.key not in needed and last_used(store, record) <= before:
            chosen.append(record)
    return chosen


def abandoned(store: Store, older_than: float) -> list[Path]:
    """Return scratch folders of interrupted runs that nobody has resumed for so many days."""
    before = time.time() - older_than * SECONDS_PER_DAY
    return [folder for folder in store.unfinished() if folder.stat().st_mtime <= before]


def prune(
    store: Store, needed: frozenset[str], *, keep_latest: int, older_than: float, dry_run: bool
) -> list[str]:
    """Remove old stage runs, and return a line for each and one for their sum.

    Args:
        store: the artifact root.
        needed: keys of the stage runs that the last report needs.
        keep_latest: number of most recently used runs that stay, for each label.
        older_than: days without use after which a run is removed.
        dry_run: whether to remove nothing.

    Raises:
        PipelineError: a run is using the root.
    """
    if store.remote:  # a run on another machine has marked what it uses in the last day
        older_than = max(older_than, DAYS_AT_URL)
    if not dry_run and store.is_in_use():
        raise PipelineError("cache prune: a run is using these results; prune when it has ended")
    removed = 0
    lines = []
    for folder in abandoned(store, older_than):
        if dry_run or store.remove_if_free(folder):
            lines.append(f"{layout.visible_name(folder.name)}  unfinished  {folder.parent.name}")
    for record in to_remove(store, needed, keep_latest, older_than):
        with store.if_free(layout.lock_name(record.stage, record.key)) as free:
            if not free:
                continue
            if not dry_run:
                store.remove_run(record)
        removed += size(record)
        lines.append(
            f"{layout.short_key(record.key)}  {size(record) / 1e6:>8.2f} MB  {record.label}"
        )
    verb = "would be removed" if dry_run else "removed"
    return [*lines, f"{len(lines)} stage runs, {removed / 1e6:.2f} MB {verb}"]
