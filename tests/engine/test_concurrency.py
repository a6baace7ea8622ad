"""Tests of concurrency slots, with a limit on a real Prefect server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

import pytest

from tasks.engine.concurrency import concurrency_slot
from tasks.engine.executors import PrefectExecutor
from tasks.engine.models import FileRef, Record
from tasks.engine.stage import stage
from tasks.engine.store import Store, Workspace

events: list[str] = []
both_inside = threading.Barrier(2)


class Used(Record):
    file: FileRef


@stage()
def use_alone(work: Workspace, limit: str, name: str) -> Used:
    """Hold a concurrency slot for half a second."""
    with concurrency_slot(limit):
        events.append(f"{name} begins")
        time.sleep(0.5)
        events.append(f"{name} ends")
    work.output("done").write_text(name)
    return Used(file=work.finished("done"))


@stage()
def meet(work: Workspace, limit: str, name: str) -> Used:
    """Wait in a concurrency slot until two runs hold one."""
    with concurrency_slot(limit):
        both_inside.wait(timeout=60)
    work.output("met").write_text(name)
    return Used(file=work.finished("met"))


def two_runs(stage: Callable[..., Used], limit: str, root: Path) -> None:
    """Run a stage in two concurrent flow runs with separate artifact roots."""
    from prefect import flow

    @flow(name="using")
    def using(name: str) -> None:
        store = Store(root / name)
        store.prepare()
        stage(PrefectExecutor(store), limit, name)

    with ThreadPoolExecutor(2) as pool:
        # A thread has no context of its own, and in this one's is the server.
        runs = [pool.submit(copy_context().run, using, name) for name in ("one", "other")]
        for run in runs:
            run.result()


def test_without_a_limiter_there_is_no_wait() -> None:
    with concurrency_slot("anything"):
        pass


@pytest.mark.server
@pytest.mark.usefixtures("prefect_server")
def test_default_limit_is_one_run_at_a_time(tmp_path: Path) -> None:
    events.clear()
    two_runs(use_alone, "test-alone", tmp_path)
    begun = [line.split()[0] for line in events[::2]]
    assert events == [f"{name} {what}" for name in begun for what in ("begins", "ends")]
    assert sorted(begun) == ["one", "other"]


@pytest.mark.server
@pytest.mark.usefixtures("prefect_server")
def test_existing_limit_is_kept(tmp_path: Path) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate

    with get_client(sync_client=True) as client:
        client.create_global_concurrency_limit(
            GlobalConcurrencyLimitCreate(name="test-roomy", limit=2)
        )
        two_runs(meet, "test-roomy", tmp_path)
        assert client.read_global_concurrency_limit_by_name("test-roomy").limit == 2
