"""Ctrl-C in every command, at any moment after Python itself has started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import PIPELINE, PREDICT, RETRAIN, STUDY

SOON, LATER = "flows.cli", "tasks.engine.models"
"""Modules after whose import the key is pressed."""


@pytest.mark.parametrize(
    ("moment", "command"),
    [
        (SOON, (PIPELINE, "--status", "--source", "digits")),
        (LATER, (PIPELINE, "cache", "ls")),
        (SOON, (PREDICT, "image.png")),
        (LATER, (RETRAIN, "history")),
        (LATER, (STUDY, "dropout", "--source", "digits")),
        (SOON, (PIPELINE, "--source", "digits")),
        (LATER, (PIPELINE, "--source", "digits")),
    ],
)
def test_no_traceback(tmp_path: Path, moment: str, command: tuple[str | Path, ...]) -> None:
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", *command, "--artifacts", tmp_path / "a"],
        cwd=tmp_path,
        env={**os.environ, "PREFECT_HOME": str(tmp_path / "home")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        assert run.stderr
        for line in run.stderr:
            if line.split()[-1:] == [moment]:
                run.send_signal(signal.SIGINT)
                break
        else:
            raise AssertionError(f"{moment} was not imported")
        rest = [line for line in run.stderr if not line.startswith("import time:")]
    ended_before = moment == LATER and run.returncode in (0, 1)
    assert run.returncode == 130 or ended_before, rest
    assert not [line for line in rest if not line.startswith("error: ")]
