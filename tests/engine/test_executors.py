"""Tests of the executors: with real flow runs on a Prefect server, and without."""

import asyncio
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from helpers.words import Text, Words, flip_bit, repeat, write

from tasks.engine.executors import (
    LocalExecutor,
    LookupExecutor,
    NotCachedError,
    PrefectExecutor,
    is_unknown,
)
from tasks.engine.stage import stage
from tasks.engine.store import Store, Workspace
from tasks.runtime.errors import PipelineError
from tasks.runtime.processor import instruction_set


def test_status_names_another_processor(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes of TensorFlow's results differ between instruction sets; the key is the same."""

    @stage()
    def sum_up(work: Workspace, settings: Words) -> Text:
        work.output("text.txt").write_text(settings.word)
        return Text(file=work.finished("text.txt"), letters=0)

    monkeypatch.setattr(
        sum_up, "fingerprint", sum_up.fingerprint._replace(libraries=("tensorflow",))
    )
    local = LocalExecutor(store)
    sum_up(local, Words())
    write(local, Words())
    dry = LookupExecutor(store)
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


def test_cached_results_alone(store: Store) -> None:
    only_cached = LookupExecutor(store, cached_only=True)
    with pytest.raises(NotCachedError, match="write"):
        write(only_cached, Words())
    text = write(LocalExecutor(store), Words())
    assert write(only_cached, Words()) == text
    assert [(outcome.name, outcome.state) for outcome in only_cached.outcomes] == [
        ("write", "cached")
    ]


def test_the_lock_of_a_stage_is_free_when_it_has_run(store: Store) -> None:
    plans = []

    class Remembering(LocalExecutor):
        def write(self, plan, record) -> None:
            super().write(plan, record)
            plans.append((plan, sys._getframe(1)))  # keeps the lock's object alive

    write(Remembering(store), Words())
    ((plan, _),) = plans
    with store.if_free(plan.lock_name) as free:
        assert free


def test_a_repeated_stage_has_its_own_key_and_later_stages_stay_cached(store: Store) -> None:
    outcomes = []
    for repetition in (0, 1, 1):
        executor = LocalExecutor(store, repetitions={"write": repetition})
        repeat(executor, write(executor, Words()), 2)
        outcomes += executor.outcomes
    states = [outcome.state for outcome in outcomes]
    assert states == ["ran", "ran", "ran", "cached", "cached", "cached"]
    assert outcomes[0].key != outcomes[2].key


def test_a_result_that_a_dry_run_does_not_know_can_only_be_handed_on(store: Store) -> None:
    dry = LookupExecutor(store)
    text = write(dry, Words())
    assert is_unknown([text.file])
    repeat(dry, text, 2)
    assert dry.lines() == [
        "write     will run: never run",
        "repeat-2  will run: upstream will run",
    ]
    for use in (bool, len, str, lambda value: value == "hello", lambda value: value + 1):
        with pytest.raises(TypeError, match="the result of write is not known in a dry run"):
            use(text.letters)


@pytest.mark.parametrize("executor", [LocalExecutor, PrefectExecutor, LookupExecutor])
def test_an_unknown_stage_cannot_be_refreshed(store: Store, executor) -> None:
    with pytest.raises(PipelineError, match="--refresh trian: no such stage; there are "):
        executor(store, frozenset({"trian"}))


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


@pytest.mark.server
def test_the_server_shows_which_stages_were_cached_and_why_others_ran(
    prefect_server: str, store: Store
) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.runtime import flow_run

    @flow(name="watched")
    def watched(times: int) -> Any:
        run = PrefectExecutor(store)
        repeat(run, write(run, Words(word="hello")), times)
        return flow_run.id

    def states(flow_run_id: Any) -> dict[str, tuple[Any, Any]]:
        chosen = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
        with get_client(sync_client=True) as client:
            for _ in range(100):  # the server learns of a task's states from events
                runs = client.read_task_runs(flow_run_filter=chosen)
                ended = [run for run in runs if run.state and run.state.is_final()]
                if len(ended) == 2:
                    break
                time.sleep(0.1)
        return {run.name: (run.state.name, run.state.message) for run in ended}

    assert states(watched(2)) == {
        "write": ("Completed", "never run"),
        "repeat-2": ("Completed", "never run"),
    }
    assert states(watched(3)) == {
        "write": ("Cached", "unchanged; its files are intact"),
        "repeat-3": ("Completed", "never run"),
    }


SIDE_BY_SIDE = """
import sys, time
from pathlib import Path
from prefect import flow
from tasks.records import FileRef
from tasks.engine.executors import LookupExecutor, LocalExecutor, PrefectExecutor
from tasks.engine.stage import stage
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
