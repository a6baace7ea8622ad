"""Tests of cache faults that random edits do not reach."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.engine.fingerprint import fingerprint
from tasks.engine.models import FileRef, Record, StageRecord
from tasks.engine.stage import KEY_FORMAT, Plan, stage
from tasks.engine.store import Store, Workspace
from tasks.runtime.errors import PipelineError


class Copied(Record):
    file: FileRef
    letters: int


def run_plan(plan: Plan[Copied], store: Store) -> Copied:
    """Return the cached result, or compute and cache it."""
    record = plan.load(store)
    if record is None:
        record = plan.compute(store, "")
        (store.records / plan.record_name).write_text(record.model_dump_json())
    return Copied.model_validate(record.output)


@stage()
def count(work: Workspace) -> Copied:
    work.output("text").write_text("seven")
    return Copied(file=work.finished("text"), letters=5)


@pytest.fixture
def other_file_system(store: Store) -> Iterator[Path]:
    """Return a folder on another file system."""
    place = store.root / count.name
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if subprocess.run(command, check=False).returncode:
        pytest.skip("mounting a file system needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_outputs_may_be_on_another_file_system(store: Store, other_file_system: Path) -> None:
    assert other_file_system.stat().st_dev not in {
        store.root.stat().st_dev,
        store.records.stat().st_dev,
    }
    result = run_plan(count.plan(), store)
    assert store.path(result.file).read_text() == "seven"
    assert count.plan().load(store)


@pytest.mark.parametrize("year", [1980, 2100])
def test_changes_of_the_system_clock_hide_no_damage(store: Store, year: int) -> None:
    """Cached and damaged files have times far from the current time."""
    moment = (year - 1970) * 365 * 86_400
    path = store.path(run_plan(count.plan(), store).file)
    for place in [store.root, *store.root.rglob("*")]:
        os.utime(place, (moment, moment))
    assert count.plan().load(store)
    path.write_text("eight")
    os.utime(path, (moment, moment))
    assert count.plan().problem(store) == "output damaged: text"
    assert store.path(run_plan(count.plan(), store).file).read_text() == "seven"


def test_record_of_another_key_format_is_not_used(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["tasks.engine.stage"], "KEY_FORMAT", KEY_FORMAT - 1)
    run_plan(count.plan(), store)
    monkeypatch.undo()
    assert count.plan().load(store) is None
    assert count.plan().explain(store) == f"format {KEY_FORMAT - 1} → {KEY_FORMAT}"


def test_record_with_missing_fields_is_not_used(store: Store) -> None:
    plan = count.plan()
    run_plan(plan, store)
    (path,) = store.records.iterdir()
    record = json.loads(path.read_text())
    # Its digest is valid, like that of a record of an older version.
    del record["output"]["letters"], record["output_sha256"]
    path.write_text(StageRecord(**record).model_dump_json())
    assert plan.problem(store) == "record of another form"
    assert run_plan(plan, store).letters == 5


def test_changed_number_in_a_record_is_detected(store: Store) -> None:
    run_plan(count.plan(), store)
    (record,) = store.records.iterdir()
    record.write_text(record.read_text().replace('"letters":5', '"letters":7'))
    assert run_plan(count.plan(), store).letters == 5


def test_source_edited_during_the_run_is_not_cached_under_the_old_key(
    store: Store, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_text("one")
    edited = iter([True])

    @stage(extra=source.read_text)
    def copy(work: Workspace) -> Copied:
        if next(edited, False):
            source.write_text("two")
        work.output("text").write_text(source.read_text())
        return Copied(file=work.finished("text"), letters=3)

    # The run may fail or return the new text, but not under the old text's key.
    with contextlib.suppress(PipelineError):
        run_plan(copy.plan(), store)
    source.write_text("one")
    assert store.path(run_plan(copy.plan(), store).file).read_text() == "one"


def test_package_of_a_stage_is_part_of_its_code(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("import os\nos.environ['X'] = '1'\n")
    (package / "module.py").write_text("")
    assert "package/__init__.py" in fingerprint("package.module", tmp_path).code


def test_string_statements_are_ignored_like_comments(tmp_path: Path) -> None:
    def digests(comment: str) -> dict[str, str]:
        (tmp_path / "module.py").write_text(f"if {sys.maxsize}:\n    '{comment}'\n    x = 1\n")
        return fingerprint("module", tmp_path)

    assert digests("a comment") == digests("a longer comment")
