"""Tests of cached stages: key, code, and inputs that change during a stage."""

import sys
from pathlib import Path

import pytest
from helpers.words import Text, Words, flip_bit, write

from tasks.engine.digests import json_sha256
from tasks.engine.executors import LocalExecutor
from tasks.engine.fingerprint import Fingerprint
from tasks.engine.models import FileRef
from tasks.engine.stage import key_view, stage
from tasks.engine.store import Store, Workspace
from tasks.runtime.errors import PipelineError


def key_inputs_of(settings: Words) -> dict:
    return write.plan(settings).key_inputs


def test_key_depends_on_settings_except_those_marked_not_in_key() -> None:
    key = json_sha256(key_inputs_of(Words()))
    assert json_sha256(key_inputs_of(Words(word="bye"))) != key
    assert json_sha256(key_inputs_of(Words(patience=9.0))) == key


def test_key_depends_on_content_of_files_not_on_paths() -> None:
    def view(path: str, sha256: str, seconds: float = 0.0) -> object:
        return key_view(
            Text(file=FileRef(path=path, sha256=sha256 * 64, size=1), letters=1, seconds=seconds)
        )

    assert view("write/1/text.txt", "a") == view("write/2/text.txt", "a", seconds=2.0)
    assert view("write/1/text.txt", "a") != view("write/1/text.txt", "b")


def test_key_depends_on_code_and_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_inputs_of(Words())
    monkeypatch.setattr(write, "fingerprint", Fingerprint({"tasks/x.py": "1"}, "", ("numpy",)))
    edited = key_inputs_of(Words())
    assert edited["libraries"]["numpy"][0].isdigit()
    assert json_sha256(edited) != json_sha256(before)
    monkeypatch.setattr(sys.modules["tasks.engine.stage"], "library_version", lambda name: "0.0")
    assert json_sha256(key_inputs_of(Words())) != json_sha256(edited)


def test_module_edited_before_its_import_stops_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        write, "fingerprint", Fingerprint({"tasks/x.py": "1", "tasks/y.py": "1"}, "")
    )
    monkeypatch.setattr(
        sys.modules["tasks.engine.stage"],
        "fingerprint",
        lambda module: Fingerprint({"tasks/x.py": "2"}, ""),
    )
    write.check_code("write")  # all changed modules were imported before
    monkeypatch.setattr(write, "loaded_later", {"tasks/x.py"})
    with pytest.raises(PipelineError, match=r"^write: tasks/x\.py was edited during the run"):
        write.check_code("write")


def test_unsupported_type_in_a_key_raises_type_error() -> None:
    with pytest.raises(TypeError, match="not set"):
        key_view({1, 2})


@pytest.mark.parametrize("damage", [flip_bit, Path.unlink], ids=["changed", "removed"])
def test_an_input_that_changes_during_a_stage_caches_nothing(store: Store, damage) -> None:
    local = LocalExecutor(store)

    @stage()
    def change_and_read(work: Workspace, text: Text) -> Text:
        content = work.input(text.file).read_bytes()
        damage(work.input(text.file))
        work.output("text.txt").write_bytes(content)
        return Text(file=work.finished("text.txt"), letters=0)

    text = write(local, Words())
    with pytest.raises(PipelineError, match=r"its input write/\w+/text\.txt changed during"):
        change_and_read(local, text)
    assert store.all_records("change-and-read") == []
    assert not list(store.root.glob("change-and-read/*"))
