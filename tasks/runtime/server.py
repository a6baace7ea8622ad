"""A temporary Prefect server for a run without a configured one.

`python -m tasks.runtime.server check` says whether the one that is configured answers.

Prefect can start one by itself, but that one is in the process group of its owner: Ctrl-C stops
the server too, and Prefect then tries to reach it for minutes before the run ends. And it stays
behind when its owner is killed. This one has a session of its own and ends with its owner,
however that ends.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tasks.runtime.console import log
from tasks.runtime.errors import PipelineError

HOST = "127.0.0.1"
PROJECT = Path(__file__).resolve().parents[2]
START = (
    "import sys; sys.path.insert(0, sys.argv[1]);"
    " from tasks.runtime.server import serve; serve(int(sys.argv[2]), int(sys.argv[3]))"
)
"""Program of the temporary server. `-P` keeps the current folder's modules out of it."""

START_SECONDS = 120.0  # on two cores, a first start on an empty home takes over 20 s
CHECK_SECONDS = 0.5


@contextmanager
def server_for_this_run() -> Iterator[None]:
    """Use the server that is configured, or else a temporary one for the time of the block.

    Raises:
        PipelineError: the temporary server does not start.
    """
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_SERVER_UI_ENABLED,
        get_current_settings,
        temporary_settings,
    )

    if get_current_settings().api.url:
        yield
        return
    with (
        temporary_server() as url,
        temporary_settings({PREFECT_API_URL: url, PREFECT_SERVER_UI_ENABLED: False}),
    ):
        try:
            yield
        finally:
            send_what_is_left()


def ui_location() -> str:
    """Where Prefect's interface shows the flow run that this is called in, or how to have it."""
    from prefect.runtime import flow_run
    from prefect.settings import get_current_settings

    if get_current_settings().server.ui.enabled and flow_run.ui_url:
        return f"in the Prefect UI: {flow_run.ui_url}"
    return (
        "to see runs in the Prefect UI: start `prefect server start`, and run this with"
        " PREFECT_API_URL=http://127.0.0.1:4200/api"
    )


def send_what_is_left() -> None:
    """Send the logs and events that Prefect still holds back, while there is a server."""
    from prefect.events.worker import EventsWorker

    for handler in log.handlers:
        handler.flush()
    EventsWorker.drain_all(timeout=5)


@contextmanager
def temporary_server() -> Iterator[str]:
    """A Prefect server on a free port of this machine; yields the URL of its API."""
    port = free_port()
    url = f"http://{HOST}:{port}/api"
    # The variables are those that Prefect sets for its own temporary servers: no user
    # interface, and only the services that such a server needs.
    server = subprocess.Popen(
        [sys.executable, "-P", "-c", START, str(PROJECT), str(port), str(os.getpid())],
        env={
            # On a busy machine, Prefect's services tell with tracebacks that they are ended; that
            # a server does not start, uvicorn says.
            "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
            **os.environ,
            "PREFECT_UI_ENABLED": "0",
            "PREFECT__SERVER_EPHEMERAL": "1",
            "PREFECT__SERVER_FINAL": "1",
        },
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until_ready(server, url)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(timeout=5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_ready(server: "subprocess.Popen[bytes]", url: str) -> None:
    """Return once the server answers.

    Raises:
        PipelineError: it has ended, or does not answer in time.
    """
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if server.poll() is not None:
            raise PipelineError(
                f"the temporary Prefect server ended at its start with code {server.returncode};"
                " what it said stands above; or start one with `prefect server start` and set"
                " PREFECT_API_URL"
            )
        try:
            if httpx.get(f"{url}/health", timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise PipelineError(
        f"the temporary Prefect server did not answer within {START_SECONDS:.0f} s; start one"
        " with `prefect server start` and set PREFECT_API_URL"
    )


def end_with(owner: int) -> None:
    """End this process when its owner has ended."""
    while os.getppid() == owner:
        time.sleep(CHECK_SECONDS)
    os._exit(0)


def serve(port: int, owner: int) -> None:
    """Be the server, until told to stop or left alone."""
    import uvicorn

    threading.Thread(target=end_with, args=(owner,), daemon=True).start()
    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True,
        host=HOST,
        port=port,
        log_level="error",
        lifespan="on",
    )


def check() -> int:
    """Exit code 0 if the server that PREFECT_API_URL names answers; else 1, and a line."""
    url = os.environ.get("PREFECT_API_URL", "")
    try:
        httpx.get(f"{url}/health", timeout=10)
    except (httpx.TransportError, httpx.InvalidURL):
        print(
            f"error: no Prefect server answers at {url}; start one with `make server` in another"
            " terminal, or set PREFECT_API_URL",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(check())
