"""Champions with models of a few bytes; the registry does not read models."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers.s3 import BUCKET, Wire, s3_server

from tasks.champion.registry import Accuracy, Champions, Facts
from tasks.engine.digests import sha256
from tasks.engine.models import FileRef
from tasks.engine.store import Store, open_store
from tasks.records import Shape


def facts(correct: int = 98, data: str = "a") -> Facts:
    return Facts(
        shape=Shape(height=8, width=8, classes=3),
        validation=Accuracy(correct=correct, total=100, data=data),
        test=Accuracy(correct=correct - 1, total=100, data="t"),
        settings={"training": {"seed": 0}},
    )


@pytest.fixture(scope="session")
def s3() -> Iterator[Wire]:
    """The proxy of an S3 server; see helpers/s3.py."""
    with s3_server(attempts=1) as wire:  # s3fs tries again as well
        yield wire


@pytest.fixture
def url_store(s3: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty artifact root in a bucket, with a working copy of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    store = open_store(f"{BUCKET}/{tmp_path.name}")
    store.prepare()
    return store


AT_A_URL = pytest.mark.parametrize(
    "store", [pytest.param("url", marks=pytest.mark.slow)], indirect=True
)
"""Run a test with an artifact root at a URL: on a server for S3."""
EVERYWHERE = pytest.mark.parametrize(
    "store", ["folder", pytest.param("url", marks=pytest.mark.slow)], indirect=True
)
"""Run a test with an artifact root in a folder, and with one at a URL."""


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty artifact root, in a folder unless the test is marked otherwise."""
    if getattr(request, "param", "folder") == "url":
        url_store: Store = request.getfixturevalue("url_store")
        return url_store
    store = Store(tmp_path / "artifacts")
    store.prepare()
    return store


@dataclass(frozen=True)
class Files:
    """The files of a registry, in a folder or at a URL, for tests that damage them."""

    store: Store
    path: str = "champion"

    def names(self) -> list[str]:
        """Return the names in the registry."""
        if self.store.remote:
            return [name.rstrip("/") for name in self.store.remote.names(self.path)]
        return sorted(path.name for path in (self.store.root / self.path).iterdir())

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        return self.store.read(f"{self.path}/{name}")

    def write(self, name: str, content: bytes) -> None:
        """Replace a file."""
        if self.store.remote:
            self.store.remote.write(f"{self.path}/{name}", content)
        else:
            path = self.store.root / self.path / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)

    def remove(self, name: str) -> None:
        """Remove a file or folder."""
        if self.store.remote:
            self.store.remote.remove_folder(f"{self.path}/{name}")
            self.store.remote.remove(f"{self.path}/{name}")
        else:
            path = self.store.root / self.path / name
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def point_at(self, name: str) -> None:
        """Set the pointer by hand."""
        self.remove("current")
        if self.store.remote:
            self.store.remote.write(f"{self.path}/current", name.encode())
        else:
            (self.store.root / self.path / "current").symlink_to(name)

    def damage(self, name: str) -> None:
        """Change the last byte of a champion's model."""
        model = f"{name}/model.keras"
        self.write(model, self.read(model)[:-1] + b"?")


@pytest.fixture
def files(champions: Champions) -> Files:
    return Files(champions.store)


@pytest.fixture
def champions(store: Store) -> Champions:
    return Champions(store)


@pytest.fixture
def model(store: Store) -> Callable[[str], FileRef]:
    """Return a function that writes a challenger's model file with the given content."""

    def make(content: str) -> FileRef:
        path = store.root / "export" / content / "model.keras"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content * 100)
        name, digest = path.relative_to(store.root).as_posix(), sha256(path)
        if store.remote:
            store.remote.upload(path, name, digest)
        return FileRef(path=name, sha256=digest, size=path.stat().st_size)

    return make


@pytest.fixture
def promote(champions: Champions, model: Callable[[str], FileRef]) -> Callable[..., str]:
    """Return a function that promotes a model with the given content and returns its id."""

    def put(content: str, correct: int = 98, data: str = "a") -> str:
        current = champions.current_name()
        return champions.promote(
            model(content), facts(correct, data), "a test", "good", expected_current=current
        ).id

    return put
