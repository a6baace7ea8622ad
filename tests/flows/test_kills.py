"""SIGKILL at random moments of every stage: the end is the same, and nothing is left over.

Six kills by default; `make proofs` does forty. `KILLS=100 KILL_SEED=7` says otherwise.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import PIPELINE

from tasks.data import idx
from tasks.data.sources import IDX_FILES
from tasks.store import sha256

pytestmark = [pytest.mark.server, pytest.mark.tensorflow]

KILLS = int(os.environ.get("KILLS", "6"))
SEED = int(os.environ.get("KILL_SEED", "0"))
STAGES = (
    "download",
    "convert",
    "initialise",
    "evaluate-0",
    "train-1",
    "train-40",
    "export",
    "measure",
    "layer-outputs",
    "excite",
    "attribute",
    "embed",
    "draw",
    "report",  # the moments after the last stage, when `latest` is replaced
)
TINY = (
    *("--digests", "none", "--iterations", "40", "--milestones", "0,1", "--batch-size", "8"),
    *("--conv-filters", "2,2", "--conv-sizes", "3,3", "--dense", "4"),
)


@pytest.fixture(scope="module")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty training and twenty test images of 8 × 8 pixels, three classes."""
    folder = tmp_path_factory.mktemp("source")
    draw = np.random.default_rng(0)
    for (images, labels), count in zip((IDX_FILES[:2], IDX_FILES[2:]), (60, 20), strict=True):
        pixels = draw.integers(0, 256, (count, 8, 8), dtype=np.uint8)
        (folder / images).write_bytes(idx.dumps(pixels))
        (folder / labels).write_bytes(idx.dumps(np.arange(count, dtype=np.uint8) % 3))
    return folder


def start(root: Path, source: Path, server: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(PIPELINE), *TINY, "--source", str(source), "--artifacts", str(root)],
        env={**os.environ, "PREFECT_API_URL": server},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(root: Path, source: Path, server: str) -> None:
    """Run to the end, undisturbed."""
    with start(root, source, server) as run:
        _, said = run.communicate(timeout=120)
    assert run.returncode == 0, said


def moments_of(stage: str) -> tuple[str, ...]:
    """What a run says when it begins with a stage."""
    return ("draw: ran", "draw: cached") if stage == "report" else (f"{stage}: running",)


def kill_in(stage: str, delay: float, root: Path, source: Path, server: str) -> bool:
    """Kill a run's process group some seconds after a stage has begun.

    Returns:
        Whether it was killed; a stage that is cached by now never begins.
    """
    with start(root, source, server) as run:
        assert run.stderr
        for line in run.stderr:
            if line.startswith(moments_of(stage)):
                time.sleep(delay)
                os.killpg(run.pid, signal.SIGKILL)
                break
    return run.returncode == -signal.SIGKILL


def outputs(root: Path) -> dict[str, str]:
    """Digest of every file that the stages left, by its path."""
    stages = {path.name.rsplit("-", 1)[0] for path in root.glob("records/*.json")}
    return {
        path.relative_to(root).as_posix(): sha256(path)
        for stage in stages
        for path in sorted((root / stage).rglob("*"))
        if path.is_file()
    }


def test_killed_runs_end_like_undisturbed_ones(
    prefect_server: str, tiny_source: Path, tmp_path: Path
) -> None:
    undisturbed = tmp_path / "undisturbed"
    finish(undisturbed, tiny_source, prefect_server)
    expected = outputs(undisturbed)
    assert {path.split("/")[0] for path in expected} >= {"download", "train", "draw", "export"}

    chance = random.Random(SEED)
    root, killed = tmp_path / "killed", 0
    while killed < KILLS:
        for stage in sorted(chance.sample(STAGES, min(len(STAGES), KILLS)), key=STAGES.index):
            delay = chance.uniform(0, 0.5)
            killed += kill_in(stage, delay, root, tiny_source, prefect_server)
        finish(root, tiny_source, prefect_server)
        assert outputs(root) == expected
        assert not list(root.glob("*/.*")), "leftovers"
        assert (root / "latest" / "report" / "index.html").is_file()
        assert len(list((root / "runs").iterdir())) == 1
        shutil.rmtree(root)
    print(f"{killed} kills")
