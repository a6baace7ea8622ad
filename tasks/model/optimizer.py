"""Adam, Muon, and their learning rate."""

from functools import cache
from typing import TYPE_CHECKING, Any

from tasks.settings import TrainingSettings

if TYPE_CHECKING:
    import keras

RISING, START = 0.3, 1 / 25
"""Share of a cycle in which the rate rises, and its first value as a share of the peak: as in
PyTorch's OneCycleLR, after Smith and Topin, "Super-convergence" (2018)."""

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration in `orthogonalise`; from Jordan, "Muon" (2024)."""


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


def orthogonalise(matrix: Any, steps: int = 5) -> Any:
    """Return a nearly orthogonal matrix with the singular vectors of another one.

    Args:
        matrix: float32 tensor [rows, columns]; the fewer rows, the less work.
        steps: of the iteration; after five, singular values are between 0.7 and 1.2, unless they
            were less than a thousandth of the largest.
    """
    from keras import ops

    a, b, c = NEWTON_SCHULZ
    x = matrix / (ops.norm(matrix) + 1e-7)
    for _ in range(steps):
        square = ops.matmul(x, ops.transpose(x))
        x = a * x + ops.matmul(b * square + c * ops.matmul(square, square), x)
    return x


@cache
def muon_class() -> "type[keras.optimizers.Adam]":
    """Return Muon as a subclass of Adam, which has the same state.

    The filters of a convolutional layer, as the rows of a matrix, move by an orthogonal matrix:
    equally far in every direction that the gradient has. Its root mean square is the learning
    rate. All other weights move by Adam.
    """
    import keras
    from keras import ops

    class Muon(keras.optimizers.Adam):  # type: ignore[misc]
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            *sizes, filters = variable.shape
            if len(sizes) != 3:
                super().update_step(gradient, variable, learning_rate)
                return
            momentum = self._momentums[self._get_variable_index(variable)]
            self.assign_add(momentum, (gradient - momentum) * (1 - self.beta_1))
            ahead = momentum * self.beta_1 + gradient * (1 - self.beta_1)  # Nesterov's
            rows = ops.transpose(ops.reshape(ahead, (-1, filters)))
            step = ops.transpose(orthogonalise(rows)) * max(rows.shape) ** 0.5
            rate = ops.cast(learning_rate, variable.dtype)
            self.assign_sub(variable, rate * ops.reshape(step, variable.shape))

    return Muon


def make_optimizer(
    network: "keras.Sequential", settings: TrainingSettings, cycle: int | None = None
) -> "keras.optimizers.Adam":
    """Return Adam or Muon, built for a network.

    Args:
        network: the network to train.
        settings: which one; learning rate, decays and epsilon.
        cycle: iterations of a one-cycle schedule; None for a constant rate.
    """
    import keras

    kind = muon_class() if settings.optimizer == "muon" else keras.optimizers.Adam
    adam = kind(
        one_cycle(settings.learning_rate, cycle) if cycle else settings.learning_rate,
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon,
        name="adam",
    )
    adam.build(network.trainable_variables)
    return adam
