"""Concurrency slots: stages wait until a shared resource, such as a GPU, is free.

A stage names the resource. The executor decides what limits it; see prefect_cache.py.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

Limiter = Callable[[str], AbstractContextManager[None]]

limiter: ContextVar[Limiter | None] = ContextVar("limiter", default=None)
"""Function from the name of a limit to a context that is entered once a slot is free."""


def concurrency_slot(name: str) -> AbstractContextManager[None]:
    """Return a context that holds a slot of a limit.

    Args:
        name: name of the limit.
    """
    limit = limiter.get()
    return nullcontext() if limit is None else limit(name)


@contextmanager
def limit_concurrency(limit: Limiter) -> Iterator[None]:
    """Let slots be handed out by a function for the time of the block."""
    token = limiter.set(limit)
    try:
        yield
    finally:
        limiter.reset(token)
