"""Tests of the progress artifact: updates during work, and faults that must not disturb it."""

import time
from collections.abc import Callable

import httpx
import pytest

from tasks.engine import progress
from tasks.runtime.console import track

pytestmark = pytest.mark.server

KEY = "mnist-test-progress"


@pytest.fixture(autouse=True)
def frequent_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_UPDATES", 0.01)


def work(steps: int, after_step: Callable[[], None]) -> None:
    """Do tracked work in a flow run; `after_step` is called after every step."""
    from prefect import flow

    @flow(name="work")
    def working() -> None:
        with progress.progress_artifact(KEY), track("working", steps) as update:
            for step in range(1, steps + 1):
                time.sleep(0.05)
                update(step, f"note {step}")
                after_step()

    working()


def test_artifact_increases_to_100_percent(prefect_server: str) -> None:
    seen: list[float] = []

    def artifacts() -> list[dict]:
        found = httpx.post(
            f"{prefect_server}/artifacts/filter", json={"artifacts": {"key": {"any_": [KEY]}}}
        )
        return found.raise_for_status().json()

    def look() -> None:
        time.sleep(0.2)  # time for the sending thread
        seen.extend(artifact["data"] for artifact in artifacts())

    work(4, look)
    assert len(set(seen)) > 1
    assert seen == sorted(seen)
    (artifact,) = artifacts()
    assert artifact["data"] == 100
    assert artifact["description"] == "working: 4 of 4, note 4"
    assert artifact["flow_run_id"]


def test_work_continues_without_a_connection(
    prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def refuse(*arguments: object) -> None:
        tried.append(arguments)
        raise httpx.ConnectError("no server")

    monkeypatch.setattr(progress, "create_progress_artifact", refuse)
    work(3, lambda: None)
    assert tried
