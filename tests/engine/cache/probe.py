"""Points of the small project's stages, where a test can log, abort or kill a run.

A line `<label> <point>` goes to a log for every point that is reached: `start`, `half` and
`written` inside a stage, `unrecorded` between its end and its cache entry.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn


class Aborted(BaseException):
    """Exception that ends a run from inside, like Ctrl-C."""


class Probe:
    """Log of reached points, and countdown to the point at which the run is stopped."""

    log: Path
    countdown = 0
    """Number of points until `stop` is called; 0: never."""
    stop: Callable[[], NoReturn]


def reach(label: str, point: str) -> None:
    with Probe.log.open("a") as log:
        log.write(f"{label} {point}\n")
    count_down()


def count_down() -> None:
    Probe.countdown -= 1
    if Probe.countdown == 0:
        Probe.stop()


def abort() -> NoReturn:
    raise Aborted


def kill() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


@contextmanager
def stopping(at: int, stop: Callable[[], NoReturn]) -> Iterator[None]:
    """Stop at the n-th point that is reached in the block."""
    Probe.countdown, Probe.stop = at, stop
    try:
        yield
    finally:
        Probe.countdown = 0


FILE_OPERATIONS = frozenset(
    {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.utime"}
)


def kill_at_file_operation(n: int) -> None:
    """Kill this process, a child of the test, before its n-th file operation."""

    def hook(event: str, _: tuple[Any, ...]) -> None:
        nonlocal n
        if event in FILE_OPERATIONS:
            n -= 1
            if n == 0:
                kill()

    sys.addaudithook(hook)  # audit hooks cannot be removed


def killed_in_child(job: Callable[[], object]) -> bool:
    """Run a function in a forked child; return whether the child was killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            job()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert status == 0, "the child failed without a kill"
    return False
