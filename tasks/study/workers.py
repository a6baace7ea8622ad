"""Where the variants of studies are trained, several at the same time: in processes of this
machine, or by Dask's workers.

Processes are kept for many runs, since each takes seconds to import TensorFlow. All of them
together are left no more than the machine has: each is bound to some of the cores, and its threads
take turns there. TensorFlow still has as many threads as in a run of its own, so that a variant comes out the same here and there, and either can use what the other has cached.

Measured on two cores that others used as well: eight variants of 200 iterations took 198 s in two
processes with a core each, 243 s in one process with both, and came out the same, byte for byte.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.engine.stage import check_dependencies
from tasks.runtime.dask import prepare_worker, worker_errors
from tasks.runtime.errors import PipelineError
from tasks.runtime.prefect_logging import quiet_prefect
from tasks.runtime.server import end_with
from tasks.runtime.threads import cores, share_of
from tasks.settings import Settings
from tasks.settings.runners import task_runner
from tasks.study.design import Job
from tasks.study.result import RunResult

if TYPE_CHECKING:
    from distributed import Client

RUNS_PER_PROCESS = 30
"""Each variant leaves its graphs behind in its process, 8 MB of the tutorial's network (measured):
after so many, new ones."""
TRIES = 2
"""Of a run whose process ended under it: another's fault, perhaps."""


@dataclass(frozen=True)
class Training:
    """Functions that train a variant; module-level functions, since workers import them."""

    run: Callable[[Job], RunResult]
    dependencies: Callable[[], dict[str, str]]
    """Digests of code and versions of libraries that a worker must have."""


Told = Callable[[Job, RunResult | str], None]


@contextmanager
def workers(settings: Settings, at_a_time: int | None, training: Training) -> "Iterator[Workers]":
    """What the settings name to train in, for the time of the block.

    Args:
        settings: of the study.
        at_a_time: how many variants to train at the same time; None: one on each core of this
            machine, or one by each of Dask's workers.

    Raises:
        PipelineError: Dask is not installed, or no cluster answers.
    """
    with task_runner(settings, forward_logs=False) as runner:
        them: Workers = (
            DaskWorkers(at_a_time, runner.client, training)
            if runner
            else Processes(at_a_time, training)
        )
        try:
            yield them
        finally:
            them.stop()


class Workers(ABC):
    """Runs jobs, several at the same time."""

    def run(self, jobs: Sequence[Job], context: bytes, tell: Told) -> None:
        """Run jobs, in order as far as they go at the same time.

        Args:
            jobs: none of them twice.
            context: of the flow run that they belong to, as Prefect serialises it, pickled.
            tell: is told what came of each, as soon as it is known.

        Raises:
            BaseException: what has interrupted it; then what was trained so far has been saved.
        """
        waiting = list(jobs)
        running: dict[Future[RunResult | str], Job] = {}
        while waiting or running:
            while waiting and len(running) < self.places():
                job = waiting.pop(0)
                running[self.submit(job, context)] = job
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                job = running.pop(future)
                outcome = self.outcome(job, future)
                if outcome is None:
                    waiting.insert(0, job)
                else:
                    tell(job, outcome)

    @abstractmethod
    def places(self) -> int:
        """How many jobs there is room for at the same time."""

    @abstractmethod
    def submit(self, job: Job, context: bytes) -> "Future[RunResult | str]":
        """Have a job run."""

    @abstractmethod
    def outcome(self, job: Job, future: "Future[RunResult | str]") -> RunResult | str | None:
        """What came of a job that has ended; None if it is to be run again."""

    @abstractmethod
    def stop(self) -> None:
        """Let go of what is kept between jobs."""


def train(training: Training, job: Job, context: bytes) -> RunResult | str:
    """Run a job in this process, as a subflow of the run that the context is from.

    Returns:
        The trial; if it fails, the reason.
    """
    import cloudpickle
    from prefect.context import hydrated_context

    try:
        with hydrated_context(cloudpickle.loads(context)):
            return training.run(job)
    except PipelineError as error:
        return str(error)
    except Exception as error:  # of this variant alone: the others go on
        return f"{type(error).__name__}: {error}"


def train_for_dask(
    training: Training, job: Job, context: bytes, expected: dict[str, str]
) -> RunResult | str:
    """Run a job in a worker of Dask, if its code and packages are those that are asked for."""
    try:
        check_dependencies(job.name, training.dependencies(), expected)
        prepare_worker(job.settings.threads)
    except PipelineError as error:
        return str(error)
    return train(training, job, context)


@dataclass
class DaskWorkers(Workers):
    """The workers of a Dask cluster; it gives what a dead one had begun to another.

    Each should have one thread: see README.
    """

    at_a_time: int | None
    client: "Client"
    training: Training

    def places(self) -> int:
        """One for each worker that is there now: some may come and go."""
        there = len(self.client.scheduler_info()["workers"])
        return max(1, min(there, self.at_a_time or there))

    def submit(self, job: Job, context: bytes) -> "Future[RunResult | str]":
        resources = {"GPU": 1} if job.settings.training.device == "gpu" else {}
        executor = self.client.get_executor(pure=False, resources=resources)
        future: Future[RunResult | str] = executor.submit(
            train_for_dask, self.training, job, context, self.training.dependencies()
        )
        return future

    def outcome(self, job: Job, future: "Future[RunResult | str]") -> RunResult | str:
        try:
            with worker_errors(job.name):
                return future.result()
        except PipelineError as error:
            if self.client.status != "running":
                raise  # none of the others can be had, either
            return str(error)

    def stop(self) -> None:
        """What workers are at goes on to its end, and is kept: Dask does not interrupt them."""


def as_many_as_fit() -> int:
    """How many processes to train in: one for each core."""
    return max(1, len(cores()))


def shares(processes: int) -> list[list[int]]:
    """The cores of each process, none in two of them as long as there are enough."""
    mine = cores()
    if not mine:
        return [[]] * processes
    return [share_of(mine, n, processes) for n in range(processes)]


def begin(cores: list[int], owner: int) -> None:
    """Make a new process a worker.

    Args:
        cores: to bind it to, if any.
        owner: the process that this one must not outlive.
    """
    with contextlib.suppress(OSError):
        os.setsid()  # Ctrl-C is for the owner, who passes it on
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with, args=(owner,), daemon=True).start()
    if cores:
        os.sched_setaffinity(0, cores)
    quiet_prefect()
    logging.getLogger("mnist").propagate = False  # the owner says what there is to say


def train_here(training: Training, job: Job, context: bytes) -> RunResult | str:
    """Run a job in a process of this machine."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return train(training, job, context)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@dataclass
class Process:
    """One process in a pool of its own: if it dies, no other is harmed."""

    pool: ProcessPoolExecutor
    cores: list[int]
    """That it is bound to."""
    runs: int = 0


def start(cores: list[int]) -> Process:
    pool = ProcessPoolExecutor(
        1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=begin,
        initargs=(cores, os.getpid()),
    )
    return Process(pool, cores)


@dataclass
class Processes(Workers):
    """Processes of this machine, started when there is something to do."""

    at_a_time: int | None
    training: Training
    free: list[list[int]] = field(init=False)
    """Shares of the cores that no process is bound to."""
    idle: list[Process] = field(default_factory=list, init=False)
    at_work: "dict[Future[RunResult | str], Process]" = field(default_factory=dict, init=False)
    tries: Counter[str] = field(default_factory=Counter, init=False)
    """Of each job, by its identity."""

    def __post_init__(self) -> None:
        self.free = shares(self.places())

    def places(self) -> int:
        return self.at_a_time or as_many_as_fit()

    def submit(self, job: Job, context: bytes) -> "Future[RunResult | str]":
        process = self.idle.pop() if self.idle else start(self.free.pop(0))
        process.runs += 1
        self.tries[job.identity] += 1
        future = process.pool.submit(train_here, self.training, job, context)
        self.at_work[future] = process
        return future

    def outcome(self, job: Job, future: "Future[RunResult | str]") -> RunResult | str | None:
        process = self.at_work.pop(future)
        try:
            outcome = future.result()
        except BrokenProcessPool:
            self.end(process)
            if self.tries[job.identity] < TRIES:
                return None
            return "its process was ended from outside, perhaps for want of memory"
        if process.runs < RUNS_PER_PROCESS:
            self.idle.append(process)
        else:
            self.end(process)
        return outcome

    def end(self, process: Process) -> None:
        process.pool.shutdown()
        self.free.append(process.cores)

    def stop(self) -> None:
        """End the processes; those at work save what they have trained first."""
        for child in multiprocessing.active_children():
            if child.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGINT)
        for process in [*self.idle, *self.at_work.values()]:
            process.pool.shutdown(wait=True, cancel_futures=True)
