"""Tests of runs that are stopped during training, and of resume in the next run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import tiny
from helpers.commands import PIPELINE, run_pipeline

from flows.graph import train_and_score
from tasks.engine.digests import sha256
from tasks.engine.executors import LocalExecutor
from tasks.engine.store import Store

pytestmark = [pytest.mark.server, pytest.mark.tensorflow, pytest.mark.proof]

TRAINING = (
    *("--source", "digits", "--milestones", "0", "--iterations", "1501"),
    *("--conv-filters", "8,8", "--conv-sizes", "3,3", "--dense", "16"),
    # The later stages are not tested here.
    *("--insights", "none", "--test-images", "0", "--conv2-channels", "0"),
)


def uninterrupted_digest(root: Path) -> str:
    """Return the digest of the checkpoint after training without interruption."""
    store = Store(root)
    store.prepare()
    train_and_score(LocalExecutor(store), tiny.settings_of(*TRAINING), weights_seed=0)
    return checkpoint_digest(root)


def checkpoint_digest(root: Path) -> str:
    (checkpoint,) = root.glob("train/*/checkpoint.safetensors")
    return sha256(checkpoint)


def processes_with_environment(text: str) -> Iterator[int]:
    """Yield ids of processes with a text in their environment."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (folder / "environ").read_bytes():
                yield int(folder.name)
        except OSError:
            continue


def stop_while_training(
    root: Path, environment: dict[str, str], number: signal.Signals, moment: str
) -> tuple[int, list[str]]:
    """Send a signal to the process group of a run during training, as a terminal does."""
    with subprocess.Popen(
        [sys.executable, str(PIPELINE), *TRAINING, "--artifacts", str(root)],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        lines = []
        assert run.stderr
        for line in run.stderr:
            lines.append(line.rstrip())
            if moment in line:
                os.killpg(run.pid, number)
        return run.wait(timeout=60), lines


STOPS = (
    (signal.SIGINT, 101, 130, "error: interrupted; finished stages"),
    (signal.SIGTERM, 301, 143, "error: terminated; finished stages"),
    (signal.SIGKILL, 601, -9, ""),  # saves nothing; the run resumes from what was saved before
)


@pytest.mark.parametrize("temporary", [True, False], ids=["temporary server", "running server"])
def test_a_stopped_run_resumes(prefect_server: str, tmp_path: Path, temporary: bool) -> None:
    """The final checkpoint equals that of an uninterrupted run; a temporary server ends, too."""
    root, home = tmp_path / "artifacts", tmp_path / "home"
    server = {"PREFECT_HOME": str(home)} if temporary else {"PREFECT_API_URL": prefect_server}
    begun = 0
    for number, moment, code, last in STOPS:
        ended, lines = stop_while_training(root, server, number, f"Iteration: {moment:>6},")
        assert ended == code, lines
        assert not last or lines[-1].startswith(last)
        assert not [line for line in lines if "Traceback" in line or "ERROR" in line]
        assert resumed_iteration(lines) >= begun
        begun = moment if number != signal.SIGKILL else begun
        assert not list(root.glob("train/[0-9a-f]*"))
        until = time.monotonic() + 30
        while list(processes_with_environment(str(home))) and time.monotonic() < until:
            time.sleep(0.2)
        assert not list(processes_with_environment(str(home))), "its server is still there"

    done = run_pipeline(*TRAINING, "--artifacts", root, PREFECT_API_URL=prefect_server)
    assert done.code == 0, done.lines
    assert resumed_iteration(done.lines) >= begun
    assert checkpoint_digest(root) == uninterrupted_digest(tmp_path / "uninterrupted")
    assert not list(root.glob("*/.*"))


def resumed_iteration(lines: list[str]) -> int:
    """Return the logged iteration from which a run resumed; 0 if it did not resume."""
    resumed = [line for line in lines if line.startswith("resumed at iteration ")]
    return int(resumed[0].split()[3].rstrip(",")) if resumed else 0
