"""An artifact root on S3."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.s3 import BUCKET, Wire, s3_server

from tasks.engine.store import Store, open_store


@pytest.fixture(scope="session")
def s3() -> Iterator[Wire]:
    """The proxy of an S3 server; see helpers/s3.py."""
    with s3_server() as wire:
        yield wire


@pytest.fixture
def remote_store(s3: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An artifact root in a bucket, with a working copy."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    store = open_store(f"{BUCKET}/{tmp_path.name}")
    store.prepare()
    return store
