"""Adam, its learning rate, and the loss scale of mixed precision.

The loss scale doubles from time to time; it halves when a gradient overflows, and that update is
skipped.
"""

from typing import TYPE_CHECKING

import numpy as np

from tasks.settings import TrainingSettings

if TYPE_CHECKING:
    import keras

RISING, START = 0.3, 1 / 25
"""Share of a cycle in which the rate rises, and its first value as a share of the peak: as in
PyTorch's OneCycleLR, after Smith and Topin, "Super-convergence" (2018)."""

SCALE = "loss_scale/scale"
STEPS = "loss_scale/steps"
"""Names of the loss scale's tensors in a checkpoint."""


def one_cycle(peak: float, iterations: int) -> "keras.optimizers.schedules.LearningRateSchedule":
    """Return a learning rate that rises linearly to its peak and falls to zero as a cosine."""
    import keras

    rising = max(1, int(RISING * iterations))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=START * peak,
        warmup_target=peak,
        warmup_steps=rising,
        decay_steps=max(1, iterations - rising),
    )


def make_optimizer(
    network: "keras.Sequential", settings: TrainingSettings, cycle: int | None = None
) -> "keras.optimizers.Adam":
    """Return Adam, built for a network.

    Args:
        network: the network to train.
        settings: learning rate, decays and epsilon.
        cycle: iterations of a one-cycle schedule; None for a constant rate.
    """
    import keras

    adam = keras.optimizers.Adam(
        one_cycle(settings.learning_rate, cycle) if cycle else settings.learning_rate,
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon,
        name="adam",
    )
    adam.build(network.trainable_variables)
    return adam


def add_loss_scale(
    adam: "keras.optimizers.Adam", network: "keras.Sequential"
) -> "keras.optimizers.LossScaleOptimizer":
    """Wrap Adam in an optimizer with a loss scale.

    Args:
        adam: built for the network.
        network: the network to train.
    """
    import keras

    optimizer = keras.optimizers.LossScaleOptimizer(adam, name="loss_scale")
    optimizer.build(network.trainable_variables)
    return optimizer


def set_loss_scale(optimizer: "keras.optimizers.Optimizer", state: dict[str, np.ndarray]) -> None:
    """Set the loss scale to the value in a checkpoint, or else to its initial value.

    Without a loss scale, nothing happens.
    """
    for name, variable in loss_scale_variables(optimizer).items():
        initial = optimizer.initial_scale if name == SCALE else 0
        variable.assign(state.get(name, initial))


def loss_scale_state(optimizer: "keras.optimizers.Optimizer") -> dict[str, np.ndarray]:
    """Return the loss scale's tensors for a checkpoint; none if there is no loss scale."""
    return {name: v.numpy() for name, v in loss_scale_variables(optimizer).items()}


def loss_scale_variables(
    optimizer: "keras.optimizers.Optimizer",
) -> "dict[str, keras.Variable]":
    """Return the loss scale's variables by their names in a checkpoint."""
    import keras

    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return {}
    return {SCALE: optimizer.dynamic_scale, STEPS: optimizer.step_counter}
