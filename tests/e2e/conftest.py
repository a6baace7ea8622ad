"""A Prefect server with its user interface."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.runtime.errors import PipelineError
from tasks.runtime.server import free_port, wait_until_ready


@pytest.fixture(scope="session")
def ui_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a server on a free port, with its own home and database."""
    home = tmp_path_factory.mktemp("prefect-ui")
    port = free_port()
    server = start_server(home, port)
    yield f"http://127.0.0.1:{port}"
    os.killpg(server.pid, signal.SIGTERM)
    server.wait(timeout=30)


def start_server(home: Path, port: int) -> "subprocess.Popen[bytes]":
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
            # The interface uses port 4200 by default.
            env={
                **os.environ,
                "PREFECT_HOME": str(home),
                "PREFECT_UI_API_URL": f"http://127.0.0.1:{port}/api",
                "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            },
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_ready(server, f"http://127.0.0.1:{port}/api")
    except PipelineError as error:
        server.kill()
        raise AssertionError((home / "server.log").read_text()) from error
    return server
