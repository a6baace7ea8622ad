"""How many threads TensorFlow computes with, which its results depend on in their last bits.

A gradient is summed up in as many parts as there are threads, and the order of additions changes
what is rounded. So the number is fixed, not that of the machine's cores, and another one than the
default is part of the key of every stage that uses TensorFlow.
"""

import os
import sys

from tasks.runtime.errors import PipelineError

DEFAULT_THREADS = 2
"""What the published results were made with. More hardly help a network this small."""

VARIABLES = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
"""Read by TensorFlow when it starts; the first is what results depend on."""


def threads() -> int:
    """Of each process that computes with TensorFlow."""
    return int(os.environ.get(VARIABLES[0], DEFAULT_THREADS))


def use_threads(count: int) -> None:
    """Let TensorFlow compute with so many threads in this process and those it starts.

    Raises:
        PipelineError: TensorFlow has started already, with another number.
    """
    if "tensorflow" in sys.modules and count != threads():
        raise PipelineError(
            f"--threads {count}: this process has used TensorFlow with {threads()} threads; start"
            " it anew (Dask's workers: restart them)"
        )
    for name in VARIABLES:
        os.environ[name] = str(count)


def cores() -> list[int]:
    """The cores that this process may use; empty where the system cannot bind one to them."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def share_of(mine: list[int], number: int, of: int) -> list[int]:
    """The cores of one of so many processes; no core is in two shares as long as there are enough.

    The number of threads stays what it is, since results depend on it: they take turns.
    """
    return mine[number % len(mine) :: of]
