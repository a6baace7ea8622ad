"""The state of training as named arrays, and files of them.

A checkpoint's tensors, all float32 but for the iteration:

    weights/<layer>/kernel|bias
    adam/momentum/<layer>/kernel|bias     Adam's running mean of the gradient
    adam/velocity/<layer>/kernel|bias     … and of its square
    iteration                             int64 scalar
"""

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


def get_weights(network: "keras.Sequential") -> dict[str, np.ndarray]:
    """Weights by path, e.g. `conv1/kernel` float32 [5, 5, 1, 16]."""
    return {variable.path: np.asarray(variable) for variable in network.trainable_variables}


def set_weights(network: "keras.Sequential", weights: dict[str, np.ndarray]) -> None:
    """Put weights, as `get_weights` gives them, into a network of the same shape."""
    for variable in network.trainable_variables:
        variable.assign(weights[variable.path])


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
    moments = zip(
        network.trainable_variables, optimizer._momentums, optimizer._velocities, strict=True
    )
    state = {f"weights/{path}": values for path, values in get_weights(network).items()}
    for variable, momentum, velocity in moments:
        state[f"adam/momentum/{variable.path}"] = np.asarray(momentum)
        state[f"adam/velocity/{variable.path}"] = np.asarray(velocity)
    state["iteration"] = np.array(iteration, np.int64)
    return state


def set_state(
    network: "keras.Sequential",
    optimizer: "keras.optimizers.Adam",
    state: dict[str, np.ndarray],
) -> int:
    """Put back what `get_state` gave; returns the iteration."""
    set_weights(network, state_weights(state))
    moments = zip(
        network.trainable_variables, optimizer._momentums, optimizer._velocities, strict=True
    )
    for variable, momentum, velocity in moments:
        momentum.assign(state[f"adam/momentum/{variable.path}"])
        velocity.assign(state[f"adam/velocity/{variable.path}"])
    optimizer.iterations.assign(state["iteration"])
    return int(state["iteration"])


def state_weights(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights in a checkpoint's tensors, by path."""
    return {
        name.removeprefix("weights/"): values
        for name, values in state.items()
        if name.startswith("weights/")
    }


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
    set_weights(network, state_weights(read_tensors(path)))
    return network
