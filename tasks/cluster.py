"""Stages computed by the workers of a Dask cluster.

The flow asks and waits; a worker looks whether the stage has been done, takes its lock, computes
it and writes its record, all in the artifact root that they have in common. Nothing here is used
by a run on one machine alone, and Dask is imported only by one that asks for it.
"""

import contextlib
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tasks.console import log
from tasks.errors import PipelineError
from tasks.settings import Settings
from tasks.threads import cores, share_of, use_threads

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State
    from prefect.task_runners import TaskRunner
    from prefect_dask import DaskTaskRunner

CONNECT_SECONDS = 10
WORKERS_SECONDS = 60
"""How long to wait for a scheduler, and for its first worker."""


@contextmanager
def task_runner(settings: Settings, *, tell: bool = True) -> "Iterator[DaskTaskRunner | None]":
    """What stages are to be submitted to, for the time of the block; None: computed right here.

    Args:
        settings: of the run.
        tell: whether what workers log is logged here too.

    Raises:
        PipelineError: Dask is not installed, or there is no scheduler, worker or GPU.
    """
    if settings.runner == "local":
        yield None
        return
    try:
        from prefect_dask import DaskTaskRunner
    except ImportError as error:
        raise PipelineError(
            "--runner dask: Dask is not installed: pip install -e '.[dask]'"
        ) from error
    quiet_dask()
    where = settings.dask_address or "a cluster on this machine"
    runner = DaskTaskRunner(
        **({"address": settings.dask_address} if settings.dask_address else on_this_machine()),
        client_kwargs={"timeout": CONNECT_SECONDS},
    )
    with runner:
        try:
            runner.client.wait_for_workers(1, timeout=WORKERS_SECONDS)
        except (OSError, ValueError) as error:
            raise PipelineError(
                f"--runner dask: no scheduler with a worker answers at {where}; start `dask"
                " scheduler` and `dask worker ADDRESS`, and see to the address"
            ) from error
        if tell:
            runner.client.forward_logging(log.name)
        look_at_workers(runner.client.scheduler_info()["workers"], settings)
        yield runner


def quiet_dask() -> None:
    """Dask tells of every lost connection with a traceback; what matters is raised besides."""
    for name in ("distributed", "prefect.task_runner.dask"):
        logging.getLogger(name).setLevel(logging.ERROR)


def on_this_machine() -> dict[str, Any]:
    """A cluster of processes, one for each core."""
    from dask.system import CPU_COUNT

    return {
        "cluster_kwargs": {
            "n_workers": CPU_COUNT,
            "threads_per_worker": 1,
            "dashboard_address": None,
            "preload": __name__,
        }
    }


def dask_setup(_worker: Any) -> None:
    """Called by Dask in each process of a cluster that is ours: Ctrl-C is for the owner, who ends
    the cluster."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    quiet_dask()


def look_at_workers(workers: dict[str, dict[str, Any]], settings: Settings) -> None:
    """Say how many there are, and whether they will do.

    Args:
        workers: what the scheduler knows of each, by address.
        settings: of the run.

    Raises:
        PipelineError: a GPU is asked for and no worker offers one.
    """
    if settings.training.device == "gpu" and not any(
        worker["resources"].get("GPU") for worker in workers.values()
    ):
        raise PipelineError(
            "--device gpu: no worker of the cluster offers one; start some with"
            " `dask worker ADDRESS --resources GPU=1`"
        )
    counts = Counter(worker["host"] for worker in workers.values())
    at = ", ".join(f"{count} at {host}" for host, count in sorted(counts.items()))
    log.info(f"Dask's workers: {at}; each is bound to its share of the cores")


def use_gpu(stage_arguments: Iterator[Any]) -> "contextlib.AbstractContextManager[Any]":
    """Within it, what is submitted goes to a worker with a free GPU if it asks for one."""
    import dask

    if any(getattr(value, "device", None) == "gpu" for value in stage_arguments):
        on_gpu: contextlib.AbstractContextManager[Any] = dask.annotate(resources={"GPU": 1})
        return on_gpu
    return contextlib.nullcontext()


def submit(
    runner: "TaskRunner[Any]",
    task: Any,
    label: str,
    wait_for: list[Any],
    arguments: Iterator[Any],
) -> "State[Any]":
    """Have a task run by a worker, and wait for its end.

    Raises:
        PipelineError: no worker could run it.
    """
    with use_gpu(arguments):
        future = runner.submit(task, parameters={}, wait_for=wait_for)
    with workers_faults(label):
        state: State[Any] = future.wrapped_future.result()
    return state


@contextmanager
def workers_faults(label: str) -> Iterator[None]:
    """Turn what ends the work of a worker, besides the work's own errors, into one line.

    Args:
        label: of the work that is waited for.
    """
    from distributed import CancelledError
    from distributed.scheduler import KilledWorker

    try:
        yield
    except KilledWorker as error:
        raise PipelineError(
            f"{label}: {error.allowed_failures + 1} workers died while they computed it; see to"
            " their memory and logs, and run it again"
        ) from error
    except CancelledError as error:
        raise PipelineError(
            f"{label}: the connection to Dask's scheduler is lost; see to it, and run it again:"
            " what is finished is kept"
        ) from error
    except (ImportError, OSError, RuntimeError) as error:
        raise PipelineError(
            f"{label}: the worker could not begin: {error}; it needs this project and its"
            " packages, the same versions as here"
        ) from error


def settle_in(count: int) -> None:
    """Make a worker's process fit for stages; called in it, before each.

    Args:
        count: of TensorFlow's threads, as the stage's key says.

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

    The number of threads stays what it is, since results depend on it: they take turns. So all
    workers of a machine together use no more than it has.
    """
    from distributed import get_client, get_worker

    if not (mine := cores()):
        return
    here = get_worker().address
    workers = get_client().scheduler_info()["workers"]
    beside = sorted(a for a, worker in workers.items() if worker["host"] == workers[here]["host"])
    os.sched_setaffinity(0, share_of(mine, beside.index(here), len(beside)))
