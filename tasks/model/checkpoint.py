"""The state of training as named arrays, and files of them.

A checkpoint's tensors, float32 but for the iteration and the state of dropout (uint32):

    weights/<layer>/kernel|bias|…         also running means and the state of dropout
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
from tasks.records import Network

if TYPE_CHECKING:
    import keras


def named_variables(network: "keras.Sequential") -> "dict[str, keras.Variable]":
    """Return the trained variables by name, e.g. `conv1/kernel`, in `trainable_variables` order."""
    return {
        f"{layer.name}/{variable.name}": variable
        for layer in network.layers
        for variable in layer.trainable_variables
    }


def untrained_variables(network: "keras.Sequential") -> "dict[str, keras.Variable]":
    """Return the variables that change without gradients: running means, generator states."""
    return {
        f"{layer.name}/{variable.name}": variable
        for layer in network.layers
        for variable in layer.non_trainable_variables
    }


def set_weights(network: "keras.Sequential", state: dict[str, np.ndarray]) -> None:
    """Set the weights of a network to those of a checkpoint of the same layers."""
    for name, variable in {**named_variables(network), **untrained_variables(network)}.items():
        variable.assign(state[f"weights/{name}"])


def get_state(
    network: "keras.Sequential", optimizer: "keras.optimizers.Adam", iteration: int
) -> dict[str, np.ndarray]:
    """Return the full state of training as arrays by name."""
    state = {"iteration": np.array(iteration, np.int64)}
    for name, variable in untrained_variables(network).items():
        state[f"weights/{name}"] = variable.numpy()
    for name, weights, momentum, velocity in with_moments(network, optimizer):
        state[f"weights/{name}"] = weights.numpy()
        state[f"adam/momentum/{name}"] = momentum.numpy()
        state[f"adam/velocity/{name}"] = velocity.numpy()
    return state


def set_state(
    network: "keras.Sequential",
    optimizer: "keras.optimizers.Adam",
    state: dict[str, np.ndarray],
) -> int:
    """Restore the state that `get_state` returned, and return its iteration."""
    set_weights(network, state)
    for name, _, momentum, velocity in with_moments(network, optimizer):
        momentum.assign(state[f"adam/momentum/{name}"])
        velocity.assign(state[f"adam/velocity/{name}"])
    optimizer.iterations.assign(state["iteration"])
    return int(state["iteration"])


def with_moments(
    network: "keras.Sequential", optimizer: "keras.optimizers.Adam"
) -> "Iterator[tuple[str, keras.Variable, keras.Variable, keras.Variable]]":
    """Yield name, weights, first and second moment of Adam for each trained variable."""
    # Keras has no public names for the moments.
    moments = zip(optimizer._momentums, optimizer._velocities, strict=True)
    for (name, weights), (momentum, velocity) in zip(
        named_variables(network).items(), moments, strict=True
    ):
        yield name, weights, momentum, velocity


def write_tensors(tensors: dict[str, np.ndarray], path: Path) -> None:
    """Write arrays as safetensors; equal arrays give equal bytes."""
    # Serialised in memory: safetensors' own writer does not raise OSError on a full disk.
    path.write_bytes(serialize_tensors(tensors))


def serialize_tensors(tensors: dict[str, np.ndarray]) -> bytes:
    """Return arrays, among them NumPy's scalars, in the form of a safetensors file."""
    content: bytes = save({name: np.asarray(a, order="C") for name, a in tensors.items()})
    return content


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read arrays by name from a safetensors file."""
    tensors: dict[str, np.ndarray] = load_file(path)
    return tensors


def restore_network(network: Network, path: Path) -> "keras.Sequential":
    """Build a network with the weights of its checkpoint, which lies at a path."""
    model = build_network(network.layers, network.shape, seed=0)  # the weights are replaced
    set_weights(model, read_tensors(path))
    return model
