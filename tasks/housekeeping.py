"""What the artifact root holds, how large it is, and what may go."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

from tasks.errors import PipelineError
from tasks.settings import Settings
from tasks.stage import leaves
from tasks.store import StageRecord, Store, file_refs

SECONDS_PER_DAY = 86_400


def last_used(store: Store, record: StageRecord) -> float:
    """When a stage run was made or last skipped, in seconds since 1970."""
    return store.record_path(record).stat().st_mtime


def size(record: StageRecord) -> int:
    """Bytes of a stage run's outputs."""
    return sum(file.size for file in file_refs(record.output))


def all_records(store: Store) -> list[StageRecord]:
    """Every readable record, the one used longest ago first."""
    return sorted(store.all_records(), key=lambda record: last_used(store, record))


def listing(store: Store) -> list[str]:
    """A line for each stage run that is kept, and one for their sum; `*`: `latest` needs it."""
    needed = needed_by_latest(store)
    records = all_records(store)
    lines = [
        f"{'*' if record.key in needed else ' '} {record.key[:12]}  {size(record) / 1e6:>8.2f} MB"
        f"  {days_ago(store, record):>9}  {record.label:<14}  {changed_settings(record)}".rstrip()
        for record in records
    ]
    total = sum(map(size, records))
    return [*lines, f"{len(records)} stage runs, {total / 1e6:.2f} MB in {store.address}"]


def changed_settings(record: StageRecord) -> str:
    """The settings of a stage run that are not the defaults."""
    defaults = {path[-1]: value for path, value in leaves(Settings().model_dump(mode="json"))}
    return ", ".join(
        f"{path[-1]}={value}"
        for argument in record.material.get("arguments", {}).values()
        if isinstance(argument, dict) and not holds_files(argument)
        for path, value in leaves(argument)
        if path[-1] in defaults and value != defaults[path[-1]]
    )


def holds_files(argument: dict[str, Any]) -> bool:
    """Whether an argument is a record of files, whose facts may be called like settings."""
    return any(" sha256:" in str(value) for _, value in leaves(argument))


def days_ago(store: Store, record: StageRecord) -> str:
    days = max(0.0, time.time() - last_used(store, record)) / SECONDS_PER_DAY
    return "today" if days < 1 else f"{days:.0f} days"


def describe(store: Store, key: str) -> str:
    """One record as JSON.

    Args:
        store: the artifact root.
        key: the first digits of its key.

    Raises:
        PipelineError: no record has such a key, or more than one.
    """
    found = [record for record in store.all_records() if record.key.startswith(key)]
    if len(found) != 1:
        raise PipelineError(
            f"cache show {key}: {len(found) or 'no'} records have a key that starts so;"
            " see `cache ls`"
        )
    return json.dumps(found[0].model_dump(mode="json"), indent=1, ensure_ascii=False)


def needed_by_latest(store: Store) -> set[str]:
    """Keys of the stage runs that the report of the last run was made from.

    Raises:
        PipelineError: there is a report, and it cannot be read.
    """
    name = "latest/report/metrics.json"
    if not store.has_latest():
        return set()
    try:
        return {stage["key"] for stage in json.loads(store.read(name))["stages"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PipelineError(
            f"{store.address}/{name} cannot be read, so nothing is removed: make it again with a"
            " run"
        ) from error


def to_remove(store: Store, keep_latest: int, older_than: float) -> list[StageRecord]:
    """The stage runs that may go.

    Args:
        store: the artifact root.
        keep_latest: how many runs of each label stay, the most recently used ones.
        older_than: days without use after which a run may go.
    """
    needed = needed_by_latest(store)
    before = time.time() - older_than * SECONDS_PER_DAY
    kept: dict[str, int] = {}
    chosen = []
    for record in reversed(all_records(store)):
        kept[record.label] = kept.get(record.label, 0) + 1
        surplus = kept[record.label] > keep_latest
        if surplus and record.key not in needed and last_used(store, record) <= before:
            chosen.append(record)
    return chosen


def forgotten(store: Store, older_than: float) -> list[Path]:
    """What died so many days ago, and no run has gone on from since."""
    before = time.time() - older_than * SECONDS_PER_DAY
    return [folder for folder in store.unfinished() if folder.stat().st_mtime <= before]


def prune(store: Store, keep_latest: int, older_than: float, dry_run: bool) -> list[str]:
    """Remove stage runs; a line for each, and one for their sum.

    What a run is computing just now is left alone. A run that wanted to use what goes finds
    it missing, and makes it again.
    """
    store.must_be_local("cache prune", "there, let a rule of the store remove what is old")
    removed = 0
    lines = []
    for folder in forgotten(store, older_than):
        if dry_run or store.remove_if_free(folder):
            lines.append(f"{folder.name.split('.')[1]}  unfinished  {folder.parent.name}")
    for record in to_remove(store, keep_latest, older_than):
        with store.if_free(f"{record.stage}-{record.key[:12]}") as free:
            if not free:
                continue
            if not dry_run:
                remove(store, record)
        removed += size(record)
        lines.append(f"{record.key[:12]}  {size(record) / 1e6:>8.2f} MB  {record.label}")
    verb = "would go" if dry_run else "removed"
    return [*lines, f"{len(lines)} stage runs, {removed / 1e6:.2f} MB {verb}"]


def remove(store: Store, record: StageRecord) -> None:
    """Remove the record first: without it, the files are nothing.

    The lock file stays: another run may be waiting for it.
    """
    store.record_path(record).unlink(missing_ok=True)
    shutil.rmtree(store.root / record.stage / record.key[:12], ignore_errors=True)
