"""Runs of a small real pipeline: 60 images, 40 iterations, a few seconds."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from helpers.commands import PIPELINE

from tasks.data import idx
from tasks.data.sources.mnist import IDX_FILES
from tasks.engine.digests import sha256

OPTIONS = (
    *("--digests", "none", "--iterations", "40", "--milestones", "0,1", "--batch-size", "8"),
    *("--conv-filters", "2,2", "--conv-sizes", "3,3", "--dense", "4"),
)


def write_source(folder: Path) -> None:
    """Write 60 training and 20 test images of 8 × 8 pixels in three classes."""
    draw = np.random.default_rng(0)
    for (images, labels), count in zip((IDX_FILES[:2], IDX_FILES[2:]), (60, 20), strict=True):
        pixels = draw.integers(0, 256, (count, 8, 8), dtype=np.uint8)
        (folder / images).write_bytes(idx.dumps(pixels))
        (folder / labels).write_bytes(idx.dumps(np.arange(count, dtype=np.uint8) % 3))


def start(
    root: Path | str, source: Path, server: str, *options: str, script: Path = PIPELINE
) -> "subprocess.Popen[str]":
    """Start a run in a new process group; its log lines come through `stderr`."""
    return subprocess.Popen(
        [
            *(sys.executable, str(script), *options, *OPTIONS),
            *("--source", str(source), "--artifacts", str(root)),
        ],
        env={**os.environ, "PREFECT_API_URL": server},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(run: "subprocess.Popen[str]") -> list[str]:
    """Wait for the end of a successful run and return its log lines."""
    with run:
        _, log = run.communicate(timeout=240)
    assert run.returncode == 0, log
    return log.splitlines()


def outputs(root: Path) -> dict[str, str]:
    """Return the digest of every stage output by path."""
    stages = {path.name.rsplit("-", 1)[0] for path in root.glob("records/*.json")}
    return {
        path.relative_to(root).as_posix(): sha256(path)
        for stage in stages
        for path in sorted((root / stage).rglob("*"))
        if path.is_file()
    }
