"""Compiled networks that one stage leaves to the next in the same process.

TensorFlow never lets go of the graph of a compiled function. So a run whose stages each compiled
their own would grow with their number, and would wait for the compiler each time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_left: dict[Callable[..., Any], tuple[Any, Any]] = {}
"""What each maker has made last, after the arguments that it was made from."""


@contextmanager
def borrowed(make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
    """What `make` gives for these arguments, for the time of the block.

    It may have been used before: whatever can change in it, the borrower has to set. No two
    borrow the same one at the same time, and one that was in use when an error came is not lent
    again.

    Args:
        make: makes one.
        *args: of `make`; hashable, like the others.
        **kwargs: of `make`.
    """
    wanted = args, tuple(sorted(kwargs.items()))
    made_from, one = _left.pop(make, (None, None))
    if made_from != wanted:
        one = make(*args, **kwargs)
    yield one
    _left[make] = wanted, one
