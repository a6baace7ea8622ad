"""Stage: several trained networks → one network, whose logits are the mean of theirs."""

from collections.abc import Mapping, Sequence

import numpy as np

from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.checkpoint import read_tensors, write_tensors
from tasks.records import Checkpoint
from tasks.settings import NetworkSettings


@stage(libraries=("numpy", "safetensors"))
def merge_networks(
    work: Workspace, checkpoints: tuple[Checkpoint, ...], network: NetworkSettings
) -> Checkpoint:
    """Put networks of the same layers side by side, in one network.

    Args:
        work: inputs and outputs.
        checkpoints: those of the networks, after the same number of iterations.
        network: layers of each network.

    Returns:
        Checkpoint of a network with the layers `network.times(len(checkpoints))`. It holds the
        weights only, nothing that training would need.
    """
    states = [read_tensors(work.input(checkpoint.file)) for checkpoint in checkpoints]
    write_tensors(merge_weights(states, network), work.output("checkpoint.safetensors"))
    return Checkpoint(
        iteration=checkpoints[0].iteration, file=work.finished("checkpoint.safetensors")
    )


def merge_weights(
    states: Sequence[Mapping[str, np.ndarray]], network: NetworkSettings
) -> dict[str, np.ndarray]:
    """Return the tensors `weights/…` of the merged network.

    Each layer holds the filters or neurons of all networks; weights from one network to another
    are 0. The last layer adds the logits up and divides them by the number of networks.

    Args:
        states: tensors of each checkpoint, by name.
        network: layers of each network.
    """
    last = f"fc{len(network.dense) + 1}"
    merged = {}
    for name in (name for name in states[0] if name.startswith("weights/")):
        values = [state[name] for state in states]
        _, layer, variable = name.split("/")
        if values[0].dtype != np.float32:
            merged[name] = values[0]  # the state of dropout, which has no effect after training
        elif variable == "kernel" and layer == "conv1":
            merged[name] = np.concatenate(values, axis=-1)  # all look at the same image
        elif variable == "kernel":
            channels = network.conv_filters[-1] if layer == "fc1" else values[0].shape[-2]
            join = mean_kernel if layer == last else block_kernel
            merged[name] = join(values, channels)
        elif layer == last:
            merged[name] = np.mean(values, axis=0)
        else:
            merged[name] = np.concatenate(values)
    return merged


def block_kernel(kernels: Sequence[np.ndarray], channels: int) -> np.ndarray:
    """Return the kernel of networks side by side, which do not see each other's outputs.

    Args:
        kernels: float32 [height, width, inputs, outputs], or [inputs, outputs] after `Flatten`,
            where `inputs` are places × channels.
        channels: channels of a network's input.
    """
    *sides, inputs, outputs = kernels[0].shape
    count, places = len(kernels), kernels[0].size // (channels * outputs)
    merged = np.zeros((places, count, channels, count, outputs), np.float32)
    for n, kernel in enumerate(kernels):
        merged[:, n, :, n] = kernel.reshape(places, channels, outputs)
    return merged.reshape(*sides, count * inputs, count * outputs)


def mean_kernel(kernels: Sequence[np.ndarray], channels: int) -> np.ndarray:
    """Return the kernel of a last layer whose outputs are the means of several networks' outputs.

    Args:
        kernels: float32 [inputs, outputs]; see `block_kernel`.
        channels: channels of a network's input.
    """
    outputs = kernels[0].shape[-1]
    parts = [kernel.reshape(-1, channels, outputs) for kernel in kernels]
    return np.stack(parts, axis=1).reshape(-1, outputs) / np.float32(len(kernels))
