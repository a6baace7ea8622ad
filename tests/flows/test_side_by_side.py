"""Test of five concurrent runs on one artifact root."""

from collections import Counter
from pathlib import Path

import pytest
from helpers import tiny

pytestmark = [pytest.mark.server, pytest.mark.tensorflow, pytest.mark.proof]

SAME = 4
LEAN = ("--insights", "none")
OTHER = (*LEAN, "--learning-rate", "0.01")


def computed(lines: list[str]) -> list[str]:
    """Return the stages that a run computed itself."""
    return [line.partition(": running (")[0] for line in lines if ": running (" in line]


def test_concurrent_runs_compute_each_stage_once(prefect_server: str, tmp_path: Path) -> None:
    source, root = tiny.write_source(tmp_path / "source"), tmp_path / "together"
    runs = [tiny.start(root, source, prefect_server, *LEAN) for _ in range(SAME)]
    runs.append(tiny.start(root, source, prefect_server, *OTHER))
    counts = Counter(name for run in runs for name in computed(tiny.finish(run)))
    # The stages before training are the same for all.
    shared = {"download", "convert", "audit", "initialise", "evaluate-0"}
    trained = {"train-1", "train-40"}
    assert {name: counts[name] for name in shared} == dict.fromkeys(shared, 1)
    assert {name: counts[name] for name in trained} == dict.fromkeys(trained, 2)
    assert max(counts.values()) == 2

    alone = tmp_path / "alone"
    for options in (LEAN, OTHER):
        expected = tiny.compute(alone, source, *options)
    assert tiny.outputs(root) == expected
    assert not list(root.glob("*/.*")), "leftovers"
    assert (root / "latest" / "report" / "index.html").is_file()
