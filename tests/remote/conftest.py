"""A Dask cluster and an S3 server, each of real processes on this machine."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tasks.runtime.server import free_port

BUCKET = "s3://artifacts"


@contextmanager
def running(*command: str, **options: object) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a process until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **options,  # type: ignore[call-overload]
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(port: int) -> None:
    """Return once something listens on a port of this machine."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens on {port}")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """Yield the address of a scheduler with two workers, each in its own directory and home."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    with running("-m", "distributed.cli.dask_scheduler", "--port", str(port), "--no-dashboard"):
        wait_for(port)
        with worker(address, tmp_path / "one"), worker(address, tmp_path / "two"):
            yield address


@contextmanager
def worker(address: str, folder: Path) -> Iterator[None]:
    """Run a worker without the server's address, the directory and the home of the run."""
    folder.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    options = ("--nthreads", "1", "--no-nanny", "--no-dashboard")
    with running(
        *("-m", "distributed.cli.dask_worker", address, *options),
        cwd=folder,
        env={**environment, "PREFECT_HOME": str(folder), "XDG_CACHE_HOME": str(folder)},
    ):
        yield


def kill_holder(folder: Path, locks: str) -> None:
    """SIGKILL the first process that has one of the lock files open.

    Args:
        folder: folder of the lock files.
        locks: glob pattern of their names.
    """
    until = time.monotonic() + 60
    while time.monotonic() < until:
        held = set(folder.glob(locks))
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            with suppress(OSError):
                if link.readlink() in held:
                    os.kill(int(link.parts[2]), signal.SIGKILL)
                    return
        time.sleep(0.05)
    raise AssertionError(f"nobody holds {folder / locks}")


class Wire:
    """TCP proxy between two ports of this machine, whose connections can be cut."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.whole = True
        self.ends: list[socket.socket] = []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        """Accept connections and forward them to the target."""
        with suppress(OSError):
            while True:
                here, _ = self.server.accept()
                if not self.whole:
                    here.close()
                    continue
                there = socket.create_connection(("127.0.0.1", self.target))
                self.ends += [here, there]
                for a, b in ((here, there), (there, here)):
                    threading.Thread(target=self.carry, args=(a, b), daemon=True).start()

    def carry(self, a: socket.socket, b: socket.socket) -> None:
        """Forward bytes from one socket to another."""
        with suppress(OSError):
            while content := a.recv(65536):
                b.sendall(content)
        for end in (a, b):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Break all connections, and refuse new ones."""
        self.whole = False
        for end in self.ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Accept connections again."""
        self.whole = True


@pytest.fixture(scope="module")
def s3() -> Iterator[Wire]:
    """Yield the proxy of an S3 server with an empty bucket; the environment has its address."""
    port = free_port()
    with running("-m", "moto.server", "-p", str(port)), pytest.MonkeyPatch.context() as patch:
        wait_for(port)
        wire = Wire(port)
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{wire.port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        bucket().mkdir(BUCKET)
        yield wire


def bucket() -> "Callable[..., object]":
    """Return the S3 file system without a cache of listings."""
    from s3fs import S3FileSystem

    return S3FileSystem(use_listings_cache=False)  # type: ignore[no-any-return]
