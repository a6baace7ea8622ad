"""Tasks computed by the workers of a Dask cluster.

The flow submits a task and waits. Flow and workers share only the artifact root and the Prefect
server. Dask is imported only by a run that uses it.
"""

import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tasks.runtime.console import log
from tasks.runtime.errors import PipelineError
from tasks.runtime.threads import cores, share_of, use_threads

if TYPE_CHECKING:
    from prefect_dask import DaskTaskRunner

CONNECT_SECONDS = 10
WORKERS_SECONDS = 60
"""Time limits for the connection to a scheduler, and for its first worker."""
ALLOWED_FAILURES = 1
"""Number of local workers that may die with a task before it fails: it runs again once."""


@contextmanager
def dask_runner(
    address: str | None,
    *,
    workers: int | None = None,
    gpu: bool = False,
    forward_logs: bool = True,
) -> "Iterator[DaskTaskRunner]":
    """Start a cluster on this machine or connect to one, for the time of the block.

    Args:
        address: address of the scheduler; None: start a cluster on this machine.
        workers: number of processes of a cluster on this machine; None: one for each core.
        gpu: whether a worker with a GPU is needed.
        forward_logs: whether the workers' log lines are logged here, too.

    Raises:
        PipelineError: there is no scheduler, worker or GPU.
    """
    from prefect_dask import DaskTaskRunner

    quiet_dask()
    runner = DaskTaskRunner(
        **({"address": address} if address else local_cluster(workers)),
        client_kwargs={"timeout": CONNECT_SECONDS},
    )
    with runner:
        try:
            runner.client.wait_for_workers(1, timeout=WORKERS_SECONDS)
        except (OSError, ValueError) as error:
            raise PipelineError(
                f"--dask-address: no scheduler with a worker answers at {address}; start `dask"
                " scheduler` and `dask worker ADDRESS`, and check the address"
                if address
                else f"no Dask worker has started on this machine in {WORKERS_SECONDS} s; check its"
                " memory and load, and run it again"
            ) from error
        if forward_logs:
            runner.client.forward_logging(log.name)
        check_workers(runner.client.scheduler_info()["workers"], gpu=gpu)
        yield runner


def quiet_dask() -> None:
    """Hide Dask's tracebacks of lost connections; errors that matter are raised as well."""
    for name in ("distributed", "prefect.task_runner.dask"):
        logging.getLogger(name).setLevel(logging.ERROR)


def local_cluster(workers: int | None) -> dict[str, Any]:
    """Return the arguments for a cluster of processes with one thread each.

    Args:
        workers: number of processes; None: one for each core.
    """
    from dask.system import CPU_COUNT

    return {
        "cluster_kwargs": {
            "n_workers": workers or CPU_COUNT,
            "threads_per_worker": 1,
            "memory_limit": None,  # else Dask pauses a worker that uses more than its share
            "security": True,  # TLS with a key of this run: no other user can send tasks
            "preload": __name__,
            "scheduler_kwargs": {
                "allowed_failures": ALLOWED_FAILURES,
                "dashboard": False,
                "dashboard_address": "127.0.0.1:0",  # any port: 8787 may be another study's
            },
        }
    }


def dask_setup(_worker: Any) -> None:
    """Prepare a process of a local cluster; Dask calls this in it.

    Ctrl-C goes to the process that started the cluster, which ends it. Log lines go to the Prefect
    server, and to that process if it forwards them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    quiet_dask()
    log.propagate = False


def check_workers(workers: dict[str, dict[str, Any]], *, gpu: bool) -> None:
    """Log the number of workers, and check that one has a GPU if needed.

    Args:
        workers: the scheduler's description of each worker, by address.
        gpu: whether a worker with a GPU is needed.

    Raises:
        PipelineError: a GPU is asked for and no worker offers one.
    """
    if gpu and not any(worker["resources"].get("GPU") for worker in workers.values()):
        raise PipelineError(
            "--device gpu: no worker of the cluster offers one; start some with"
            " `dask worker ADDRESS --resources GPU=1`"
        )
    counts = Counter(worker["host"] for worker in workers.values())
    at = ", ".join(f"{count} at {host}" for host, count in sorted(counts.items()))
    log.info(f"Dask's workers: {at}; each is bound to its share of the cores")


@contextmanager
def worker_errors(label: str) -> Iterator[None]:
    """Turn the death of a worker or a lost connection into an error of one line.

    Args:
        label: name of the run that is waited for.
    """
    from distributed import CancelledError
    from distributed.scheduler import KilledWorker

    try:
        yield
    except KilledWorker as error:
        raise PipelineError(
            f"{label}: {error.allowed_failures + 1} workers died while they computed it; check"
            " their memory and logs, and run it again"
        ) from error
    except CancelledError as error:
        raise PipelineError(
            f"{label}: the connection to Dask's scheduler is lost; check it, and run it again:"
            " finished stages are kept"
        ) from error
    except (ImportError, OSError, RuntimeError) as error:
        raise PipelineError(
            f"{label}: the worker could not begin: {error}; it needs this project and its"
            " packages, the same versions as here"
        ) from error


def prepare_worker(count: int) -> None:
    """Prepare a worker's process; called in it before each task.

    Args:
        count: number of TensorFlow's threads, as in the stage's key.

    Raises:
        PipelineError: the process has used TensorFlow with another number of threads.
    """
    from prefect.logging.handlers import APILogHandler

    if "tensorflow" not in sys.modules:
        bind_to_share()
    use_threads(count)
    os.environ["TTY_COMPATIBLE"] = "0"  # no progress bars: several workers may share a terminal
    if not any(isinstance(handler, APILogHandler) for handler in log.handlers):
        log.addHandler(APILogHandler())


def bind_to_share() -> None:
    """Bind this worker, before TensorFlow starts its threads, to its share of the machine's cores.

    All workers of a machine together then use no more cores than it has. The number of threads is
    unchanged, since results depend on it: threads take turns on the share.
    """
    from distributed import get_client, get_worker

    if not (available := cores()):
        return
    worker = get_worker()
    workers = get_client().scheduler_info()["workers"]
    host = workers[worker.address]["host"]
    # A process that replaces a dead one has its name, but another address.
    names = sorted(str(other["name"]) for other in workers.values() if other["host"] == host)
    share = share_of(available, names.index(str(worker.name)), len(names))
    os.sched_setaffinity(0, share)
