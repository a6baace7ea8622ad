"""Shared parts of all ways: read the same images and batches, and print their times."""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

WARM_UP = 50  # iterations: compiling, first touches of memory


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images uint8 [n, 28, 28], labels uint8 [n], batches int32 [iterations, 64] of their rows."""
    folder = Path(sys.argv[1])
    images, labels, batches = (
        np.load(folder / f"{name}.npy") for name in ("images", "labels", "batches")
    )
    return images, labels, batches


def measure(train: Callable[[np.ndarray], object], batches: np.ndarray) -> None:
    """Train on some batches unmeasured, then on the rest; print milliseconds per iteration."""
    train(batches[:WARM_UP])
    rest = batches[WARM_UP:]
    wall, processor = time.perf_counter(), time.process_time()
    train(rest)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(
        json.dumps(
            {
                "ms": 1000 * wall / len(rest),
                "processor_ms": 1000 * processor / len(rest),
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )
