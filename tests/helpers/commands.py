"""Runs of the command line in new processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.engine.store import PROJECT

PIPELINE = PROJECT / "flows" / "pipeline.py"
RETRAIN = PROJECT / "flows" / "retrain.py"
PREDICT = PROJECT / "flows" / "predict.py"
STUDY = PROJECT / "flows" / "study.py"


@dataclass(frozen=True)
class Finished:
    """Exit code and output of a finished command."""

    code: int
    lines: list[str]
    """Standard output and error together."""

    @property
    def last(self) -> str:
        return self.lines[-1] if self.lines else ""


def run_pipeline(
    *arguments: str | Path,
    python: tuple[str, ...] = (),
    cwd: Path | None = None,
    **environment: str,
) -> Finished:
    """Run `python flows/pipeline.py …` to its end."""
    return run_script(PIPELINE, *arguments, python=python, cwd=cwd, **environment)


def run_script(
    script: Path,
    *arguments: str | Path,
    python: tuple[str, ...] = (),
    cwd: Path | None = None,
    **environment: str,
) -> Finished:
    """Run `python <script> …` to its end."""
    done = subprocess.run(
        [sys.executable, *python, str(script), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    return Finished(done.returncode, done.stdout.splitlines())


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """Mount a file system of the given size; skip the test without the permission to mount."""
    place.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if subprocess.run(command, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)
