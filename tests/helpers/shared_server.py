"""One Prefect server for all test processes, which ends with the process that started them."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from filelock import FileLock

from tasks.runtime.server import HOST, LEAN_SERVER, free_port, wait_until_ready


def shared_server(folder: Path, owner: int) -> str:
    """Return the URL of the server; the first process that asks for it starts it.

    Args:
        folder: the same for all test processes; its database is here.
        owner: id of the process with which the server ends.
    """
    folder.mkdir(exist_ok=True)
    known = folder / "url"
    with FileLock(folder / "lock"):
        if not known.exists():
            known.write_text(start(folder, owner))
    return known.read_text()


def start(home: Path, owner: int) -> str:
    """Start a server and return its URL."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, __file__, str(port), str(owner)],
        env={**os.environ, **LEAN_SERVER, "PREFECT_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://{HOST}:{port}/api"
    wait_until_ready(server, url)
    return url


def end_with(owner: int) -> None:
    """End this process when another one has ended."""
    while True:
        try:
            os.kill(owner, 0)
        except ProcessLookupError:
            os._exit(0)
        time.sleep(0.5)


def main(port: int, owner: int) -> None:
    """Run a server until its owner has ended."""
    import uvicorn

    threading.Thread(target=end_with, args=(owner,), daemon=True).start()
    uvicorn.run("prefect.server.api.server:create_app", factory=True, host=HOST, port=port)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
