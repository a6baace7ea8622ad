"""The state of training as named arrays, and files of them.

A checkpoint's tensors, float32 but for the iteration and the state of dropout (uint32):

    weights/<layer>/kernel|bias|…         also what normalisation and dropout carry along
    adam/momentum/<layer>/kernel|bias     Adam's running mean of the gradient
    adam/velocity/<layer>/kernel|bias     … and of its square
    iteration                             int64 scalar

and where mixed precision has been used (see precision.py):

    loss_scale/scale, loss_scale/steps    float32 and int64 scalars
    adam/updates                          int64 scalar: Adam's own count, if updates were left out
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load_file, save

from tasks.model.network import build_network
from tasks.records import Shape
from tasks.settings import NetworkSettings, TrainingSettings

if TYPE_CHECKING:
    import keras

LIBRARIES = ("tensorflow", "keras", "numpy", "safetensors")
"""Distributions that the numbers in a checkpoint, and what is made of them, depend on."""


def named_variables(network: "keras.Sequential") -> "dict[str, keras.Variable]":
    """What is trained, by layer, e.g. `conv1/kernel`, in the order of `trainable_variables`."""
    return {
        f"{layer.name}/{variable.name}": variable
        for layer in network.layers
        for variable in layer.trainable_variables
    }


def carried_variables(network: "keras.Sequential") -> "dict[str, keras.Variable]":
    """What changes in training without being trained: running means, states of generators."""
    return {
        f"{layer.name}/{variable.name}": variable
        for layer in network.layers
        for variable in layer.non_trainable_variables
    }


def set_weights(network: "keras.Sequential", state: dict[str, np.ndarray]) -> None:
    """Put a checkpoint's weights into a network of the same shape."""
    for name, variable in {**named_variables(network), **carried_variables(network)}.items():
        variable.assign(state[f"weights/{name}"])


RISING, START = 0.3, 1 / 25
"""A cycle's share in which the rate rises, and what of its peak it starts from: as in PyTorch's
OneCycleLR, after Smith and Topin, "Super-convergence" (2018)."""


def one_cycle(peak: float, iterations: int) -> "keras.optimizers.schedules.LearningRateSchedule":
    """A learning rate that rises to its peak along a line, and falls to zero along a cosine."""
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
    """Adam, built for the network.

    Args:
        network: what it is to train.
        settings: its step size and decays.
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


def get_state(
    network: "keras.Sequential", optimizer: "keras.optimizers.Adam", iteration: int
) -> dict[str, np.ndarray]:
    """Everything that training goes on from, by name."""
    state = {"iteration": np.array(iteration, np.int64)}
    for name, variable in carried_variables(network).items():
        state[f"weights/{name}"] = variable.numpy()
    for name, weights, momentum, velocity in with_moments(network, optimizer):
        state[f"weights/{name}"] = weights.numpy()
        state[f"adam/momentum/{name}"] = momentum.numpy()
        state[f"adam/velocity/{name}"] = velocity.numpy()
    if (updates := int(optimizer.iterations.numpy())) != iteration:
        state["adam/updates"] = np.array(updates, np.int64)
    return state


def set_state(
    network: "keras.Sequential",
    optimizer: "keras.optimizers.Adam",
    state: dict[str, np.ndarray],
) -> int:
    """Put back what `get_state` gave; returns the iteration."""
    set_weights(network, state)
    for name, _, momentum, velocity in with_moments(network, optimizer):
        momentum.assign(state[f"adam/momentum/{name}"])
        velocity.assign(state[f"adam/velocity/{name}"])
    optimizer.iterations.assign(state.get("adam/updates", state["iteration"]))
    return int(state["iteration"])


def with_moments(
    network: "keras.Sequential", optimizer: "keras.optimizers.Adam"
) -> "Iterator[tuple[str, keras.Variable, keras.Variable, keras.Variable]]":
    """Name, weights, Adam's first and second moment of everything that is trained."""
    # Keras has no public names for the moments.
    moments = zip(optimizer._momentums, optimizer._velocities, strict=True)
    for (name, weights), (momentum, velocity) in zip(
        named_variables(network).items(), moments, strict=True
    ):
        yield name, weights, momentum, velocity


def write_tensors(tensors: dict[str, np.ndarray], path: Path) -> None:
    """Write arrays as safetensors, the same bytes every time."""
    # Serialised first, so that a full disk is an OSError like any other.
    path.write_bytes(save({name: np.asarray(a, order="C") for name, a in tensors.items()}))


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Arrays by name from a safetensors file."""
    tensors: dict[str, np.ndarray] = load_file(path)
    return tensors


def restore_network(path: Path, settings: NetworkSettings, shape: Shape) -> "keras.Sequential":
    """The network of a checkpoint file."""
    network = build_network(settings, shape, seed=0)  # whose initial weights do not matter
    set_weights(network, read_tensors(path))
    return network
