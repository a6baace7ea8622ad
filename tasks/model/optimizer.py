"""Adam and its learning rate."""

from typing import TYPE_CHECKING

from tasks.settings import TrainingSettings

if TYPE_CHECKING:
    import keras

RISING, START = 0.3, 1 / 25
"""Share of a cycle in which the rate rises, and its first value as a share of the peak: as in
PyTorch's OneCycleLR, after Smith and Topin, "Super-convergence" (2018)."""


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
