"""An artifact root at a URL, and leases that expire soon."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.engine import lease as lease_module
from tasks.engine.store import Store, open_store


@pytest.fixture
def remote_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Yield an artifact root in memory, with a working copy."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    store = open_store(f"memory://{tmp_path.name}")
    store.prepare()
    assert store.remote
    yield store
    store.remote.files.store.clear()


@pytest.fixture
def short_lease_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(lease_module, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(lease_module, "EXPIRE_SECONDS", 0.5)
    monkeypatch.setattr(lease_module, "SETTLE_SECONDS", 0.3)
