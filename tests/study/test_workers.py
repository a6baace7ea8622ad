"""Processes that train variants: what becomes of a job whose process dies under it."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from tasks.study.design import Job, Study, Variant, make_job
from tasks.study.result import RunResult
from tasks.study.workers import TRIES, Processes, Training

STUDY = Study(number=1, name="odd", question="Who dies?", variants=(Variant(name="as it is"),))
JOBS = [make_job(STUDY, STUDY.variants[0], {}, seed) for seed in (0, 1)]


def die_if_first(times: int, calls: Path, job: Job) -> str:
    """Be killed in the first so many calls with the first job; else answer.

    Args:
        times: how often.
        calls: a file that keeps count.
        job: the job.
    """
    if job == JOBS[0]:
        before = len(calls.read_text()) if calls.exists() else 0
        calls.write_text("x" * (before + 1))
        if before < times:
            os.kill(os.getpid(), signal.SIGKILL)
    return "its own reason"


def outcomes(
    times: int, folder: Path, monkeypatch: pytest.MonkeyPatch, at_a_time: int = 1
) -> list[RunResult | str]:
    """What is told of two jobs, the first of which kills its process so many times."""
    training = Training(partial(die_if_first, times, folder / "calls"), dict)
    pool, told = Processes(at_a_time, training), {}
    try:
        pool.run(JOBS, b"", lambda job, outcome: told.update({job.identity: outcome}))
        assert len(pool.free) + len(pool.idle) == at_a_time
    finally:
        pool.stop()
    return [told[job.identity] for job in JOBS]


def test_a_job_whose_process_dies_is_run_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert outcomes(TRIES - 1, tmp_path, monkeypatch) == ["its own reason"] * 2


def test_a_job_whose_process_dies_again_has_failed_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, other = outcomes(TRIES, tmp_path, monkeypatch)
    assert failed == "its process was ended from outside, perhaps for want of memory"
    assert other == "its own reason"


def test_what_is_computed_beside_a_job_that_dies_twice_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, other = outcomes(TRIES, tmp_path, monkeypatch, at_a_time=2)
    assert failed == "its process was ended from outside, perhaps for want of memory"
    assert other == "its own reason"
