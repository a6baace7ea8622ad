"""Processes that train the variants of studies at the same time, each on its share of the cores.

They are kept for many runs, since a process takes seconds to import TensorFlow. All of them
together are left no more than the machine has: each is bound to some of the cores, and its threads
take turns there. TensorFlow still has as many threads as in a run of its own (tasks/threads.py), so
that a variant comes out the same here and there, and either can use what the other has cached.

Measured on two cores that others used as well: eight variants of 200 iterations took 198 s in two
processes with a core each, 243 s in one process with both, and came out the same, byte for byte.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

from flows.cli import tell_once
from flows.server import end_with
from tasks.errors import PipelineError
from tasks.study.design import Job
from tasks.study.trial import Trial
from tasks.threads import cores, share_of

RUNS_PER_PROCESS = 30
"""Each training leaves its graphs behind in its process, 8 MB of the tutorial's network (measured):
after so many, new ones."""
TRIES = 2
"""Of a run whose process ended under it: another's fault, perhaps."""

Told = Callable[[Job, Trial | str], None]


def as_many_as_fit() -> int:
    """How many processes to train in: one for each core."""
    return max(1, len(cores()))


def shares(processes: int) -> list[list[int]]:
    """The cores of each process, none in two of them as long as there are enough."""
    mine = cores()
    if not mine:
        return [[]] * processes
    return [share_of(mine, n, processes) for n in range(processes)]


def begin(free: Any, owner: int) -> None:
    """Make a new process a worker.

    Args:
        free: a queue of the shares of cores that no process has yet.
        owner: the process that this one must not outlive.
    """
    with contextlib.suppress(OSError):
        os.setsid()  # Ctrl-C is for the owner, who passes it on
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with, args=(owner,), daemon=True).start()
    if share := free.get():
        os.sched_setaffinity(0, share)
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(tell_once)
    logging.getLogger("mnist").propagate = False  # the owner says what there is to say


def do(job: Job, context: bytes) -> Trial | str:
    """Run a job in this process, as a subflow of the run that the context is from.

    Returns:
        The trial; if it fails, the reason.
    """
    import cloudpickle
    from prefect.context import hydrated_context

    from flows.study import train_variant

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with hydrated_context(cloudpickle.loads(context)):
            return train_variant(job.name, job.settings, job.again, job.weights_seed)
    except PipelineError as error:
        return str(error)
    except Exception as error:  # of this variant alone: the others go on
        return f"{type(error).__name__}: {error}"
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@dataclass
class Workers:
    """A number of processes, started when there is something to do."""

    count: int
    pool: ProcessPoolExecutor | None = field(default=None, init=False)
    runs: int = field(default=0, init=False)
    """Since the processes were made."""

    def run(self, jobs: Sequence[Job], context: bytes, tell: Told) -> None:
        """Run jobs, in order as far as they go at the same time.

        Args:
            jobs: none of them twice.
            context: of the flow run that they belong to, as Prefect serialises it, pickled.
            tell: is told what came of each, as soon as it is known.

        Raises:
            BaseException: what has interrupted it; then what was trained so far has been saved.
        """
        if self.runs >= RUNS_PER_PROCESS * self.count:
            self.stop()
        waiting = list(jobs)
        tries = dict.fromkeys((job.identity for job in jobs), 0)
        running: dict[Future[Trial | str], Job] = {}
        while waiting or running:
            while waiting and len(running) < self.count:
                job = waiting.pop(0)
                tries[job.identity] += 1
                self.runs += 1
                running[self.processes().submit(do, job, context)] = job
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                job = running.pop(future)
                try:
                    tell(job, future.result())
                except BrokenProcessPool:
                    self.pool = None
                    if tries[job.identity] < TRIES:
                        waiting.insert(0, job)
                    else:
                        tell(job, "its process was ended from outside, perhaps for want of memory")

    def processes(self) -> ProcessPoolExecutor:
        """The processes, made anew if there are none or one of them has died."""
        if self.pool is None:
            self.runs = 0
            context = multiprocessing.get_context("spawn")
            free = context.SimpleQueue()
            for share in shares(self.count):
                free.put(share)
            self.pool = ProcessPoolExecutor(
                self.count,
                mp_context=context,
                initializer=begin,
                initargs=(free, os.getpid()),
            )
        return self.pool

    def stop(self) -> None:
        """End the processes; those at work save what they have trained first."""
        if self.pool is None:
            return
        for child in multiprocessing.active_children():
            if child.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGINT)
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.pool = None


@contextlib.contextmanager
def workers(count: int) -> Iterator[Workers]:
    """Processes for the time of the block."""
    them = Workers(count)
    try:
        yield them
    finally:
        them.stop()
