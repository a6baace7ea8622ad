"""The number of TensorFlow's threads, which changes the last bits of its results.

A gradient is summed in as many parts as there are threads, and the order of additions changes the
rounding. So the number is fixed, independent of the machine's cores. Any other number than the
default is part of the key of every stage that uses TensorFlow.
"""

import os
import sys

from tasks.runtime.errors import PipelineError

DEFAULT_THREADS = 2
"""Number of threads of the published results; more hardly help so small a network."""

VARIABLES = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
"""Read by TensorFlow when it starts; results depend on the first one."""


def threads() -> int:
    """Return the number of TensorFlow's threads in each process."""
    return int(os.environ.get(VARIABLES[0], DEFAULT_THREADS))


def use_threads(count: int) -> None:
    """Set the number of TensorFlow's threads in this process and its children.

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
    """Return the cores that this process may use; empty where the system has no such binding."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def share_of(mine: list[int], number: int, of: int) -> list[int]:
    """Return the cores of one of several processes, disjoint if there are enough cores.

    Args:
        mine: cores to share.
        number: index of the process.
        of: number of processes.
    """
    return mine[number % len(mine) :: of]
