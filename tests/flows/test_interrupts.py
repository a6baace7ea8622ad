"""Runs that are stopped in the middle of training: what they leave, and how the next goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.commands import PIPELINE, run_pipeline

from tasks.engine.digests import sha256

pytestmark = [pytest.mark.server, pytest.mark.tensorflow]

TRAINING = (
    *("--source", "digits", "--milestones", "0", "--iterations", "701"),
    *("--insights", "none"),  # what comes after training is not what is stopped here
)


@pytest.fixture(scope="module")
def undisturbed(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digest of the checkpoint of a run that nothing stopped."""
    root = tmp_path_factory.mktemp("undisturbed")
    done = run_pipeline(*TRAINING, "--artifacts", root, PREFECT_API_URL=prefect_server)
    assert done.code == 0, done.lines
    return checkpoint_digest(root)


def checkpoint_digest(root: Path) -> str:
    (checkpoint,) = root.glob("train/*/checkpoint.safetensors")
    return sha256(checkpoint)


def processes_naming(text: str) -> Iterator[int]:
    """Processes whose environment holds a text."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (folder / "environ").read_bytes():
                yield int(folder.name)
        except OSError:
            continue


def stop_while_training(
    root: Path, home: Path, number: signal.Signals, moment: str
) -> tuple[int, list[str]]:
    """Send a signal to the whole process group, as a terminal does, in the middle of training."""
    with subprocess.Popen(
        [sys.executable, str(PIPELINE), *TRAINING, "--artifacts", str(root)],
        env={**os.environ, "PREFECT_HOME": str(home)},
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


def test_stopped_runs_are_gone_on_with(
    prefect_server: str, undisturbed: str, tmp_path: Path
) -> None:
    """Three in a row, each stopped in another way, and the end is that of a run undisturbed."""
    root, home = tmp_path / "artifacts", tmp_path / "home"
    begun = 0
    for number, moment, code, last in (
        (signal.SIGINT, 101, 130, "error: interrupted; finished stages"),
        (signal.SIGTERM, 301, 143, "error: terminated; finished stages"),
        # Nothing is saved at a kill: what was saved before is all that there is.
        (signal.SIGKILL, 601, -9, ""),
    ):
        ended, lines = stop_while_training(root, home, number, f"Iteration: {moment:>6},")
        assert ended == code, lines
        assert lines[-1].startswith(last)
        assert not [line for line in lines if "Traceback" in line or "ERROR" in line]
        assert gone_on_from(lines) >= begun
        begun = moment
        assert not list(root.glob("train/[0-9a-f]*"))
        until = time.monotonic() + 30
        while list(processes_naming(str(home))) and time.monotonic() < until:
            time.sleep(0.2)
        assert not list(processes_naming(str(home))), "its temporary server is still there"

    done = run_pipeline(*TRAINING, "--artifacts", root, PREFECT_API_URL=prefect_server)
    assert done.code == 0, done.lines
    assert gone_on_from(done.lines) >= 301
    assert checkpoint_digest(root) == undisturbed
    assert not list(root.glob("*/.*"))


def gone_on_from(lines: list[str]) -> int:
    """The iteration that a run says it goes on from; 0 if it begins at the beginning."""
    said = [line for line in lines if line.startswith("resumed at iteration ")]
    return int(said[0].split()[3].rstrip(",")) if said else 0
