"""One Prefect server for all test processes.

The first process that needs it starts it, and the last one stops it.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from tasks.runtime.server import free_port, wait_until_ready


@contextmanager
def shared_server(folder: Path) -> Iterator[str]:
    """Yield the URL of a server with an empty database.

    Args:
        folder: the same for all test processes.
    """
    folder.mkdir(exist_ok=True)
    state, lock = folder / "server.json", FileLock(folder / "lock")
    with lock:
        server = json.loads(state.read_text()) if state.exists() else start(folder)
        state.write_text(json.dumps({**server, "users": server["users"] + 1}))
    try:
        yield server["url"]
    finally:
        with lock:
            server = json.loads(state.read_text())
            server["users"] -= 1
            state.write_text(json.dumps(server))
            if not server["users"]:
                os.kill(server["pid"], signal.SIGKILL)
                state.unlink()


def start(folder: Path) -> dict[str, str | int]:
    """Start a server; return its URL, process and number of users."""
    port = free_port()
    server = subprocess.Popen(
        [*(sys.executable, "-m", "prefect", "server", "start"), "--no-ui", "--port", str(port)],
        env={**os.environ, "PREFECT_HOME": str(folder / "home")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}/api"
    wait_until_ready(server, url)
    return {"url": url, "pid": server.pid, "users": 0}
