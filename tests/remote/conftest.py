"""A Dask cluster and an S3 server, each of real processes on this machine."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from helpers.s3 import Wire, running, s3_server, wait_for

from tasks.runtime.server import free_port


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a scheduler with three workers, each in its own directory and home.

    Each of two tests kills one of them.
    """
    folder = tmp_path_factory.mktemp("cluster")
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    with running("-m", "distributed.cli.dask_scheduler", "--port", str(port), "--no-dashboard"):
        wait_for(port)
        with ExitStack() as workers:
            for name in ("one", "two", "three"):
                workers.enter_context(worker(address, folder / name))
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


@pytest.fixture(scope="module")
def s3() -> Iterator[Wire]:
    """Yield the proxy of an S3 server; see helpers/s3.py."""
    with s3_server() as wire:
        yield wire
