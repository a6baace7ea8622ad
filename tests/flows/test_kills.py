"""Test of SIGKILL at random moments of every stage: same outputs, no temporary files.

Four kills by default; others with `KILLS=100 KILL_SEED=7`.
"""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from helpers import tiny

pytestmark = [pytest.mark.server, pytest.mark.tensorflow, pytest.mark.proof]

KILLS = int(os.environ.get("KILLS", "4"))
SEED = int(os.environ.get("KILL_SEED", "0"))
STAGES = (
    *("download", "convert", "audit", "initialise", "evaluate-0", "train-1", "train-40"),
    *(
        "export",
        "measure",
        "check-labels",
        "calibrate",
        "layer-outputs",
        "pack-live",
        "excite",
        "attribute",
    ),
    *("embed", "draw", "report"),  # the last one: while `latest` is replaced
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_source(tmp_path_factory.mktemp("source"))


def start_lines(stage: str) -> tuple[str, ...]:
    """Return the log lines that mark the start of a stage."""
    return ("draw: ran", "draw: cached") if stage == "report" else (f"{stage}: running",)


def kill_in(stage: str, delay: float, root: Path, source: Path, server: str) -> bool:
    """Kill a run's process group some seconds after the start of a stage.

    Returns:
        Whether it was killed; a cached stage does not start.
    """
    with tiny.start(root, source, server) as run:
        assert run.stderr
        for line in run.stderr:
            if line.startswith(start_lines(stage)):
                time.sleep(delay)
                os.killpg(run.pid, signal.SIGKILL)
                break
    return run.returncode == -signal.SIGKILL


def test_outputs_after_kills_equal_those_of_an_uninterrupted_run(
    prefect_server: str, source: Path, tmp_path: Path
) -> None:
    expected = tiny.compute(tmp_path / "uninterrupted", source)
    assert {path.split("/")[0] for path in expected} >= {"download", "train", "draw", "export"}

    chance = random.Random(SEED)
    root, killed = tmp_path / "killed", 0
    while killed < KILLS:
        for stage in sorted(chance.sample(STAGES, min(len(STAGES), KILLS)), key=STAGES.index):
            delay = chance.uniform(0, 0.5)
            killed += kill_in(stage, delay, root, source, prefect_server)
        tiny.finish(tiny.start(root, source, prefect_server))
        assert tiny.outputs(root) == expected
        assert not list(root.glob("*/.*")), "leftovers"
        assert (root / "latest" / "report" / "index.html").is_file()
        assert len([*(root / "runs").glob("*/")]) == 1, "folders of reports"
        shutil.rmtree(root)
    print(f"{killed} kills")
