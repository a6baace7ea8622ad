"""Cached compiled networks, reused by later stages in the same process.

TensorFlow never frees the graph of a compiled function. If each stage compiled its own, memory and
compile time of a run would grow with the number of its stages.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

cache: dict[Callable[..., Any], tuple[Any, Any]] = {}
"""For each factory, the arguments and the result of its last call."""


@contextmanager
def reuse_compiled(factory: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
    """Provide `factory(*args, **kwargs)`, from the cache if its last arguments were the same.

    The object may have been used before: the caller has to set its whole state. It is out of the
    cache during the block, so no two blocks share it, and an error in the block discards it.

    Args:
        factory: function that compiles.
        *args: its arguments; all are hashable.
        **kwargs: its keyword arguments.
    """
    arguments = args, tuple(sorted(kwargs.items()))
    cached_arguments, compiled = cache.pop(factory, (None, None))
    if cached_arguments != arguments:
        compiled = factory(*args, **kwargs)
    yield compiled
    cache[factory] = arguments, compiled
