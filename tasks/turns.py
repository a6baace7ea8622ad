"""Taking turns at what runs share, such as a GPU.

A stage says what it takes a turn at; who runs the stage says what that comes to (see caching.py).
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

Limit = Callable[[str], AbstractContextManager[None]]

limiter: ContextVar[Limit | None] = ContextVar("limiter", default=None)
"""From the name of a limit to a context that is entered once there is room."""


def turn(name: str) -> AbstractContextManager[None]:
    """A context in which this run has its turn at something, by the name of its limit."""
    limit = limiter.get()
    return nullcontext() if limit is None else limit(name)


@contextmanager
def taking_turns(limit: Limit) -> Iterator[None]:
    """Turns are waited for as the limit says, for the time of the block."""
    token = limiter.set(limit)
    try:
        yield
    finally:
        limiter.reset(token)
