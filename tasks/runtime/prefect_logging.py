"""Prefect's own log lines: without tracebacks of expected errors, without secrets."""

import logging

from tasks.runtime.errors import PipelineError, is_lost_server, without_secrets


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


def nothing(_record: logging.LogRecord) -> bool:
    """Log nothing."""
    return False


def quiet_prefect() -> None:
    """Shorten Prefect's lines about flow runs and task runs; a second call changes nothing."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(shorten_expected_error)
    # Prefect counts unsent events when it stops, after the last line of the run.
    logging.getLogger("EventsWorker").setLevel(logging.ERROR)
    # Tracebacks of events that a dead server has not taken; `prefect.events` warns of it, too.
    logging.getLogger("prefect._internal.concurrency").addFilter(nothing)


quiet_prefect()  # a worker's process loads the flow without a command line
