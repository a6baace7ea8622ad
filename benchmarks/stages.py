"""The data's way into memory, and what a whole run takes of it."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tasks.data.convert import convert
from tasks.data.dataset import read_split
from tasks.engine.store import Store
from tasks.records import IdxFiles
from tasks.settings import ConvertSettings

PROJECT = Path(__file__).resolve().parents[1]


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def data_ways(root: Path) -> dict[str, Callable[[], float]]:
    """Name → what measures it once, on the files of a run in an artifact root."""
    store = Store(root)
    (record,) = (r for r in store.all_records() if r.stage == "download")
    files = IdxFiles.model_validate(record.output["files"])
    train = root / "latest" / "train.parquet"
    read_split(train)  # imports, and the disk's cache

    def hash_again() -> float:
        return timed(lambda: hashlib.file_digest(train.open("rb"), "sha256"))

    return {
        "convert 70,000 images": lambda: timed(lambda: convert_into(store, files)),
        "Parquet to training arrays": lambda: timed(lambda: read_split(train)),
        f"SHA-256 of {train.stat().st_size / 1e6:.0f} MB": hash_again,
    }


def convert_into(store: Store, files: IdxFiles) -> None:
    """Run the stage's function on files of a store, its outputs going to a temporary one."""
    with tempfile.TemporaryDirectory(dir=store.root.parent) as name:
        elsewhere = Store(Path(name))
        # Hard links: a store follows no symbolic links.
        shutil.copytree(store.root / "download", elsewhere.root / "download", copy_function=os.link)
        with elsewhere.workspace("convert", "0" * 64) as work:
            convert.function(work, files, ConvertSettings())


def peak_memory(*options: str) -> float:
    """Largest resident size of a whole run, in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.Popen(
            [sys.executable, "flows/pipeline.py", "--artifacts", folder, *options],
            cwd=PROJECT,
            env={**os.environ, "PREFECT_HOME": f"{folder}/prefect"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(run.pid, 0)
    if status:
        raise RuntimeError(f"the run with {options} failed")
    return usage.ru_maxrss / 1024
