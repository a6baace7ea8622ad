"""The progress artifact moves while work goes on, and never gets into its way."""

import time
from collections.abc import Callable

import httpx
import pytest

from tasks.engine import progress as live
from tasks.runtime.console import track

pytestmark = pytest.mark.server

KEY = "mnist-test-progress"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SECONDS_BETWEEN_UPDATES", 0.01)


def work(steps: int, look: Callable[[], None]) -> None:
    """Work that is tracked, in a flow run; `look` is called after every step."""
    from prefect import flow

    @flow(name="work")
    def working() -> None:
        with live.progress_artifact(KEY), track("working", steps) as update:
            for step in range(1, steps + 1):
                time.sleep(0.05)
                update(step, f"note {step}")
                look()

    working()


def test_the_artifact_moves_and_ends_at_100_percent(prefect_server: str) -> None:
    seen: list[float] = []

    def artifacts() -> list[dict]:
        found = httpx.post(
            f"{prefect_server}/artifacts/filter", json={"artifacts": {"key": {"any_": [KEY]}}}
        )
        return found.raise_for_status().json()

    def look() -> None:
        time.sleep(0.2)  # for the thread that sends
        seen.extend(artifact["data"] for artifact in artifacts())

    work(4, look)
    assert len(set(seen)) > 1
    assert seen == sorted(seen)
    (artifact,) = artifacts()
    assert artifact["data"] == 100
    assert artifact["description"] == "working: 4 of 4, note 4"
    assert artifact["flow_run_id"]


def test_work_goes_on_when_nothing_can_be_sent(
    prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def refuse(*arguments: object) -> None:
        tried.append(arguments)
        raise httpx.ConnectError("no server")

    monkeypatch.setattr(live, "create_progress_artifact", refuse)
    work(3, lambda: None)
    assert tried
