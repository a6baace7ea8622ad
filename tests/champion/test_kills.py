"""Tests of kills and stops during promotions, with a reader in a loop.

A few kills by default; `make proofs` does a hundred.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.champion.registry import Champions
from tasks.engine.store import Store
from tasks.runtime.errors import PipelineError

from .conftest import EVERYWHERE, facts

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("CHAMPION_KILLS", "3"))
STOPS = max(2, KILLS // 10)

WRITER = """
import os, sys
from champion.conftest import facts
from tasks.champion.registry import Champions
from tasks.engine.digests import sha256
from tasks.engine.models import FileRef
from tasks.engine.store import open_store
from tasks.records import Calibration
from tasks.runtime.errors import PipelineError

store = open_store(sys.argv[1])


def output(name, size):
    path = store.root / str(os.getpid()) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    name = path.relative_to(store.root).as_posix()
    return FileRef(path=name, sha256=sha256(path), size=size)


champions = Champions(store)
print("ready", flush=True)
while True:
    model = output("model.keras", 300_000)
    calibration = Calibration(file=output("c.safetensors", 99), onnx=output("m.onnx", 99))
    current = champions.current()
    try:
        champions.promote(model, calibration, facts(), "a", "new", current and current.id)
    except PipelineError as error:
        print(error, flush=True)
"""


@contextmanager
def writer(store: Store, copy: Path) -> "Iterator[subprocess.Popen[str]]":
    """Run a process that promotes one model after another, with a working copy of its own."""
    address = store.remote.url if store.remote else str(store.root)
    tests = str(Path(__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, address],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(copy), "PYTHONPATH": tests},
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


class Reader(threading.Thread):
    """Reads the champion by its path in a loop, like another process."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.seen: set[str] = set()
        self.problems: list[str] = []
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                record = json.loads(self.store.read("champion/history.jsonl").splitlines()[-1])
                model = self.store.read(f"champion/{record['id']}/model.keras")
                if hashlib.sha256(model).hexdigest() != record["model"]["sha256"]:
                    self.problems.append(f"{record['id']} is damaged")
                self.seen.add(record["id"])
            except Exception as error:
                self.problems.append(repr(error))


def wait_for_promotion(champions: Champions) -> None:
    before = len(champions.history())
    while len(champions.history()) == before:
        time.sleep(0.01)


def check_history(champions: Champions) -> None:
    numbers = [int(entry.id.partition("-")[0]) for entry in champions.history()]
    assert numbers == list(range(1, len(numbers) + 1)), "no decision is lost or counts twice"
    assert not any(map(champions.problem, champions.champions()))


@EVERYWHERE
def test_reader_always_loads_a_complete_model_while_writers_are_killed(
    store: Store, tmp_path: Path
) -> None:
    champions, chance, reader = Champions(store), random.Random(0), Reader(store)
    kills, seconds = (KILLS // 3 or 1, 1.0) if store.remote else (KILLS, 0.2)
    for kill in range(kills):
        with writer(store, tmp_path / f"copy-{kill}") as process:
            wait_for_promotion(champions)
            if kill == 0:
                reader.start()
            time.sleep(chance.uniform(0.01, seconds))
            process.send_signal(signal.SIGKILL)
        assert champions.current()
    reader.stop.set()
    reader.join()
    assert reader.problems == []
    assert len(reader.seen) > 1
    check_history(champions)


@EVERYWHERE
def test_stopped_writer_promotes_nothing_over_another(store: Store, tmp_path: Path) -> None:
    """Another decides in the meantime; its own promotion comes too late, or the other waits."""
    champions, chance = Champions(store), random.Random(0)
    with writer(store, tmp_path / "copy") as process:
        for _ in range(STOPS):
            wait_for_promotion(champions)
            time.sleep(chance.uniform(0.0, 0.2))
            process.send_signal(signal.SIGSTOP)
            goes_on = threading.Timer(1.0, process.send_signal, [signal.SIGCONT])
            goes_on.start()
            try:
                current = champions.current()
                assert current
                champions.keep_out(current.model, facts(), "me", "again", current.id)
            except PipelineError as error:
                assert "another decision in the meantime" in str(error)
            finally:
                goes_on.join()
    check_history(champions)
