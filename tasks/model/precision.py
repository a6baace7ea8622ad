"""In which precision a network is trained: float32, or float16 where that is enough.

In mixed precision layers compute in float16 and keep their weights in float32; the logits, the
loss and Adam are float32 throughout. The loss is scaled, so that small gradients do not vanish in
float16: the scale is doubled from time to time, and halved when a gradient overflows, whose
update is left out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import keras

Precision = Literal["float32", "mixed_float16"]

SCALE = "loss_scale/scale"
TENSOR_CORES = (7, 0)
"""Compute capability of the first NVIDIA GPUs (Volta) that compute faster in float16."""


def choose_precision(
    wanted: Literal["auto", "float32", "mixed"], capability: tuple[int, int] | None
) -> Precision:
    """The precision for a processor.

    Args:
        wanted: the setting.
        capability: the GPU's compute capability; None for a CPU, or if it is not known.
    """
    if wanted == "auto":
        wanted = "mixed" if capability is not None and capability >= TENSOR_CORES else "float32"
    return "mixed_float16" if wanted == "mixed" else "float32"


@contextmanager
def layers_in(precision: Precision) -> Iterator[None]:
    """Layers that are made in the block compute in this precision."""
    from keras import config

    before = config.dtype_policy()
    config.set_dtype_policy(precision)
    try:
        yield
    finally:
        config.set_dtype_policy(before)


def scale_losses(
    adam: "keras.optimizers.Adam", network: "keras.Sequential"
) -> "keras.optimizers.LossScaleOptimizer":
    """Adam with a loss scale.

    Args:
        adam: built for the network.
        network: what it trains.
    """
    import keras

    optimizer = keras.optimizers.LossScaleOptimizer(adam, name="loss_scale")
    optimizer.build(network.trainable_variables)
    return optimizer


def set_scale(optimizer: "keras.optimizers.Optimizer", state: dict[str, np.ndarray]) -> None:
    """Make the loss scale, if there is one, what it was in a checkpoint, or what it is at first."""
    for name, variable in scale_variables(optimizer).items():
        first = optimizer.initial_scale if name == SCALE else 0
        variable.assign(state.get(name, first))


def scale_state(optimizer: "keras.optimizers.Optimizer") -> dict[str, np.ndarray]:
    """The tensors that a checkpoint holds of the loss scale; none without one."""
    return {name: v.numpy() for name, v in scale_variables(optimizer).items()}


def scale_variables(optimizer: "keras.optimizers.Optimizer") -> "dict[str, keras.Variable]":
    import keras

    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return {}
    return {
        SCALE: optimizer.dynamic_scale,
        "loss_scale/steps": optimizer.step_counter,
    }
