"""Run comparisons and show them: `python -m benchmarks.run --help`.

Ways are run in turn, several rounds of all of them, since machines and their moods differ: what
counts is the ratio of the medians.
"""

import datetime
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from cyclopts import App

from benchmarks import stages, unchanged
from tasks.data.dataset import batch_indices, read_split
from tasks.engine.store import default_root
from tasks.model.device import cpu_name
from tasks.runtime.console import console
from tasks.runtime.processor import has_bfloat16

PROJECT = Path(__file__).resolve().parents[1]
Comparison = Literal["training", "unchanged", "data", "memory"]
Measured = dict[str, list[float]]

TRAINING = {
    "this pipeline": ("pipeline",),
    **({"this pipeline, bfloat16": ("pipeline", "bfloat16")} if has_bfloat16() else {}),
    "tutorial's loop, oneDNN": ("tutorial",),
    "tutorial's loop, TensorFlow's default": ("tutorial",),
    "Keras fit, oneDNN": ("keras_fit", "1"),
    "Keras fit, 50 steps per execution, oneDNN": ("keras_fit", "50"),
    "PyTorch": ("pytorch",),
    "multiplications alone": ("floor",),
}
ITERATIONS = 350  # of which 50 are not measured
app = App(name="benchmarks", result_action="return_value")


def in_turn(ways: dict[str, Callable[[], float | None]], rounds: int) -> Measured:
    """Every way once per round; those that give None are not there."""
    found: Measured = {}
    for number in range(1, rounds + 1):
        for name, measure in ways.items():
            if (value := measure()) is not None:
                found.setdefault(name, []).append(value)
                console.print(f"round {number}: {name}: {value:.3g}")
    return found


def training(rounds: int, root: Path, other_python: str) -> Measured:
    """Milliseconds per training iteration."""
    with tempfile.TemporaryDirectory() as folder:
        split = read_split(root / "latest" / "train.parquet")
        np.save(f"{folder}/images.npy", split.images)
        np.save(f"{folder}/labels.npy", split.labels)
        batches = batch_indices(0, len(split.labels), 64, 0, ITERATIONS)
        np.save(f"{folder}/batches.npy", batches)

        def way(name: str, script: str, *arguments: str) -> float | None:
            python = other_python if script == "pytorch" else sys.executable
            environment = {"TF_ENABLE_ONEDNN_OPTS": "1"} if "oneDNN" in name else {}
            return milliseconds(python, script, folder, *arguments, **environment)

        return in_turn(
            {
                name: lambda name=name, arguments=arguments: way(name, *arguments)  # type: ignore[misc]
                for name, arguments in TRAINING.items()
            },
            rounds,
        )


def milliseconds(
    python: str, script: str, folder: str, *arguments: str, **environment: str
) -> float | None:
    """Return the milliseconds that a script of `ways/` measures; None if its package is missing."""
    done = subprocess.run(
        [python, "-m", f"benchmarks.ways.{script}", folder, *arguments],
        cwd=PROJECT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and re.search("^(ModuleNotFound|Import)Error", done.stderr, re.MULTILINE):
        return None
    if done.returncode:
        raise RuntimeError(f"{script}:\n{done.stderr}")
    result: float = json.loads(done.stdout.splitlines()[-1])["ms"]
    return result


def compare(name: Comparison, rounds: int, root: Path, other_python: str) -> Measured:
    """One comparison; seconds, but for training (milliseconds) and memory (MiB)."""
    if name == "training":
        return training(rounds, root, other_python)
    if name == "unchanged":
        with unchanged.ways(other_python) as ways:
            return in_turn(dict(ways), rounds)
    if name == "data":
        return in_turn(dict(stages.data_ways(root)), rounds)
    long = ("--iterations", "4000", "--milestones", ",".join(map(str, range(0, 4000, 200))))
    return in_turn(
        {
            "1,000 iterations, 4 milestones": lambda: stages.peak_memory("--iterations", "1000"),
            "4,000 iterations, 21 milestones": lambda: stages.peak_memory(*long),
        },
        1,
    )


UNITS = {"training": "ms/iteration", "unchanged": "s", "data": "s", "memory": "MiB"}


def table(name: str, measured: Measured) -> str:
    """Medians, ranges and ratios as Markdown."""
    reference = statistics.median(next(iter(measured.values())))
    lines = [f"| {name} | median, {UNITS[name]} | range | ratio |", "|---|---:|---:|---:|"]
    for way, values in measured.items():
        median = statistics.median(values)
        lines.append(
            f"| {way} | {median:.3g} | {min(values):.3g} to {max(values):.3g}"
            f" | {median / reference:.2f} |"
        )
    return "\n".join(lines)


def circumstances() -> dict[str, Any]:
    """When, where and with what it was measured."""
    names = ("tensorflow", "keras", "prefect", "numpy")
    return {
        "date": datetime.datetime.now().astimezone().date().isoformat(),
        "processor": cpu_name(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in names},
    }


@app.default
def run(
    *comparisons: Comparison,
    rounds: int = 5,
    artifacts: Path | None = None,
    other_python: str = sys.executable,
    output: Path = PROJECT / "benchmarks" / "results.json",
) -> None:
    """Measure, and add the results to benchmarks/results.json.

    Args:
        comparisons: which; all by default.
        rounds: how often each way is measured.
        artifacts: artifact root of a finished run on MNIST. Default: artifacts/.
        other_python: interpreter of an environment with torch, dvc and snakemake; what it does
            not have is left out.
        output: where the results go; those of other comparisons stay.
    """
    root = artifacts or default_root()
    results = json.loads(output.read_text()) if output.exists() else {}
    for name in comparisons or get_args(Comparison):
        measured = compare(name, rounds, root, other_python)
        results[name] = {"measured": measured, **circumstances()}
        output.write_text(json.dumps(results, indent=1) + "\n")
        print(table(name, measured), end="\n\n", flush=True)


if __name__ == "__main__":
    app()
