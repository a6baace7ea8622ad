"""Runs of a small real pipeline: 60 images, 40 iterations, a few seconds.

A run in a process of its own takes twice as long as `compute`, most of it for imports.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from helpers.commands import PIPELINE

from flows.cli.pipeline import pipeline_app
from flows.graph import compute_results
from tasks.data import idx
from tasks.data.sources.mnist import IDX_FILES
from tasks.engine.digests import sha256
from tasks.engine.executors import LocalExecutor
from tasks.engine.store import Store
from tasks.settings import Settings

OPTIONS = (
    *("--digests", "none", "--iterations", "40", "--milestones", "0,1", "--batch-size", "8"),
    *("--conv-filters", "2,2", "--conv-sizes", "3,3", "--dense", "4"),
)


def write_source(folder: Path) -> Path:
    """Write 60 training and 20 test images of 8 × 8 pixels in three classes."""
    folder.mkdir(exist_ok=True)
    draw = np.random.default_rng(0)
    for (images, labels), count in zip((IDX_FILES[:2], IDX_FILES[2:]), (60, 20), strict=True):
        pixels = draw.integers(0, 256, (count, 8, 8), dtype=np.uint8)
        (folder / images).write_bytes(idx.dumps(pixels))
        (folder / labels).write_bytes(idx.dumps(np.arange(count, dtype=np.uint8) % 3))
    return folder


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


def settings_of(*options: str) -> Settings:
    """Return the settings that the pipeline's command line makes of some options."""
    arguments = pipeline_app().parse_args(options, exit_on_error=False, print_error=False)[1]
    settings: Settings = arguments.arguments["settings"]
    return settings


def compute(root: Path, source: Path, *options: str) -> dict[str, str]:
    """Compute the results of a run in this process, without Prefect; return `outputs`."""
    store = Store(root)
    with store.in_use():
        settings = settings_of(*options, *OPTIONS, "--source", str(source))
        compute_results(LocalExecutor(store), settings)
    return outputs(root)


def outputs(root: Path) -> dict[str, str]:
    """Return the digest of every stage output by path."""
    stages = {path.name.rsplit("-", 1)[0] for path in root.glob("records/*.json")}
    return {
        path.relative_to(root).as_posix(): sha256(path)
        for stage in stages
        for path in sorted((root / stage).rglob("*"))
        if path.is_file()
    }
