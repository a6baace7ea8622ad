"""The run in which nothing has changed, beside others' runs in which nothing has changed."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.runtime.server import free_port, wait_until_ready

PROJECT = Path(__file__).resolve().parents[1]
OTHERS_STAGES = 8
PIPELINE = ("flows/pipeline.py", "--source", "digits", "--iterations", "300")
BARE = ("-m", "benchmarks.ways.bare_prefect")


def seconds(command: list[str], folder: Path, **environment: str) -> float:
    """Wall time of a command that must succeed."""
    # Nobody compiles every module at every start, but where this is set.
    usual = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    subprocess.run(
        command, cwd=folder, env={**usual, **environment}, check=True, capture_output=True
    )
    return time.perf_counter() - start


@contextmanager
def running_server(home: Path) -> Iterator[str]:
    """Start a Prefect server with `prefect server start` and yield the URL of its API."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
        env={**os.environ, "PREFECT_HOME": str(home), "DO_NOT_TRACK": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}/api"
    try:
        wait_until_ready(server, url)
        yield url
    finally:
        server.terminate()
        server.wait()


@contextmanager
def ways(other_python: str) -> Iterator[dict[str, Callable[[], float]]]:
    """Name → what measures it once, everything being there from a first run."""
    with (
        tempfile.TemporaryDirectory() as name,
        running_server(Path(name) / "server") as api,
    ):
        folder = Path(name)
        pipeline = [sys.executable, *PIPELINE, "--artifacts", str(folder / "artifacts")]
        home = {"PREFECT_HOME": str(folder / "home"), "DO_NOT_TRACK": "1"}
        server = {**home, "PREFECT_API_URL": api}
        seconds(pipeline, PROJECT, **server)
        metrics = json.loads((folder / "artifacts/latest/report/metrics.json").read_text())
        bare = [sys.executable, *BARE, str(len(metrics["stages"]))]
        found: dict[str, Callable[[], float]] = {
            "pipeline, running server": lambda: seconds(pipeline, PROJECT, **server),
            "bare Prefect, running server": lambda: seconds(bare, PROJECT, **server),
            "bare Prefect, options read": lambda: seconds([*bare, "options"], PROJECT, **server),
            "bare Prefect, modules imported": lambda: seconds(
                [*bare, "modules"], PROJECT, **server
            ),
            "pipeline, no server": lambda: seconds(pipeline, PROJECT, **home),
            "bare Prefect, temporary server": lambda: seconds(
                bare, PROJECT, **home, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="120"
            ),
            "pipeline --status": lambda: seconds([*pipeline, "--status"], PROJECT),
        }
        tools = Path(other_python).parent
        if (tools / "dvc").exists():
            found["DVC, 8 stages"] = dvc(tools / "dvc", folder / "dvc")
        if (tools / "snakemake").exists():
            found["Snakemake, 8 stages"] = snakemake(tools / "snakemake", folder / "snakemake")
        for first in found.values():
            first()
        yield found


def dvc(tool: Path, folder: Path) -> Callable[[], float]:
    folder.mkdir()
    (folder / "0").write_text("0\n")
    stages = "".join(
        f"  step{n}:\n    cmd: cp {n - 1} {n}\n    deps: ['{n - 1}']\n    outs: ['{n}']\n"
        for n in range(1, OTHERS_STAGES + 1)
    )
    seconds([str(tool), "init", "--no-scm"], folder)
    seconds([str(tool), "config", "core.analytics", "false"], folder)
    (folder / "dvc.yaml").write_text(f"stages:\n{stages}")
    return lambda: seconds([str(tool), "repro"], folder)


def snakemake(tool: Path, folder: Path) -> Callable[[], float]:
    folder.mkdir()
    (folder / "0").write_text("0\n")
    rules = "".join(
        f"rule step{n}:\n  input: '{n - 1}'\n  output: '{n}'\n  shell: 'cp {{input}} {{output}}'\n"
        for n in range(1, OTHERS_STAGES + 1)
    )
    (folder / "Snakefile").write_text(f"rule all:\n  input: '{OTHERS_STAGES}'\n{rules}")
    return lambda: seconds([str(tool), "--cores", "1", "--quiet", "all"], folder)
