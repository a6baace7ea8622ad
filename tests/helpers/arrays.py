"""Arrays of random numbers, the same in every run."""

import numpy as np


def noise(*shape: int) -> np.ndarray:
    """Return random pixels, uint8."""
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def normal(*shape: int) -> np.ndarray:
    """Return normally distributed values, float32."""
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)
