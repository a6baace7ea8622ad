"""Precision of the training: float32, or bfloat16 with float32 weights.

With bfloat16, layers compute in bfloat16 and store their weights in float32; logits, loss and
optimizer stay in float32. A bfloat16 has the exponent of a float32, so gradients do not vanish and
the loss needs no scale.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
"""Precision → Keras's dtype policy."""


@contextmanager
def layers_in(precision: Literal["float32", "bfloat16"]) -> Iterator[None]:
    """Build the layers of the block with this precision."""
    from keras import config

    before = config.dtype_policy()
    config.set_dtype_policy(POLICIES[precision])
    try:
        yield
    finally:
        config.set_dtype_policy(before)
