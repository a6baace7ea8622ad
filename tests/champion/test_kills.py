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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.s3 import bucket

from tasks.champion.registry import Champions
from tasks.engine.store import Store
from tasks.runtime.errors import PipelineError

from .conftest import facts

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("CHAMPION_KILLS", "6"))
STOPS = max(2, KILLS // 10)

WRITER = """
import os, sys
from pathlib import Path
from tasks.champion.records import Accuracy, Facts, TrainingData
from tasks.champion.registry import Champions
from tasks.records import Calibration, Shape
from tasks.engine.models import FileRef
from tasks.engine.store import open_store
from tasks.engine.digests import sha256
from tasks.runtime.errors import PipelineError

store = open_store(sys.argv[1])
store.root.mkdir(parents=True, exist_ok=True)
champions = Champions(store)
score = Accuracy(correct=1, total=1)
data = TrainingData(
    source="a", shape=Shape(height=8, width=8, classes=3), class_names=(), background="dark",
    mnist=False, train="a", validation="b", test="c",
)
facts = Facts(data=data, validation=score, test=score)


def output(name, size):
    path = store.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(os.urandom(size))
    return FileRef(path=name, sha256=sha256(path), size=size)


print("ready", flush=True)
while True:
    mine = f"{os.getpid()}"
    model = output(f"{mine}/model.keras", 300_000)
    calibration = Calibration(
        file=output(f"{mine}/c.safetensors", 99), onnx=output(f"{mine}/model.onnx", 99)
    )
    champion = champions.current()
    try:
        champions.promote(
            model, calibration, facts, "a test", "new", champion.id if champion else None
        )
    except PipelineError as error:
        print(error, flush=True)
"""


@contextmanager
def writer(store: Store, copy: Path) -> "Iterator[subprocess.Popen[str]]":
    """Run a process that promotes one model after another, with a working copy of its own."""
    address = store.remote.url if store.remote else str(store.root)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, address],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(copy)},
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


class Reader(threading.Thread):
    """Reads the champion by its path in a loop, like another process."""

    def __init__(self, read_file: Callable[[str], bytes]) -> None:
        super().__init__()
        self.read_file = read_file
        self.seen: set[str] = set()
        self.problems: list[str] = []
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self.read()
            except Exception as error:
                self.problems.append(repr(error))

    def read(self) -> None:
        record = json.loads(self.read_file("history.jsonl").splitlines()[-1])
        name = record["id"]
        digest = hashlib.sha256(self.read_file(f"{name}/model.keras")).hexdigest()
        if digest != record["model"]["sha256"]:
            self.problems.append(f"{name} is damaged")
        self.seen.add(name)


@pytest.mark.parametrize(
    ("store", "kills", "seconds"),
    [("folder", KILLS, 0.2), ("url", max(2, KILLS // 3), 1.0)],
    indirect=["store"],
    ids=["folder", "url"],
)
def test_reader_always_loads_a_complete_model_while_writers_are_killed(
    store: Store, tmp_path: Path, kills: int, seconds: float
) -> None:
    champions = Champions(store)
    chance = random.Random(0)
    url, files = f"{store.address}/champion", bucket() if store.remote else None

    def read(name: str) -> bytes:
        return files.cat_file(f"{url}/{name}") if files else store.read(f"champion/{name}")

    reader = Reader(read)
    for kill in range(kills):
        with writer(store, tmp_path / f"copy-{kill}") as process:
            before = len(champions.history())
            while len(champions.history()) == before:
                time.sleep(0.01)
            if kill == 0:
                reader.start()
            time.sleep(chance.uniform(0.01, seconds))
            process.send_signal(signal.SIGKILL)
        assert champions.current()
    reader.stop.set()
    reader.join()
    assert reader.problems == []
    assert len(reader.seen) > 1
    history = champions.champions()
    numbers = [int(champion.id.partition("-")[0]) for champion in history]
    assert numbers == list(range(1, len(numbers) + 1)), "no promotion is lost from the history"
    assert not any(map(champions.problem, history))


@pytest.mark.parametrize("store", ["folder", "url"], indirect=True)
def test_stopped_writer_promotes_nothing_over_another(store: Store, tmp_path: Path) -> None:
    """Another has promoted in the meantime; its own promotion comes too late, or waits."""
    champions = Champions(store)
    chance = random.Random(0)
    with writer(store, tmp_path / "copy") as process:
        for _ in range(STOPS):
            before = len(champions.history())
            while len(champions.history()) == before:
                time.sleep(0.01)
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
    numbers = [int(entry.id.partition("-")[0]) for entry in champions.history()]
    assert numbers == list(range(1, len(numbers) + 1)), "each decision follows the one before"
    assert champions.current()
