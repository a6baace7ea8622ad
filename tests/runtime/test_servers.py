"""Prefect servers that start at the same time, cannot start, or die in the middle of a run."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tasks.runtime.server import HOST, free_port, wait_until_ready

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.proof]

TWO_STAGES = """
import sys, time
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from flows.cli.common import run_to_exit_code
from tasks.engine import PrefectExecutor, Record, Workspace, open_store, stage


class Number(Record):
    number: int


@stage(label="count-{until}")
def count(work: Workspace, until: int) -> Number:
    if until == 2:
        print("half", flush=True)
        sys.stdin.readline()
    return Number(number=until)


def job():
    from prefect import flow
    from tasks.runtime.server import server_for_this_run

    @flow
    def count_twice():
        store = open_store(sys.argv[2])
        with store.in_use():
            executor = PrefectExecutor(store)
            count(executor, 1)
            count(executor, 2)

    with server_for_this_run():
        count_twice()


sys.exit(run_to_exit_code(job))
"""
SERVE = "-m uvicorn --factory prefect.server.api.server:create_app --log-level critical"
PROJECT = Path(__file__).resolve().parents[2]


@contextmanager
def serving(home: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server on a port until the end of the block."""
    with subprocess.Popen(
        [sys.executable, *SERVE.split(), "--host", HOST, "--port", str(port)],
        env={**os.environ, "PREFECT_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            wait_until_ready(server, f"http://{HOST}:{port}/api")
            yield server
        finally:
            server.kill()


def start(script: Path, root: Path, **environment: str) -> "subprocess.Popen[str]":
    """Start a run, in an environment with these variables."""
    return subprocess.Popen(
        [sys.executable, script, PROJECT, root],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def half_done(script: Path, root: Path, port: int, retries: int) -> "subprocess.Popen[str]":
    """Start a run, and wait until it is in its second stage."""
    run = start(
        script,
        root,
        PREFECT_API_URL=f"http://{HOST}:{port}/api",
        PREFECT_CLIENT_MAX_RETRIES=str(retries),
        PREFECT_CLIENT_RETRY_JITTER_FACTOR="0",
    )
    assert run.stdout
    assert run.stdout.readline() == "half\n"
    return run


def test_a_run_goes_on_with_the_server_or_ends_with_one_line(tmp_path: Path) -> None:
    script, port = tmp_path / "two.py", free_port()
    back, gone = tmp_path / "back", tmp_path / "gone"
    script.write_text(TWO_STAGES)
    with serving(tmp_path / "home", port):
        run = half_done(script, back, port, retries=6)
    print(file=run.stdin, flush=True)
    with serving(tmp_path / "home", port):
        _, lines = run.communicate(timeout=120)
        assert run.returncode == 0, lines
        run = half_done(script, gone, port, retries=1)
    _, lines = run.communicate("\n", timeout=120)
    assert run.returncode == 1
    *_, last = lines.splitlines()
    assert last.startswith("error: the Prefect server no longer answers; start it again; finished")
    assert not [line for line in lines.splitlines() if "Traceback" in line or "ERROR" in line]
    assert len(list(gone.glob("records/count-*.json"))) == 2


def test_first_runs_at_once_and_the_database_of_a_newer_prefect(tmp_path: Path) -> None:
    """Three runs share an empty home, and two of them an artifact root."""
    script, home = tmp_path / "two.py", tmp_path / "home"
    script.write_text(TWO_STAGES)
    own = {"PREFECT_HOME": str(home)}
    runs = [start(script, tmp_path / f"artifacts{number % 2}", **own) for number in range(3)]
    for run in runs:  # all at first: one may wait for the stage that another computes
        print(file=run.stdin, flush=True)
    ends = [(run.communicate(timeout=300)[1], run.returncode) for run in runs]
    assert [code for _, code in ends] == [0, 0, 0], ends
    began = [line for text, _ in ends for line in text.splitlines() if ": running (" in line]
    assert len(began) == 4, "each stage is computed once in each root"

    with closing(sqlite3.connect(home / "prefect.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    run = start(script, tmp_path / "artifacts0", **own)
    _, lines = run.communicate(timeout=300)
    assert lines == (
        "error: PREFECT_HOME: a newer Prefect has changed the database in it; set PREFECT_HOME to"
        " another folder\n"
    )
    assert run.returncode == 1
