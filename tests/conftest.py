"""Fixtures of all tests: a temporary Prefect home, a store and a real Prefect server."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Set before anything imports Prefect, so that no test sees the user's own Prefect home, server
# or artifacts.
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="prefect-home-")
for name in [n for n in os.environ if n.startswith("PREFECT_API_")]:
    del os.environ[name]

from tasks.engine.store import Store  # noqa: E402
from tasks.runtime.environment import prepare_environment  # noqa: E402

prepare_environment()


LONG = (
    "e2e/test_deployments.py",
    "flows",
    "e2e",
    "remote",
    "runtime",
    "engine/cache",
    "model",
    "champion/test_registry.py",
    "report/figures",
)
"""Places of the longest tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip proofs unless asked for; put the longest tests first, so that no worker ends alone."""
    folder = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(folder).as_posix()
        return next((n for n, place in enumerate(LONG) if path.startswith(place)), len(LONG))

    items.sort(key=rank)
    for item in items:
        if "PROOFS" not in os.environ and item.get_closest_marker("proof"):
            item.add_marker(pytest.mark.skip(reason="long; `make proofs` runs it"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty artifact root."""
    store = Store(tmp_path / "artifacts")
    store.prepare()
    return store


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A real browser. Its event loop runs until it is closed, so other modules have their own."""
    from helpers.browser import chromium

    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def prefect_server(worker_id: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real Prefect server, the same one in all test processes."""
    from helpers.shared_server import shared_server
    from prefect.logging.handlers import APILogHandler
    from prefect.settings import PREFECT_API_URL, temporary_settings

    folder, owner = tmp_path_factory.getbasetemp(), os.getpid()
    if worker_id != "master":  # one of several test processes
        folder, owner = folder.parent, os.getppid()
    url = shared_server(folder / "prefect-server", owner)
    with temporary_settings(updates={PREFECT_API_URL: url}):
        yield url
        APILogHandler().flush()
