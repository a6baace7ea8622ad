"""Tests of workers that die, are interrupted, or share a machine."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from tasks.runtime.threads import threads
from tasks.settings import Settings
from tasks.study.design import Job, Study, Variant, make_job
from tasks.study.result import RunResult
from tasks.study.workers import Training, start_workers

pytestmark = pytest.mark.slow

STUDY = Study(number=1, name="odd", question="Who dies?", variants=(Variant(name="as it is"),))
JOBS = [make_job(STUDY, STUDY.variants[0], {}, seed) for seed in (0, 1)]
CONTEXT = cloudpickle.dumps({})


def die_if_first(times: int, calls: Path, job: Job) -> str:
    """Kill this process in the first calls with the first job; otherwise return a text.

    Args:
        times: number of calls that are killed.
        calls: file that counts the calls.
        job: the job.
    """
    if job == JOBS[0]:
        before = len(calls.read_text()) if calls.exists() else 0
        calls.write_text("x" * (before + 1))
        if before < times:
            os.kill(os.getpid(), signal.SIGKILL)
    return "finished"


def save_when_interrupted(folder: Path, job: Job) -> str:
    """Work until interrupted, then save."""
    (folder / f"started-{job.weights_seed}").touch()
    try:
        while True:
            time.sleep(0.05)
    except KeyboardInterrupt:
        (folder / f"saved-{job.weights_seed}").touch()
        raise


def write_cores(folder: Path, job: Job) -> str:
    """Write the cores of this process to a file."""
    (folder / f"cores-{job.weights_seed}").write_text(json.dumps(sorted(os.sched_getaffinity(0))))
    time.sleep(1)  # so that the other worker takes the other job
    return "finished"


def outcomes(run: Any, count: int) -> list[RunResult | str]:
    """Run two jobs on local workers and return the outcome of each."""
    found: dict[str, RunResult | str] = {}
    with start_workers(Settings(), count, Training(run, dict)) as workers:
        workers.run(JOBS, CONTEXT, lambda job, outcome: found.update({job.identity: outcome}))
    return [found[job.identity] for job in JOBS]


def test_job_of_a_killed_worker_runs_again(tmp_path: Path) -> None:
    assert outcomes(partial(die_if_first, 1, tmp_path / "calls"), 1) == ["finished"] * 2


@pytest.mark.parametrize("count", [1, 2])
def test_job_that_kills_two_workers_fails_without_affecting_others(
    count: int, tmp_path: Path
) -> None:
    failed, other = outcomes(partial(die_if_first, 2, tmp_path / "calls"), count)
    assert failed == (
        f"{JOBS[0].name}: 2 workers died while they computed it; check their memory and logs, and"
        " run it again"
    )
    assert other == "finished"


def test_interrupted_jobs_save_before_the_end(tmp_path: Path) -> None:
    def interrupt() -> None:
        while len(list(tmp_path.glob("started-*"))) < len(JOBS):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        outcomes(partial(save_when_interrupted, tmp_path), 2)
    assert len(list(tmp_path.glob("saved-*"))) == len(JOBS)


def count_threads(job: Job) -> str:
    """Return the number of TensorFlow's threads in this process, and the process."""
    return f"{threads()} {os.getpid()}"


def test_another_number_of_threads_gets_new_processes() -> None:
    changed = {"threads": 1}
    jobs = [make_job(STUDY, STUDY.variants[0], values, 0) for values in (changed, {}, changed)]
    found: list[str] = []
    with start_workers(Settings(), 1, Training(count_threads, dict)) as workers:
        for job in jobs:
            workers.run([job], CONTEXT, lambda _, outcome: found.append(str(outcome)))
    numbers, processes = zip(*(text.split() for text in found), strict=True)
    assert numbers == ("1", "2", "1")
    assert len(set(processes)) == 3


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_workers_share_the_cores(tmp_path: Path) -> None:
    with socket.socket() as other:
        with contextlib.suppress(OSError):  # taken already
            other.bind(("127.0.0.1", 8787))  # Dask's usual port
            other.listen()
        outcomes(partial(write_cores, tmp_path), 2)
    first, second = (set(json.loads(p.read_text())) for p in sorted(tmp_path.glob("cores-*")))
    assert not first & second
