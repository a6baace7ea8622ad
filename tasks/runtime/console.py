"""Log lines and progress bars.

Everything goes through the logger `mnist`. Prefect sends its records to the server (see
`logging.extra_loggers` in pyproject.toml), so the UI shows the same lines; the command line adds a
handler that prints them. Prefect's own lines lose tracebacks of expected errors, and secrets.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import Progress, TextColumn

from tasks.runtime.errors import PipelineError, is_lost_server, without_secrets

SECONDS_BETWEEN_LINES = 10.0

log = logging.getLogger("mnist")
log.setLevel(logging.INFO)
console = Console(stderr=True, highlight=False)

watch: ContextVar[Callable[[str, int, int, str], None] | None] = ContextVar("watch", default=None)
"""Function that gets every progress update: label, steps done, their total, and a note."""


def print_log_lines() -> None:
    """Print the pipeline's log lines on standard error, above any progress bar."""
    handler: logging.Handler = logging.StreamHandler()
    if console.is_terminal:
        handler = RichHandler(console=console, show_time=False, show_level=False, show_path=False)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    log.propagate = False


@contextmanager
def track(label: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Show the progress of a piece of work.

    A live bar with the time left on a terminal; elsewhere a line every ten seconds.

    Args:
        label: name of the work.
        total: number of steps; negative: not known.

    Yields:
        `update(done, note)`: steps done so far, and a short text beside them.
    """
    watcher = watch.get()
    with (bar if console.is_terminal else log_lines)(label, total) as show:

        def update(done: int, note: str) -> None:
            show(done, note)
            if watcher is not None:
                watcher(label, done, total, note)

        yield update


@contextmanager
def bar(label: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Show a live bar on the terminal, removed at the end."""
    columns = (*Progress.get_default_columns(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=total if total >= 0 else None, note="")

        def show(done: int, note: str) -> None:
            progress.update(task, completed=done, note=note)

        yield show


@contextmanager
def log_lines(label: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Log a line from time to time."""
    last = time.monotonic()

    def show(done: int, note: str) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            of = f" of {total:,} ({done / total:.0%})" if total > 0 else ""
            log.info(f"{label}: {done:,}{of} {note}".rstrip())

    yield show


def shorten_expected_error(record: logging.LogRecord) -> bool:
    """Log an error that a user is meant to read without its traceback, and only once.

    The line at the end of a run that repeats it becomes informational.
    """
    record.msg, record.args = without_secrets(record.getMessage()), ()
    error = record.exc_info[1] if record.exc_info else None
    expected = isinstance(error, PipelineError) or is_lost_server(error)
    if expected:
        record.exc_info = None
    if expected or PipelineError.__name__ in record.msg or "Execution was " in record.msg:
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.exc_info = None
    return True


# Also where a worker's process loads a flow, without a command line.
for prefect_logger in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(prefect_logger).addFilter(shorten_expected_error)
# Prefect counts unsent events when it stops, after the last line of the run.
logging.getLogger("EventsWorker").setLevel(logging.ERROR)
# Tracebacks of events that a dead server has not taken; `prefect.events` warns of it, too.
logging.getLogger("prefect._internal.concurrency").addFilter(lambda _record: False)
