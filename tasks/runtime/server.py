"""The Prefect server of a run: the configured one, or a temporary one.

`python -m tasks.runtime.server` says whether the one that is configured answers.

Prefect's own temporary server is in the process group of the run: Ctrl-C stops the server, too, and
Prefect then tries to reach it for minutes. It stays behind when the run is killed, and anybody on
the machine may use it. This one has a session and a password of its own and ends with the run.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

import httpx
from filelock import FileLock

from tasks.runtime.console import log
from tasks.runtime.environment import PROJECT
from tasks.runtime.errors import PipelineError

HOST = "127.0.0.1"
LEAN_SERVER = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}
"""Variables that Prefect sets for its own temporary servers: no UI, and few services."""
START_SECONDS = 120.0  # on two cores, a first start on an empty home takes over 20 s
CHECK_SECONDS = 0.5
ANOTHER_HOME = "set PREFECT_HOME to another folder"
HOW_TO_SEE_RUNS = (
    "to see runs in the Prefect UI: start `prefect server start`, and run this with"
    " PREFECT_API_URL=http://127.0.0.1:4200/api"
)


@contextmanager
def server_for_this_run() -> Iterator[None]:
    """Use the configured server, or a temporary one, for the time of the block.

    Raises:
        PipelineError: the server does not answer, refuses this client, or does not start.
    """
    if server_is_configured():
        check_server()
        yield
        return
    from prefect.events.worker import EventsWorker
    from prefect.settings import (
        PREFECT_API_AUTH_STRING,
        PREFECT_API_URL,
        PREFECT_SERVER_UI_ENABLED,
        get_current_settings,
        temporary_settings,
    )

    home, password = get_current_settings().home, f"run:{secrets.token_urlsafe(32)}"
    with temporary_server(password, home) as url:
        settings = {PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: password}
        with temporary_settings({**settings, PREFECT_SERVER_UI_ENABLED: False}):
            try:
                yield
            finally:  # send logs and events while there is a server
                for handler in log.handlers:
                    handler.flush()
                EventsWorker.drain_all(timeout=5)


def server_is_configured() -> bool:
    """Return whether Prefect's settings name a server; import Prefect only if they may."""
    if not may_name_a_server():
        return False
    from prefect.settings import get_current_settings

    return bool(get_current_settings().api.url)


def may_name_a_server() -> bool:
    """Return whether the places where Prefect looks for its settings could name a server."""
    variables = ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH")
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    files = (home / "profiles.toml", Path(".env"), Path("prefect.toml"))
    if any(name in os.environ for name in variables) or any(path.exists() for path in files):
        return True
    try:
        project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True  # Prefect says what is wrong with it
    settings = project.get("tool", {}).get("prefect", {})
    return not {"api", "profiles_path"}.isdisjoint(settings)


def ui_location() -> str:
    """Return where Prefect's UI shows the current flow run, or how to get one."""
    from prefect.runtime import flow_run
    from prefect.settings import get_current_settings

    shown = get_current_settings().server.ui.enabled and get_current_settings().ui_url
    if shown and flow_run.ui_url:
        return f"in the Prefect UI: {flow_run.ui_url}"
    return HOW_TO_SEE_RUNS


@contextmanager
def temporary_server(password: str, home: Path) -> Iterator[str]:
    """Run a Prefect server on a free port of this machine, and yield the URL of its API.

    The port is bound here and handed to the server, so nobody else can take it. Servers that start
    in one home take turns, since a first one creates the database.

    Args:
        password: `user:password` that clients must send.
        home: Prefect's home.
    """
    check_home(home)
    starting = FileLock(home / "start.lock")
    with socket.socket() as listener, tempfile.TemporaryFile() as messages:
        listener.bind((HOST, 0))
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        with contextlib.suppress(NotImplementedError, OSError):  # a file system without locks
            starting.acquire()
        server = start_server(password, url, listener.fileno(), messages)
        try:
            wait_until_ready(server, f"{url}/api", messages)
            starting.release()
            yield f"{url}/api"
        finally:
            starting.release()
            server.terminate()
            try:
                server.wait(timeout=5)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def start_server(
    password: str, url: str, listener: int, messages: IO[bytes]
) -> "subprocess.Popen[bytes]":
    """Start the process of a temporary server; see `serve`."""
    return subprocess.Popen(
        # `-P` keeps the current folder's modules out of it.
        [sys.executable, "-P", __file__, str(listener), str(os.getpid())],
        env={
            # Prefect's services log tracebacks when they are ended on a busy machine. uvicorn
            # still reports a server that does not start.
            "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
            **os.environ,
            "PYTHONPATH": f"{PROJECT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "PREFECT_SERVER_API_AUTH_STRING": password,
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": url,
            **LEAN_SERVER,
        },
        stdin=subprocess.DEVNULL,
        stderr=messages,
        pass_fds=[listener],
        start_new_session=True,
    )


def check_home(home: Path) -> None:
    """Check that Prefect can keep its database there."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise PipelineError(
            f"PREFECT_HOME {home}: cannot be written to ({error.strerror}); {ANOTHER_HOME}"
        ) from error


def wait_until_ready(
    server: "subprocess.Popen[bytes]",
    url: str,
    messages: IO[bytes] | None = None,
    *,
    verify: bool = True,
) -> None:
    """Return once the server answers.

    Args:
        server: its process.
        url: address of its API.
        messages: its standard error, for the reason if it ends.
        verify: whether to check its certificate.
    """
    until = time.monotonic() + START_SECONDS
    # One client for all requests: a new one loads all certificates, which takes 20 ms.
    with httpx.Client(timeout=5, trust_env=False, verify=verify) as client:
        while server.poll() is None and time.monotonic() < until:
            with contextlib.suppress(httpx.TransportError):
                if client.get(f"{url}/health").is_success:
                    return
            time.sleep(0.1)
    reason = f"no answer within {START_SECONDS:.0f} s"
    if server.poll() is not None:
        reason = last_message(messages) if messages else f"exit code {server.returncode}"
    if "Can't locate revision" in reason:
        raise PipelineError(
            f"PREFECT_HOME: a newer Prefect has changed the database in it; {ANOTHER_HOME}"
        )
    raise PipelineError(
        f"the temporary Prefect server did not start: {reason}; {ANOTHER_HOME}, or start a server"
        " with `prefect server start` and set PREFECT_API_URL"
    )


def last_message(messages: IO[bytes]) -> str:
    """Return the last line of the server's messages that says something."""
    messages.seek(0)
    lines = [line.strip() for line in messages.read().decode(errors="replace").splitlines()]
    errors = [line for line in lines if "Error" in line]
    return (errors or [line for line in lines if line] or ["it printed nothing"])[-1]


def serve(listener: int, owner: int) -> None:
    """Run the server on a bound socket until it is terminated or its owner has ended.

    `listener` is the socket's file descriptor, `owner` the process id of the run.
    """
    import uvicorn
    from prefect.server.database import provide_database_interface

    def end_with_owner() -> None:
        while os.getppid() == owner:
            time.sleep(CHECK_SECONDS)
        os._exit(0)

    threading.Thread(target=end_with_owner, daemon=True).start()
    config = uvicorn.Config(
        "prefect.server.api.server:create_app", factory=True, log_level="error", lifespan="on"
    )
    server = uvicorn.Server(config)
    with contextlib.suppress(SystemExit):  # how uvicorn says that it has not started
        server.run(sockets=[socket.socket(fileno=listener)])
    if not server.started:
        asyncio.run(provide_database_interface().create_db())  # raises what it has not said
        sys.exit(3)


def check_server() -> None:
    """Check that the configured server answers, with its password and certificate.

    Raises:
        PipelineError: it does not answer, or refuses this client.
    """
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_SSL_CERT_FILE, get_current_settings

    url, certificate = get_current_settings().api.url or "", PREFECT_API_SSL_CERT_FILE.value()
    if not url:
        raise PipelineError(
            "PREFECT_API_URL names no server; set it, for instance to http://127.0.0.1:4200/api"
        )
    if "@" in url.partition("://")[2].partition("/")[0]:  # Prefect would print and store it
        raise PipelineError(
            "PREFECT_API_URL: holds a user name; set PREFECT_API_AUTH_STRING to user:password"
        )
    if certificate and not os.access(certificate, os.R_OK):
        raise PipelineError(f"PREFECT_API_SSL_CERT_FILE {certificate}: cannot be read")
    try:
        with get_client(sync_client=True) as client:
            client.read_work_pools(limit=1)  # /health needs no password
    except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:
        raise PipelineError(cause_and_remedy(url, error)) from error


def cause_and_remedy(url: str, error: Exception) -> str:
    """Return why a server cannot be used, and what to do, from the error of Prefect's client."""
    if isinstance(error, httpx.HTTPStatusError):
        if error.response.status_code != httpx.codes.UNAUTHORIZED:
            return f"the Prefect server at {url} answers: {error.args[0]}"
        return (
            f"the Prefect server at {url} wants a password; set PREFECT_API_AUTH_STRING to"
            " user:password"
        )
    if "CERTIFICATE" in str(error).upper():
        return (
            f"the Prefect server at {url} has a certificate that is not trusted; set"
            " PREFECT_API_SSL_CERT_FILE to the certificate of its authority"
        )
    return (
        f"no Prefect server answers at {url}; start one with `make server` in another terminal, or"
        " set PREFECT_API_URL"
    )


def leave(code: int) -> NoReturn:
    """End the process without waiting for what Prefect has not sent yet.

    Without a server, Prefect would try for minutes to send it.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # may be closed
            stream.flush()
    os._exit(code)


def free_port() -> int:
    """Return a port that is free now; tests and benchmarks start servers on it."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    if len(sys.argv) == 3:
        serve(int(sys.argv[1]), int(sys.argv[2]))
    else:
        try:
            check_server()
        except PipelineError as error:
            sys.exit(f"error: {error}")
