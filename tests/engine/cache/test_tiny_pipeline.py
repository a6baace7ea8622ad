"""Tests of the real stages on 60 small images: which stages run after an edit."""

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.graph import compute_results
from tasks.data import idx
from tasks.data.sources.mnist import IDX_FILES
from tasks.engine.executors import LookupExecutor, PrefectExecutor
from tasks.engine.models import file_refs
from tasks.engine.store import PROJECT, Store
from tasks.records import Results
from tasks.settings import Settings

pytestmark = [pytest.mark.server, pytest.mark.tensorflow, pytest.mark.slow]

TRAIN = {"train-1", "train-3"}
EVALUATE = {"evaluate-0", "evaluate-1", "evaluate-3"}
LAST = {
    *("measure", "check-labels", "calibrate", "export", "layer-outputs", "pack-live"),
    *("excite", "attribute", "embed", "draw"),
}
ALL = {"download", "convert", "audit", "initialise"} | TRAIN | EVALUATE | LAST


def write_images(folder: Path, changed: str | None = None) -> None:
    """Write a data set of 12 × 12 pixels in 3 classes; one pixel of one file can be changed."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(5)
    arrays = []
    for count in (60, 20):
        labels = np.arange(count, dtype=np.uint8) % 3
        images = rng.integers(0, 100, (count, 12, 12), dtype=np.uint8)
        images[np.arange(count), labels * 4 + 1] = 255
        arrays += [images, labels]
    for name, array in zip(IDX_FILES, arrays, strict=True):
        if name == changed:
            array[0, 0, 0] ^= 255
        (folder / name).write_bytes(idx.dumps(array))


def tiny_settings(source: Path, **groups: dict[str, Any]) -> Settings:
    """Return settings of a network of 2 + 2 filters and 3 iterations, with changed groups."""
    chosen: dict[str, dict[str, Any]] = {
        "schedule": {"iterations": 3, "milestones": (0, 1)},
        "training": {"batch_size": 16, "learning_rate": 0.01, "device": "cpu"},
        "network": {"conv_filters": (2, 2), "conv_sizes": (3, 3), "dense": (4,)},
        "figures": {"test_images": (0,), "conv2_channels": (0,)},
        "download": {"source": str(source), "digests": "none"},
    }
    for group, values in groups.items():
        chosen[group] = chosen.get(group, {}) | values
    return Settings.model_validate(chosen)


class Tiny:
    """Pipeline in one artifact root."""

    def __init__(self, source: Path, root: Path) -> None:
        from prefect import flow

        self.source = source
        self.store = Store(root)
        self.results: Results

        @flow(name="tiny", validate_parameters=False)
        def tiny(store: Store, settings: Settings) -> tuple[PrefectExecutor, Results]:
            store.prepare()
            run = PrefectExecutor(store)
            return run, compute_results(run, settings)

        self.flow = tiny

    def run(self, **groups: dict[str, Any]) -> set[str]:
        """Run with changed settings and return the stages that ran."""
        settings = tiny_settings(self.source, **groups)
        status = LookupExecutor(self.store)
        compute_results(status, settings)
        run, self.results = self.flow(self.store, settings)
        ran = {outcome.name for outcome in run.outcomes if outcome.state == "ran"}
        for label, verdict in status.verdicts:
            if verdict != "will run: upstream will run":
                assert (verdict != "up to date") == (label in ran), (label, verdict)
        return ran

    @property
    def contents(self) -> list[tuple[str, str]]:
        """Return name and SHA-256 of every output of the last run."""
        return [
            (file.name, hashlib.sha256(self.store.path(file).read_bytes()).hexdigest())
            for file in file_refs(list(vars(self.results).values()))
        ]

    def from_scratch(self, **groups: dict[str, Any]) -> list[tuple[str, str]]:
        """Return the outputs of a run in an empty root."""
        fresh = Tiny(self.source, self.store.root.with_name("fresh"))
        assert fresh.run(**groups) == ALL
        return fresh.contents

    def record(self, label: str) -> Path:
        """Return the only record with a label."""
        (path,) = (self.store.record_path(r) for r in self.store.all_records() if r.label == label)
        return path

    def output(self, label: str, name: str) -> Path:
        record = self.store.read_record(self.record(label).name)
        return self.store.root / record.stage / record.key[:12] / name


@pytest.fixture(scope="module")
def first(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Return a first run in a root that no test changes."""
    folder = tmp_path_factory.mktemp("tiny")
    write_images(folder / "source")
    first = Tiny(folder / "source", folder / "artifacts")
    assert first.run() == ALL
    return first


@pytest.fixture
def tiny(first: Tiny, tmp_path: Path) -> Tiny:
    """Return a copy of the first run's root."""
    shutil.copytree(first.store.root, tmp_path / "artifacts")
    return Tiny(first.source, tmp_path / "artifacts")


def test_stages_that_run_after_a_changed_setting(first: Tiny, tiny: Tiny) -> None:
    assert tiny.run(download={"read_timeout": 99, "attempts": 1}) == set()
    assert tiny.run(figures={"test_images": (2,)}) == {"layer-outputs", "draw"}
    assert tiny.run(figures={"insights": ("embed",)}) == {"draw"}
    assert tiny.run(figures={"insights": ("none",)}) == {"draw"}
    # Both batch sizes hold all 20 images: the same predictions.
    assert tiny.run(evaluation={"evaluation_batch": 128}) == EVALUATE | {"check-labels"}
    assert tiny.run(schedule={"iterations": 2}) == {"train-2", "evaluate-2"} | LAST
    # The untrained network is unchanged.
    validation = {"validation": 30}
    trained = TRAIN | LAST | EVALUATE
    assert tiny.run(convert=validation) == {"convert", "audit"} | trained
    assert tiny.contents == tiny.from_scratch(convert=validation)
    assert tiny.run() == set()
    assert tiny.contents == first.contents


def test_stages_that_run_after_changed_data(first: Tiny, tiny: Tiny, tmp_path: Path) -> None:
    tiny.source = tmp_path / "source"
    tiny.source.mkdir()
    for name in IDX_FILES:
        content = (first.source / name).read_bytes()
        (tiny.source / f"{name}.gz").write_bytes(gzip.compress(content))
    # The same images from another folder, with another compression.
    assert tiny.run() == {"download"}
    assert tiny.contents == first.contents
    for name in IDX_FILES:
        (tiny.source / f"{name}.gz").unlink()
    write_images(tiny.source, changed="t10k-images-idx3-ubyte")
    looks = LAST - {"export", "excite", "calibrate"}
    assert tiny.run() == {"download", "convert", "audit"} | looks | EVALUATE
    assert tiny.contents == tiny.from_scratch()
    tiny.source = first.source
    assert tiny.run() == set()
    assert tiny.contents == first.contents


def test_stages_that_run_after_damage(first: Tiny, tiny: Tiny) -> None:
    tiny.output("evaluate-1", "predictions.parquet").write_bytes(b"PAR1")
    assert tiny.run() == {"evaluate-1"}
    tiny.output("train-1", "checkpoint.safetensors").unlink()
    assert tiny.run() == {"train-1"}
    tiny.record("convert").unlink()
    tiny.record("export").write_text("{")
    assert tiny.run() == {"convert", "export"}
    for path in tiny.store.root.glob("*/*/*"):
        path.write_bytes(path.read_bytes()[:-1])
    assert tiny.run() == ALL - {"measure"}, "whose record is all it gives"
    assert tiny.contents == first.contents


SEPARATELY = """
import sys
from pathlib import Path
from flows.graph import compute_results
from tasks.settings import Settings
from tasks.engine.executors import LocalExecutor
from tasks.engine.store import Store

store = Store(Path(sys.argv[1]))
store.prepare()
compute_results(LocalExecutor(store), Settings.model_validate_json(sys.argv[2]))
"""


def outputs(root: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in the folders of the stages."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.glob("*/*/*")
    }


def test_other_process_writes_the_same_bytes(first: Tiny, tmp_path: Path) -> None:
    root = tmp_path / "elsewhere" / "artifacts"
    settings = tiny_settings(first.source).model_dump_json()
    # Another process, folder, time zone and hash seed, without Prefect.
    subprocess.run(
        [sys.executable, "-c", SEPARATELY, str(root), settings],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"},
        check=True,
        timeout=300,
    )
    found = outputs(root)
    assert found == outputs(first.store.root)
    assert {path.partition("/")[0] for path in found} == {
        *("download", "convert", "audit", "initialise", "train"),
        *("evaluate", "check-labels", "calibrate", "export", "layer-outputs", "pack-live"),
        *("excite", "attribute", "embed", "draw"),
    }
