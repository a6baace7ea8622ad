"""Precision of the training: float32, or float16 with float32 weights (mixed precision).

In mixed precision, layers compute in float16 and store their weights in float32; logits, loss and
Adam stay in float32. The loss is scaled so that small gradients do not vanish in float16; see
model/optimizer.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Precision = Literal["float32", "mixed_float16"]

TENSOR_CORES = (7, 0)
"""Compute capability of Volta, the first NVIDIA GPUs that compute faster in float16."""


def choose_precision(
    setting: Literal["auto", "float32", "mixed"], capability: tuple[int, int] | None
) -> Precision:
    """Choose the precision for a processor.

    Args:
        setting: value of `--precision`.
        capability: compute capability of the GPU; None for a CPU, or if it is unknown.
    """
    if setting == "auto":
        setting = "mixed" if capability is not None and capability >= TENSOR_CORES else "float32"
    return "mixed_float16" if setting == "mixed" else "float32"


@contextmanager
def layers_in(precision: Precision) -> Iterator[None]:
    """Build the layers of the block with this precision as Keras's dtype policy."""
    from keras import config

    before = config.dtype_policy()
    config.set_dtype_policy(precision)
    try:
        yield
    finally:
        config.set_dtype_policy(before)
