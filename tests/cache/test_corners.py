"""Faults of the cache that random edits do not reach, each in its smallest form."""

import contextlib
import sys
from pathlib import Path

from tasks.errors import PipelineError
from tasks.fingerprint import code_digests
from tasks.stage import Plan, stage
from tasks.store import FileRef, Record, Store, Workspace


class Copied(Record):
    file: FileRef
    letters: int


def run_plan(plan: Plan[Copied], store: Store) -> Copied:
    """Use what is kept, or compute it and keep it."""
    record = plan.kept(store)
    if record is None:
        record = plan.compute(store, "")
        (store.records / plan.record_name).write_text(record.model_dump_json())
    return Copied.model_validate(record.output)


def test_a_number_changed_in_a_record_is_noticed(store: Store) -> None:
    @stage()
    def copy(work: Workspace) -> Copied:
        work.output("text").write_text("seven")
        return Copied(file=work.finished("text"), letters=5)

    run_plan(copy.plan(), store)
    (record,) = store.records.iterdir()
    record.write_text(record.read_text().replace('"letters":5', '"letters":7'))
    assert run_plan(copy.plan(), store).letters == 5


def test_a_source_edited_during_the_run_never_stands_for_the_one_before(
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

    # It may refuse, or give the new text; but not under the old text's key.
    with contextlib.suppress(PipelineError):
        run_plan(copy.plan(), store)
    source.write_text("one")
    assert store.path(run_plan(copy.plan(), store).file).read_text() == "one"


def test_the_package_of_a_stage_s_module_is_part_of_its_code(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("import os\nos.environ['X'] = '1'\n")
    (package / "module.py").write_text("")
    assert "package/__init__.py" in code_digests("package.module", tmp_path)


def test_a_string_that_stands_alone_is_a_comment_wherever_it_stands(tmp_path: Path) -> None:
    def digests(comment: str) -> dict[str, str]:
        (tmp_path / "module.py").write_text(f"if {sys.maxsize}:\n    '{comment}'\n    x = 1\n")
        return code_digests("module", tmp_path)

    assert digests("a comment") == digests("a longer comment")
