"""Workers of a Dask cluster, on this machine or at an address."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tasks.runtime.errors import PipelineError

if TYPE_CHECKING:
    from prefect_dask import DaskTaskRunner

CONNECT_SECONDS = 10
WORKERS_SECONDS = 60
"""Time limits for the connection to a scheduler, and for its first worker."""


@contextmanager
def dask_runner(address: str | None, workers: int | None) -> "Iterator[DaskTaskRunner]":
    """Connect to a cluster or start one on this machine, for the time of the block.

    Args:
        address: address of the scheduler; None: start a cluster on this machine.
        workers: number of processes of a cluster on this machine.

    Raises:
        PipelineError: Dask is not installed, or no scheduler with a worker answers.
    """
    try:
        from prefect_dask import DaskTaskRunner
    except ImportError as error:
        raise PipelineError(
            "--workers and --dask-address need Dask: pip install 'mnist-pipeline[study]'"
        ) from error
    quiet_dask()
    cluster: dict[str, Any] = {"address": address} if address else local_cluster(workers)
    with DaskTaskRunner(**cluster, client_kwargs={"timeout": CONNECT_SECONDS}) as runner:
        try:
            runner.client.wait_for_workers(1, timeout=WORKERS_SECONDS)
        except (OSError, ValueError) as error:
            raise PipelineError(
                f"--dask-address: no scheduler with a worker answers at {address}; start `dask"
                " scheduler` and `dask worker ADDRESS`, and check the address"
                if address
                else f"--workers: no worker has started in {WORKERS_SECONDS} s; check memory and"
                " load, and run it again"
            ) from error
        yield runner


def quiet_dask() -> None:
    """Hide Dask's tracebacks of lost connections; errors that matter are raised as well."""
    for name in ("distributed", "prefect.task_runner.dask"):
        logging.getLogger(name).setLevel(logging.ERROR)


def local_cluster(workers: int | None) -> dict[str, Any]:
    """Return the arguments for a cluster of processes with one thread each."""
    return {
        "cluster_kwargs": {
            "n_workers": workers,
            "threads_per_worker": 1,
            "memory_limit": None,  # else Dask pauses a worker that uses more than its share
            "security": True,  # TLS with a key of this run: no other user can send tasks
            "preload": __name__,
            "scheduler_kwargs": {
                "allowed_failures": 1,  # a run that kills two workers has failed
                "dashboard": False,
                "dashboard_address": "127.0.0.1:0",  # any port: 8787 may be another study's
            },
        }
    }


def dask_setup(_worker: Any) -> None:
    """Prepare a process of a local cluster; Dask calls this in it.

    Ctrl-C goes to the process that started the cluster, which ends it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TTY_COMPATIBLE"] = "0"  # no progress bars: several workers share a terminal
    quiet_dask()


def outcome(future: Any) -> Any:
    """Return the result of a task that a worker has finished.

    Raises:
        PipelineError: the worker has died or could not begin.
    """
    from distributed import CancelledError
    from distributed.scheduler import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        raise PipelineError("two workers died while they computed it; check memory") from error
    except CancelledError as error:
        raise PipelineError("the connection to Dask's scheduler was lost; check it") from error
    except (ImportError, OSError, RuntimeError) as error:
        raise PipelineError(
            f"the worker could not begin: {error}; it needs this project and its packages, the same"
            " versions as here"
        ) from error
