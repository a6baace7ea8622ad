"""Tests of random edits: a run has the right outputs and runs only the stages that it must.

`make test` tries 150 random sequences of edits; `CACHE_SEQUENCES=10000 make test
ARGS=tests/engine/cache` tries 10,000. A failure prints the shortest sequence found.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import pytest
from engine.cache.machine import CacheMachine, KillingMachine
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tasks.engine.executors import PrefectExecutor

SEQUENCES = int(os.environ.get("CACHE_SEQUENCES", "150"))


def sequences(count: int, steps: int) -> settings:
    return settings(
        max_examples=count,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(autouse=True)
def no_byte_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn off byte code: each module is imported only once."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


@pytest.mark.slow
def test_random_edits() -> None:
    run_state_machine_as_test(CacheMachine, settings=sequences(SEQUENCES, steps=12))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills children of this process")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_random_edits_and_kills() -> None:
    run_state_machine_as_test(KillingMachine, settings=sequences(SEQUENCES // 2, steps=12))


@pytest.mark.slow
@pytest.mark.server
def test_random_edits_with_prefect(prefect_server: str) -> None:
    from prefect import flow

    @flow(name="story", validate_parameters=False)
    def story(job: Callable[[], Any]) -> Any:
        return job()

    class PrefectMachine(CacheMachine):
        run_type = PrefectExecutor
        in_flow = staticmethod(story)
        most_runs = 2  # each takes a second

    run_state_machine_as_test(PrefectMachine, settings=sequences(min(20, SEQUENCES // 15), steps=4))
