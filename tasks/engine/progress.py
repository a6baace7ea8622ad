"""A progress artifact that moves in Prefect's UI while a stage works."""

import contextvars
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from tasks.runtime.console import log, watch

SECONDS_BETWEEN_UPDATES = 2.0


class ProgressArtifact:
    """Sends the state of a piece of work every two seconds; what is done sooner has none.

    It is sent by a thread, so that no work waits for the server; what fails is left out, since
    the work goes on all the same.
    """

    def __init__(self, key: str, pool: ThreadPoolExecutor) -> None:
        self.key = key
        self.pool = pool
        self.context = contextvars.copy_context()  # where Prefect finds the task run
        self.last = time.monotonic()
        self.sending: Future[None] | None = None
        self.artifact: UUID | None = None

    def move(self, label: str, done: int, total: int, note: str) -> None:
        """Take note of the state; see `console.watch`."""
        now = time.monotonic()
        busy = self.sending is not None and not self.sending.done()
        finished = done == total and self.artifact is not None
        if total <= 0 or (not finished and (busy or now - self.last < SECONDS_BETWEEN_UPDATES)):
            return
        self.last = now
        text = f"{label}: {done:,} of {total:,}, {note}".rstrip(", ")
        self.sending = self.pool.submit(self.context.run, self.send, 100 * done / total, text)

    def send(self, percent: float, text: str) -> None:
        try:
            if self.artifact is None:
                self.artifact = cast(UUID, create_progress_artifact(percent, self.key, text))
            else:
                update_progress_artifact(self.artifact, percent, text)
        except Exception as error:  # whatever it is, the work itself has not failed
            log.debug(f"{self.key}: not sent: {error}")


@contextmanager
def progress_artifact(key: str) -> Iterator[None]:
    """Show what is tracked in the block, see `console.track`, as an artifact of the task run.

    Args:
        key: lower-case letters, digits and dashes; the same in every run.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        token = watch.set(ProgressArtifact(key, pool).move)
        try:
            yield
        finally:
            watch.reset(token)
