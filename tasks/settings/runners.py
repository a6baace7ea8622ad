"""Task runner of a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasks.runtime import dask
from tasks.settings import Settings

if TYPE_CHECKING:
    from prefect_dask import DaskTaskRunner


@contextmanager
def task_runner(
    settings: Settings, *, forward_logs: bool = True
) -> "Iterator[DaskTaskRunner | None]":
    """Yield the task runner of the settings; None: stages run in this process.

    Args:
        settings: settings of the run.
        forward_logs: whether the workers' log lines are logged here, too.

    Raises:
        PipelineError: there is no scheduler, worker or GPU.
    """
    if settings.runner == "local" and not settings.dask_address:
        yield None
        return
    gpu = settings.training.device == "gpu"
    with dask.dask_runner(settings.dask_address, gpu=gpu, forward_logs=forward_logs) as runner:
        yield runner
