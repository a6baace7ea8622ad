"""Parallel training of study variants by the workers of a Dask cluster.

Without an address, the cluster is a `LocalCluster` of processes on this machine. A process trains
many variants, since each takes seconds to import TensorFlow. It is bound to its share of the cores,
and its TensorFlow threads take turns there. Their number is the same as in a run on its own (see
runtime/threads.py), so a variant has the same result here and there, and either can use the cache
entries of the other.
"""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.engine.stage import check_dependencies
from tasks.runtime import dask
from tasks.runtime.console import log
from tasks.runtime.errors import PipelineError
from tasks.settings import Settings
from tasks.study.design import Job
from tasks.study.result import RunResult

if TYPE_CHECKING:
    from distributed import Client

RUNS_PER_PROCESS = 30
"""A variant leaves its graphs in its process: 8 MB for the tutorial's network (measured). After
this many runs, local processes are restarted."""
INTERRUPT_SECONDS = 30
"""Time for interrupted jobs to save what they have trained."""

Report = Callable[[Job, RunResult | str], None]
"""Callback that receives the outcome of a job: its result, or the reason of its failure."""


@dataclass(frozen=True)
class Training:
    """Functions that train a variant; module-level functions, since workers import them."""

    run: Callable[[Job], RunResult]
    dependencies: Callable[[], dict[str, str]]
    """Digests of code and versions of libraries that a worker must have."""


@contextmanager
def start_workers(settings: Settings, count: int | None, training: Training) -> "Iterator[Workers]":
    """Start or connect to the workers that train variants, for the time of the block.

    Args:
        settings: settings of the study.
        count: number of variants to train at the same time. None: one for each core of this
            machine, or for each worker of the cluster at `settings.dask_address`.
        training: functions that train a variant.

    Raises:
        PipelineError: there is no scheduler, worker or GPU.
    """
    address, gpu = settings.dask_address, settings.training.device == "gpu"
    # Only a worker of another cluster declares its GPUs; a local process finds them itself.
    with dask.dask_runner(
        address, workers=count, gpu=gpu and bool(address), forward_logs=False
    ) as runner:
        workers = Workers(runner.client, training, count, local=address is None)
        try:
            yield workers
        finally:
            workers.stop()


@dataclass
class Workers:
    """Run jobs on the workers of a Dask cluster, several at the same time.

    Dask runs the job of a worker that dies again on another one. Each worker should have one
    thread.
    """

    client: "Client"
    training: Training
    count: int | None = None
    """Upper limit of jobs at the same time; None: one for each worker."""
    local: bool = True
    """Whether the cluster belongs to this process."""
    running: "dict[Future[RunResult | str], Job]" = field(default_factory=dict)
    threads: int | None = None
    """TensorFlow's threads in the local processes; None before the first job."""
    finished_runs: int = 0
    """Number of jobs since the local processes were started."""

    def run(self, jobs: Sequence[Job], context: bytes, report: Report) -> None:
        """Run jobs and report each outcome as soon as it is known.

        Args:
            jobs: jobs, none of them twice; those with the same number of threads start in this
                order.
            context: pickled context of the parent flow run, as Prefect serialises it.
            report: callback for each outcome.

        Raises:
            PipelineError: the connection to the cluster is lost.
        """
        for threads in sorted({job.settings.threads for job in jobs}):
            self.prepare(threads)
            group = [job for job in jobs if job.settings.threads == threads]
            self.run_group(group, context, report)

    def run_group(self, jobs: Sequence[Job], context: bytes, report: Report) -> None:
        """Run jobs with the same number of threads; see `run`."""
        waiting = list(jobs)
        while waiting or self.running:
            while waiting and len(self.running) < self.capacity():
                job = waiting.pop(0)
                self.running[self.submit(job, context)] = job
            finished, _ = wait(self.running, return_when=FIRST_COMPLETED)
            for future in finished:
                job = self.running.pop(future)
                self.finished_runs += 1
                report(job, self.outcome(job, future))

    def capacity(self) -> int:
        """Return how many jobs fit at the same time; workers may come and go."""
        workers = len(self.client.scheduler_info()["workers"])
        return max(1, min(workers, self.count or workers))

    def submit(self, job: Job, context: bytes) -> "Future[RunResult | str]":
        """Submit a job to the cluster."""
        needs_gpu = job.settings.training.device == "gpu" and not self.local
        executor = self.client.get_executor(pure=False, resources={"GPU": 1} if needs_gpu else {})
        future: Future[RunResult | str] = executor.submit(
            train_on_worker, self.training, job, context, self.training.dependencies()
        )
        return future

    def outcome(self, job: Job, future: "Future[RunResult | str]") -> RunResult | str:
        """Return the outcome of a job that has ended.

        Raises:
            PipelineError: the connection to the cluster is lost.
        """
        try:
            with dask.worker_errors(job.name):
                return future.result()
        except PipelineError as error:
            if self.client.status != "running":
                raise  # no other job can run either
            return str(error)

    def prepare(self, threads: int) -> None:
        """Restart the local processes for another number of threads, or after many runs.

        TensorFlow cannot change its number of threads, and its memory grows with each run.
        """
        other = self.threads not in (None, threads)
        self.threads = threads
        if self.local and (other or self.finished_runs >= RUNS_PER_PROCESS * self.capacity()):
            self.client.restart_workers(list(self.client.scheduler_info()["workers"]))
            self.finished_runs = 0

    def stop(self) -> None:
        """Interrupt running jobs of local processes, which save what they have trained.

        Workers of another cluster finish their jobs, and the results are cached.
        """
        if not (self.running and self.local):
            return
        log.info("saving what was trained so far")
        self.client.run(interrupt_jobs)
        wait(self.running, timeout=INTERRUPT_SECONDS)


def interrupt_jobs(dask_worker: Any) -> None:
    """Raise KeyboardInterrupt in the thread of each job of a worker; Dask calls this in it."""
    for thread in list(dask_worker.active_threads):
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt)
        )


def train_on_worker(
    training: Training, job: Job, context: bytes, expected: dict[str, str]
) -> RunResult | str:
    """Run a job in a worker if its code and packages are the expected ones.

    Returns:
        The result; if the job fails, the reason.
    """
    try:
        check_dependencies(job.name, training.dependencies(), expected)
        dask.prepare_worker(job.settings.threads)
        return train_as_subflow(training, job, context)
    except PipelineError as error:
        return str(error)
    except KeyboardInterrupt:
        return "interrupted"
    except Exception as error:  # of this variant alone: the others go on
        return f"{type(error).__name__}: {error}"


def train_as_subflow(training: Training, job: Job, context: bytes) -> RunResult:
    """Run a job in this process, as a subflow of the flow run that the context is from."""
    import cloudpickle
    from prefect.context import hydrated_context

    with hydrated_context(cloudpickle.loads(context)):
        return training.run(job)
