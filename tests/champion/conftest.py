"""Champions with models of a few bytes; the registry does not read models."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.s3 import BUCKET, Wire, s3_server

from tasks.champion.records import Accuracy, Facts, TrainingData
from tasks.champion.registry import Champions
from tasks.engine.digests import sha256
from tasks.engine.models import FileRef
from tasks.engine.store import Store, open_store
from tasks.records import Calibration, Shape, Split, Splits

URL = pytest.param("url", marks=pytest.mark.slow)
AT_A_URL = pytest.mark.parametrize("store", [URL], indirect=True)
"""Run a test with an artifact root at a URL: on a server for S3."""
EVERYWHERE = pytest.mark.parametrize("store", ["folder", URL], indirect=True)
"""Run a test with an artifact root in a folder, and with one at a URL."""

Make = Callable[[str], FileRef]
Promote = Callable[..., str]


def split(name: str) -> Split:
    """A split whose digest tells its name; there is no such file."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return Split(rows=100, file=FileRef(path=f"convert/{name}.parquet", sha256=digest, size=1))


def training_data(**changes: object) -> TrainingData:
    """Facts about the data of a champion; parts of the splits may be changed, too."""
    values: dict[str, object] = {name: split(name) for name in ("train", "validation", "test")}
    values |= {"shape": Shape(height=8, width=8, classes=3), "class_names": ("a", "b", "c")}
    splits = Splits.model_validate(values | {k: v for k, v in changes.items() if k in values})
    others = {k: v for k, v in changes.items() if k not in values}
    return TrainingData.model_validate(
        {"source": "a", "splits": splits, "background": "dark", "mnist": False, **others}
    )


def facts(correct: int = 98, **data: object) -> Facts:
    return Facts(
        data=training_data(**data),
        validation=Accuracy(correct=correct, total=100),
        test=Accuracy(correct=correct - 1, total=100),
        settings={"training": {"seed": 0}},
    )


@pytest.fixture(scope="session")
def s3() -> Iterator[Wire]:
    """The proxy of an S3 server; see helpers/s3.py."""
    with s3_server(attempts=1) as wire:  # s3fs tries again as well
        yield wire


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty artifact root, in a folder unless the test is marked otherwise."""
    store = Store(tmp_path / "artifacts")
    if getattr(request, "param", "folder") == "url":
        request.getfixturevalue("s3")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
        store = open_store(f"{BUCKET}/{tmp_path.name}")
    store.prepare()
    return store


def put(store: Store, name: str, content: bytes) -> None:
    """Replace a file of the artifact root."""
    if store.remote:
        store.remote.write(name, content)
    else:
        (store.root / name).parent.mkdir(parents=True, exist_ok=True)
        (store.root / name).write_bytes(content)


def remove(store: Store, name: str) -> None:
    """Remove a file of the artifact root."""
    if store.remote:
        store.remote.remove(name)
    else:
        (store.root / name).unlink()


@pytest.fixture
def champions(store: Store) -> Champions:
    return Champions(store)


@pytest.fixture
def make(store: Store) -> Make:
    """Write an output of a stage; its content is its path many times."""

    def write(name: str) -> FileRef:
        path = store.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name * 10)
        digest = sha256(path)
        if store.remote:
            store.remote.upload(path, name, digest)
        return FileRef(path=name, sha256=digest, size=path.stat().st_size)

    return write


@pytest.fixture
def calibration(make: Make) -> Calibration:
    return Calibration(file=make("calibrate/calibration.safetensors"), onnx=make("c/model.onnx"))


@pytest.fixture
def promote(champions: Champions, make: Make, calibration: Calibration) -> Promote:
    """Promote a model with the given name and return its id."""

    def run(name: str, correct: int = 98, **data: object) -> str:
        before = champions.champions()
        model, current = make(f"export/{name}/model.keras"), before[-1].id if before else None
        known = facts(correct, **data)
        return champions.promote(model, calibration, known, "a test", "good", current).id

    return run
