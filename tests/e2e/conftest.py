"""A Prefect server with its user interface."""

from collections.abc import Iterator

import pytest
from helpers.site import open_site


@pytest.fixture(scope="session")
def ui_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a server on a free port, with its own home and database."""
    with open_site(tmp_path_factory.mktemp("prefect-ui")) as site:
        yield site.url.removesuffix("/api")
