"""Tests of cached stages: key, validation and explanation, with a real Prefect server."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest

from tasks.engine.digests import json_sha256
from tasks.engine.executors import DryRunExecutor, LocalExecutor, PrefectExecutor
from tasks.engine.explain import describe_changes, join_phrases, leaves
from tasks.engine.fingerprint import Fingerprint
from tasks.engine.models import NotInKey, Record
from tasks.engine.stage import key_view, stage
from tasks.engine.store import Store, Workspace
from tasks.records import FileRef
from tasks.runtime.errors import PipelineError
from tasks.runtime.processor import instruction_set
from tasks.settings.base import StageSettings


class Words(StageSettings):
    word: str = "hello"
    patience: Annotated[float, NotInKey] = 1.0


class Text(Record):
    file: FileRef
    letters: int
    seconds: Annotated[float, NotInKey] = 0.0


@stage(libraries=("numpy",))
def write(work: Workspace, settings: Words) -> Text:
    if settings.word == "fail":
        raise PipelineError("write: cannot write `fail`")
    work.output("text.txt").write_text(settings.word.lower())
    return Text(file=work.finished("text.txt"), letters=len(settings.word))


@stage(label="repeat-{times}")
def repeat(work: Workspace, text: Text, times: int) -> Text:
    content = work.input(text.file).read_text() * times
    work.output("text.txt").write_text(content)
    return Text(file=work.finished("text.txt"), letters=len(content))


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
    assert before["libraries"]["numpy"][0].isdigit()
    monkeypatch.setattr(write, "fingerprint", Fingerprint({"tasks/x.py": "1"}, ""))
    edited = key_inputs_of(Words())
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


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        (
            {"arguments": {"training": {"learning_rate": 0.0001}}},
            {"arguments": {"training": {"learning_rate": 0.001}}},
            ["learning_rate 0.0001 → 0.001"],
        ),
        (
            {"code": {"tasks/model/network.py": "1"}},
            {"code": {"tasks/model/network.py": "2"}},
            ["code changed: tasks/model/network.py"],
        ),
        (
            {"libraries": {"tensorflow": "2.20.0"}},
            {"libraries": {"tensorflow": "2.21.0"}},
            ["tensorflow 2.20.0 → 2.21.0"],
        ),
        (
            {"Python": "3.11", "code": {"tasks/a.py": "1"}, "imports": "1", "libraries": {}},
            {"Python": "3.12", "code": {"tasks/a.py": "2"}, "imports": "2", "libraries": {}},
            ["Python 3.11 → 3.12"],
        ),
        (
            {"arguments": {"split": {"file": "train.parquet sha256:1"}}},
            {"arguments": {"split": {"file": "train.parquet sha256:2"}}},
            ["input changed: train.parquet"],
        ),
        (
            {"arguments": {"network": {"dense": [128]}}, "libraries": {"keras": "3.1"}},
            {"arguments": {"network": {"dense": [128], "pooling": ["max"]}}, "libraries": {}},
            ["keras gone", "pooling new"],
        ),
        (
            {"arguments": {"map": {"file": "a sha256:1", "rows": 5}, "dots": {"rows": 5}}},
            {"arguments": {"map": None, "dots": {"rows": 5}, "lines": {"rows": 7}}},
            ["map gone", "lines new"],
        ),
        (
            {"arguments": {"metrics": {"classes": [{"support": 100}] * 10}}},
            {"arguments": {"metrics": {"classes": [{"support": 200}] * 10}}},
            ["classes changed"],
        ),
    ],
)
def test_changes_are_described_by_setting_file_and_library(
    then: dict, now: dict, words: list[str]
) -> None:
    assert describe_changes(dict(leaves(then)), dict(leaves(now))) == words


def test_control_characters_of_an_earlier_run_are_not_printed() -> None:
    phrases = describe_changes({("arguments", "word"): "\x1b[2J"}, {("arguments", "word"): "bye"})
    assert join_phrases(phrases) == "word ?[2J → bye"


def test_long_lists_of_changes_are_shortened() -> None:
    assert join_phrases([]) == ""
    assert join_phrases(["a", "b"]) == "a; b"
    assert join_phrases(list("abcdefgh")) == "a; b; c; d; e; and 3 more"


def test_status_names_another_processor(store: Store) -> None:
    """The bytes of TensorFlow's results differ between instruction sets; the key is the same."""

    @stage(libraries=("tensorflow",))
    def sum_up(work: Workspace, settings: Words) -> Text:
        work.output("text.txt").write_text(settings.word)
        return Text(file=work.finished("text.txt"), letters=0)

    local = LocalExecutor(store)
    sum_up(local, Words())
    write(local, Words())
    dry = DryRunExecutor(store)
    (entry,) = store.all_records("sum-up")
    assert entry.instructions == instruction_set()
    sum_up(dry, Words())
    for record in store.all_records():
        other = record.model_copy(update={"instructions": "AVX-1024"})
        store.write_record(store.record_path(record).name, other.model_dump_json().encode())
    sum_up(dry, Words())
    write(dry, Words())
    here = instruction_set()
    assert [verdict for _, verdict in dry.verdicts] == [
        "up to date",
        f"up to date (computed with AVX-1024; with {here} here, its last bits would differ)",
        "up to date",
    ]


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


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


# Tests with real flow runs


@pytest.fixture
def chain(prefect_server: str, store: Store):
    """Return a function that runs `write` and `repeat` in a flow; returns outcomes and text."""
    from prefect import flow

    @flow(name="chain")
    def chained(word: str, times: int, refresh: bool) -> tuple[dict[str, str], str]:
        run = PrefectExecutor(store, refresh=frozenset({"all"} if refresh else ()))
        text = repeat(run, write(run, Words(word=word)), times)
        outcomes = {
            outcome.name: f"{outcome.state} {outcome.reason}".strip() for outcome in run.outcomes
        }
        return outcomes, store.path(text.file).read_text()

    def chain(
        word: str = "hello", times: int = 2, refresh: bool = False
    ) -> tuple[dict[str, str], str]:
        result: tuple[dict[str, str], str] = chained(word, times, refresh)
        return result

    return chain


def only(store: Store, pattern: str) -> Path:
    (path,) = store.root.glob(pattern)
    return path


@pytest.mark.server
def test_unchanged_stages_are_skipped(chain) -> None:
    assert chain() == ({"write": "ran never run", "repeat-2": "ran never run"}, "hellohello")
    assert chain() == ({"write": "cached", "repeat-2": "cached"}, "hellohello")


@pytest.mark.server
def test_changed_setting_reruns_dependent_stages(chain) -> None:
    chain()
    assert chain(times=3) == ({"write": "cached", "repeat-3": "ran never run"}, "hello" * 3)
    outcomes, text = chain(word="bye")
    assert outcomes == {
        "write": "ran word hello → bye",
        "repeat-2": "ran input changed: text.txt; letters 5 → 3",
    }
    assert text == "byebye"
    assert chain() == ({"write": "cached", "repeat-2": "cached"}, "hellohello")


@pytest.mark.server
def test_equal_output_bytes_keep_later_stages_cached(chain) -> None:
    chain()
    outcomes, _ = chain(word="HELLO")
    assert outcomes == {"write": "ran word hello → HELLO", "repeat-2": "cached"}


@pytest.mark.server
def test_refresh_runs_everything(chain) -> None:
    chain()
    outcomes, text = chain(refresh=True)
    assert outcomes == {"write": "ran refresh asked for", "repeat-2": "ran refresh asked for"}
    assert text == "hellohello"


def write_other_version(path: Path) -> None:
    record = json.loads(path.read_text())
    record["output"] = {"something": "else"}
    del record["output_sha256"]  # like a record of another version
    path.write_text(json.dumps(record))


@pytest.mark.server
@pytest.mark.parametrize(
    ("pattern", "damage", "reason"),
    [
        ("write/*/text.txt", Path.unlink, "output missing: text.txt"),
        ("write/*/text.txt", lambda p: p.write_text("hel"), "output damaged: text.txt"),
        ("write/*/text.txt", flip_bit, "output damaged: text.txt"),
        ("write/*", shutil.rmtree, "output missing: text.txt"),
        ("records/write-*", Path.unlink, "never run"),
        ("records/write-*", lambda p: p.write_text("{"), "record unreadable"),
        ("records/write-*", lambda p: p.write_text("[1]"), "record unreadable"),
        ("records/write-*", lambda p: p.write_bytes(b"\x80\x04"), "record unreadable"),
        ("records/write-*", write_other_version, "record of another form"),
        ("records/write-*", lambda p: (p.unlink(), p.symlink_to(p)), "record unreadable"),
    ],
    ids=[
        "output deleted",
        "output truncated",
        "one bit flipped",
        "folder deleted",
        "record deleted",
        "record not JSON",
        "record not an object",
        "record binary",
        "record of another form",
        "record a symlink loop",
    ],
)
def test_damaged_entries_are_computed_again(chain, store: Store, pattern, damage, reason) -> None:
    chain()
    damage(only(store, pattern))
    outcomes, text = chain()
    assert outcomes["write"].startswith(f"ran {reason}")
    assert outcomes["repeat-2"] == "cached"
    assert text == "hellohello"
    assert chain()[0] == {"write": "cached", "repeat-2": "cached"}


@pytest.mark.server
def test_moved_root_stays_cached(chain, store: Store) -> None:
    chain()
    away = store.root.with_name("away")
    store.root.rename(away)
    shutil.copytree(away, store.root)
    assert chain()[0] == {"write": "cached", "repeat-2": "cached"}


@pytest.mark.server
def test_failure_is_raised_unchanged_and_leaves_no_files(chain, store: Store) -> None:
    chain()
    before = {path for path in store.root.rglob("*") if "locks" not in path.parts}
    with pytest.raises(PipelineError, match=r"^write: cannot write `fail`$"):
        chain(word="fail")
    assert {path for path in store.root.rglob("*") if "locks" not in path.parts} == before
    assert chain()[0] == {"write": "cached", "repeat-2": "cached"}


SIDE_BY_SIDE = """
import sys, time
from pathlib import Path
from prefect import flow
from tasks.records import FileRef
from tasks.engine.executors import DryRunExecutor, LocalExecutor, PrefectExecutor
from tasks.engine.stage import stage
from tasks.engine.digests import json_sha256
from tasks.engine.models import Record
from tasks.engine.store import Store, Workspace

class Text(Record):
    file: FileRef

@stage()
def slow(work: Workspace, n: int) -> Text:
    with (work.store.root / "starts").open("a") as log:
        log.write("x")
    if n == 13:
        print("inside", flush=True)
        time.sleep(600)
    time.sleep(2)
    work.output("text.txt").write_text(str(n))
    return Text(file=work.finished("text.txt"))

@flow
def side_by_side(n: int) -> None:
    store = Store(Path(sys.argv[1]))
    store.prepare()
    run = PrefectExecutor(store)
    slow(run, n)
    print(run.outcomes[0].state, flush=True)

side_by_side(int(sys.argv[2]))
"""


def start(script: Path, store: Store, n: int, server: str) -> "subprocess.Popen[str]":
    import os

    return subprocess.Popen(
        [sys.executable, str(script), str(store.root), str(n)],
        env={**os.environ, "PREFECT_API_URL": server},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@pytest.mark.server
def test_concurrent_runs_compute_a_stage_once(
    prefect_server: str, store: Store, tmp_path: Path
) -> None:
    script = tmp_path / "side_by_side.py"
    script.write_text(SIDE_BY_SIDE)
    runs = [start(script, store, 1, prefect_server) for _ in range(2)]
    printed = sorted(run.communicate(timeout=120)[0].strip() for run in runs)
    assert [run.returncode for run in runs] == [0, 0]
    assert printed == ["cached", "ran"]
    assert (store.root / "starts").read_text() == "x"


@pytest.mark.server
def test_killed_run_does_not_block_later_runs(
    prefect_server: str, store: Store, tmp_path: Path
) -> None:
    script = tmp_path / "side_by_side.py"
    script.write_text(SIDE_BY_SIDE)
    killed = start(script, store, 13, prefect_server)
    assert killed.stdout
    assert killed.stdout.readline() == "inside\n"
    killed.kill()
    killed.wait()
    (leftover,) = store.root.glob("slow/.*.tmp")
    script.write_text(SIDE_BY_SIDE.replace("n == 13", "n == 14"))
    after = start(script, store, 13, prefect_server)
    assert after.communicate(timeout=120)[0].strip() == "ran"
    assert not leftover.exists()


@pytest.mark.server
def test_flow_in_a_running_event_loop(chain) -> None:
    """A notebook's cells run in one."""

    async def cell() -> tuple[dict[str, str], str]:
        return chain()

    assert asyncio.run(cell()) == (
        {"write": "ran never run", "repeat-2": "ran never run"},
        "hellohello",
    )
