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
from tasks.engine import lease
from tasks.engine.store import Store

from .conftest import facts

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("CHAMPION_KILLS", "6"))
STOPS = max(2, KILLS // 10)

WRITER = """
import os, sys
from pathlib import Path
from tasks.champion.registry import Accuracy, Champions, Facts
from tasks.records import Shape
from tasks.engine import lease
from tasks.engine.models import FileRef
from tasks.engine.store import open_store
from tasks.engine.digests import sha256
from tasks.runtime.errors import PipelineError

lease.POLL_SECONDS, lease.RENEW_SECONDS, lease.EXPIRE_SECONDS = 0.05, 0.1, 0.5
store = open_store(sys.argv[1])
store.root.mkdir(parents=True, exist_ok=True)
champions = Champions(store)
score = Accuracy(correct=1, total=1, data="a")
facts = Facts(shape=Shape(height=8, width=8, classes=3), validation=score, test=score)
print("ready", flush=True)
while True:
    name = f"{os.getpid()}.keras"
    path = store.root / name
    path.write_bytes(os.urandom(300_000))
    model = FileRef(path=name, sha256=sha256(path), size=300_000)
    try:
        champions.promote(model, facts, "a test", "new", expected_current=champions.current_name())
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


def read_folder(folder: Path) -> Callable[[str], bytes]:
    """Return a function that reads the registry's files in a folder."""

    def read(name: str) -> bytes:
        path = folder / name
        return str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()

    return read


def read_url(url: str) -> Callable[[str], bytes]:
    """Return a function that reads the registry's files at a URL."""
    files = bucket()
    return lambda name: files.cat_file(f"{url}/{name}")  # type: ignore[attr-defined,no-any-return]


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
        name = self.read_file("current").decode()
        record = json.loads(self.read_file(f"{name}/record.json"))
        digest = hashlib.sha256(self.read_file(f"{name}/model.keras")).hexdigest()
        if digest != record["model"]["sha256"] or record["id"] != name:
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
    url = f"{store.address}/champion"
    reader = Reader(read_url(url) if store.remote else read_folder(champions.folder))
    for kill in range(kills):
        with writer(store, tmp_path / f"copy-{kill}") as process:
            before = champions.current_name()
            while champions.current_name() == before:
                time.sleep(0.01)
            if kill == 0:
                reader.start()
            time.sleep(chance.uniform(0.01, seconds))
            process.send_signal(signal.SIGKILL)
        found = champions.find()
        assert found.problems == (), "not even for a moment is there need to fall back"
        assert found.champion
        assert champions.history()[-1] == found.champion.id
    reader.stop.set()
    reader.join()
    assert reader.problems == []
    assert len(reader.seen) > 1

    numbers = [int(name.partition("-")[0]) for name in champions.history()]
    assert numbers == list(range(1, len(numbers) + 1)), "no promotion is lost from the history"
    assert all(champions.is_intact(name) for name in champions.history())


@pytest.mark.parametrize("store", ["url"], indirect=True)
def test_stopped_writer_whose_lease_expired_promotes_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease has expired and another has promoted; its own promotion comes too late."""
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(lease, "EXPIRE_SECONDS", 0.5)
    champions = Champions(store)
    chance = random.Random(0)
    with writer(store, tmp_path / "copy") as process:
        for _ in range(STOPS):
            before = champions.current_name()
            while champions.current_name() == before:
                time.sleep(0.01)
            time.sleep(chance.uniform(0.0, 0.2))
            process.send_signal(signal.SIGSTOP)
            try:
                current = champions.current_name()
                assert current
                model = champions.read(current).model
                champions.promote(model, facts(), "me", "again", expected_current=current)
            finally:
                process.send_signal(signal.SIGCONT)
    records = {name: champions.read_record(name) for name in champions.history()}
    chain = [name := champions.current_name()]
    while name and (name := records[name].replaced):
        chain.append(name)
    promoted = [name for name in records if name in chain]
    assert chain[::-1] == promoted, "each champion replaces the one before"
    # The writer may be killed at its end before it has removed what it could not promote.
    assert len(records) - len(promoted) <= 1
