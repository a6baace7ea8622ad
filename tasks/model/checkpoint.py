"""The state of training as named arrays, and files of them.

A checkpoint's tensors, all float32 but for the iteration:

    weights/<layer>/kernel|bias
    adam/momentum/<layer>/kernel|bias     Adam's running mean of the gradient
    adam/velocity/<layer>/kernel|bias     … and of its square
    iteration                             int64 scalar
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


def set_weights(network: "keras.Sequential", state: dict[str, np.ndarray]) -> None:
    """Put a checkpoint's weights into a network of the same shape."""
    for name, variable in named_variables(network).items():
        variable.assign(state[f"weights/{name}"])


def make_optimizer(
    network: "keras.Sequential", settings: TrainingSettings
) -> "keras.optimizers.Adam":
    import keras

    adam = keras.optimizers.Adam(
        settings.learning_rate,
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
    for name, weights, momentum, velocity in with_moments(network, optimizer):
        state[f"weights/{name}"] = np.asarray(weights)
        state[f"adam/momentum/{name}"] = np.asarray(momentum)
        state[f"adam/velocity/{name}"] = np.asarray(velocity)
    return state


def set_state(
    network: "keras.Sequential",
    optimizer: "keras.optimizers.Adam",
    state: dict[str, np.ndarray],
) -> int:
    """Put back what `get_state` gave; returns the iteration."""
    for name, weights, momentum, velocity in with_moments(network, optimizer):
        weights.assign(state[f"weights/{name}"])
        momentum.assign(state[f"adam/momentum/{name}"])
        velocity.assign(state[f"adam/velocity/{name}"])
    optimizer.iterations.assign(state["iteration"])
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
