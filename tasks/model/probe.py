"""Stage: checkpoint × images → logits and gradients of an untrained network."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from tasks.data.dataset import read_split
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.checkpoint import restore_network
from tasks.model.device import load_tensorflow
from tasks.model.trainer import mean_loss
from tasks.records import Network, Probe, Split

if TYPE_CHECKING:
    import keras

IMAGES = 1024
"""Number of images that the outputs and gradients are of, from the first."""
FIRST = 16
"""Number of images whose logits are kept, so that those of two networks can be subtracted."""


def weight_gradients(
    network: "keras.Sequential", images: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Return the root mean square of the loss's gradient over each layer's weights.

    Args:
        network: returns logits.
        images: float32 [n, height, width, 1] in [0, 1].
        labels: int32 [n].

    Returns:
        By the name of each layer with a kernel, from the first.
    """
    tf = load_tensorflow()
    kernels = {
        layer.name: layer.kernel.value for layer in network.layers if hasattr(layer, "kernel")
    }
    with tf.GradientTape() as tape:
        loss = mean_loss(labels, network(images))
    gradients = tape.gradient(loss, kernels)
    return {
        name: float(np.sqrt(np.mean(np.square(np.asarray(gradient, np.float64)))))
        for name, gradient in gradients.items()
    }


@stage()
def probe(work: Workspace, split: Split, network: Network) -> Probe:
    """Compute the logits of some images, and the gradients of all weights."""
    load_tensorflow()
    data = read_split(work.input(split.file))
    images = data.images[:IMAGES, ..., np.newaxis].astype(np.float32) / 255
    model = restore_network(network, work.input(network.checkpoint))
    logits = np.asarray(model(images), np.float32)
    gradients = weight_gradients(model, images, data.labels[:IMAGES].astype(np.int32))
    return Probe(
        images=len(images),
        logits=hashlib.sha256(logits.tobytes()).hexdigest(),
        first_logits=tuple(logits[:FIRST].ravel().tolist()),
        layers=tuple(gradients),
        gradients=tuple(gradients.values()),
    )
