"""Measure the overhead of a stage, for docs/DEPLOY.md.

python -m benchmarks.scale [--artifacts URL]     # needs PREFECT_API_URL to be unset
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from tasks.engine.executors import PrefectExecutor
from tasks.engine.models import FileRef, Record
from tasks.engine.stage import stage
from tasks.engine.store import Workspace, open_store
from tasks.runtime.environment import prepare_environment
from tasks.runtime.server import temporary_server

RUNS = 200
MEGABYTE = 1_000_000


class Piece(Record):
    file: FileRef


@stage()
def piece(work: Workspace, number: int) -> Piece:
    """Write a megabyte that hardly compresses."""
    work.output("piece.bin").write_bytes(number.to_bytes(4) * (MEGABYTE // 4))
    return Piece(file=work.finished("piece.bin"))


def cpu_seconds(home: Path) -> float:
    """CPU time so far of the server whose environment names this home."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            mine = str(home).encode() in (folder / "environ").read_bytes()
            if mine and b"tasks/runtime/server" in (folder / "cmdline").read_bytes():
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            continue
    return float("nan")


def measure(artifacts: str, home: Path, runs: int) -> dict[str, float]:
    """Seconds and bytes per stage run."""
    from prefect import flow

    store = open_store(artifacts)
    store.prepare()
    database = home / "prefect.db"

    @flow
    def many(numbers: list[int]) -> float:
        run, begun = PrefectExecutor(store), time.monotonic()
        for number in numbers:
            piece(run, number)
        return (time.monotonic() - begun) / len(numbers)

    many([0])  # what a first run alone does is no part of it
    few = max(1, runs // 10)
    computed = many(list(range(1, few + 1)))
    time.sleep(5)  # what the server still has to write
    before, size = cpu_seconds(home), database_bytes(database)
    cached = many([0] * runs)
    time.sleep(5)
    return {
        "seconds per stage that ran, 1 MB": computed,
        "seconds per stage that was cached": cached,
        "server's CPU seconds per stage run": (cpu_seconds(home) - before) / runs,
        "server's database, bytes per stage run": (database_bytes(database) - size) / runs,
    }


def database_bytes(database: Path) -> int:
    return sum(path.stat().st_size for path in database.parent.glob(f"{database.name}*"))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--artifacts", help="default: a temporary folder")
    arguments.add_argument("--runs", type=int, default=RUNS)
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "prefect"
        os.environ["PREFECT_HOME"] = str(home)
        prepare_environment()
        os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "WARNING"
        os.environ["PREFECT_API_AUTH_STRING"] = password = "run:benchmark"
        with temporary_server(password, home) as url:
            os.environ["PREFECT_API_URL"] = url
            found = measure(asked.artifacts or f"{folder}/artifacts", home, asked.runs)
    for name, value in found.items():
        print(f"{name}: {value:,.3f}")


if __name__ == "__main__":
    main()
