"""Tests of kills during promotions, with a reader in a loop.

Six kills by default; `make proofs` does a hundred.
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
from pathlib import Path

from tasks.champion.registry import Champions
from tasks.engine.store import Store

KILLS = int(os.environ.get("CHAMPION_KILLS", "6"))

WRITER = """
import os, sys
from pathlib import Path
from tasks.champion.registry import Accuracy, Champions, Facts
from tasks.records import Shape
from tasks.engine.models import FileRef
from tasks.engine.store import Store
from tasks.engine.digests import sha256

store = Store(Path(sys.argv[1]))
champions = Champions(store)
score = Accuracy(correct=1, total=1, data="a")
facts = Facts(shape=Shape(height=8, width=8, classes=3), validation=score, test=score)
print("ready", flush=True)
while True:
    name = f"{os.getpid()}.keras"
    path = store.root / name
    path.write_bytes(os.urandom(300_000))
    model = FileRef(path=name, sha256=sha256(path), size=300_000)
    champions.promote(model, facts, "a test", "new", expected_current=champions.current_name())
"""


class Reader(threading.Thread):
    """Reads the champion by its path in a loop, like another process."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
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
        folder = self.folder / (self.folder / "current").readlink()
        record = json.loads((folder / "record.json").read_bytes())
        digest = hashlib.sha256((folder / "model.keras").read_bytes()).hexdigest()
        if digest != record["model"]["sha256"] or record["id"] != folder.name:
            self.problems.append(f"{folder.name} is damaged")
        self.seen.add(folder.name)


def test_reader_always_loads_a_complete_model_while_writers_are_killed(store: Store) -> None:
    champions = Champions(store)
    chance = random.Random(0)
    reader = Reader(champions.folder)
    for kill in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store.root)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout
            assert writer.stdout.readline() == b"ready\n"
            while not champions.pointer.is_symlink():
                time.sleep(0.01)
            if kill == 0:
                reader.start()
            time.sleep(chance.uniform(0.01, 0.2))
            writer.send_signal(signal.SIGKILL)
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
