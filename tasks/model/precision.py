"""Precision of the training: float32, or float16 with float32 weights (mixed precision).

In mixed precision, layers compute in float16 and store their weights in float32; logits, loss and
Adam stay in float32. The loss is scaled so that small gradients do not vanish in float16; see
model/optimizer.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal


@contextmanager
def layers_in(precision: Literal["float32", "mixed_float16"]) -> Iterator[None]:
    """Build the layers of the block with this precision as Keras's dtype policy."""
    from keras import config

    before = config.dtype_policy()
    config.set_dtype_policy(precision)
    try:
        yield
    finally:
        config.set_dtype_policy(before)
