"""Features (outputs of the last hidden layer) and logits of images."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.model.device import load_tensorflow

if TYPE_CHECKING:
    import keras

Reader = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From images, uint8 [n, height, width], to features, float32 [n, neurons], and logits, float32
[n, classes]."""


BATCH = 1024
"""Images per call of a reader, to bound memory."""


def compile_reader(network: "keras.Model", height: int, width: int) -> Reader:
    """Compile a network that gives features beside its logits.

    Args:
        network: gives logits for images in [0, 1]; its last layer with weights makes them.
        height: of the images.
        width: of the images.
    """
    import keras

    tf = load_tensorflow()
    last = next(layer for layer in reversed(network.layers) if layer.weights)
    both = keras.Model(network.inputs, [last.input, network.outputs[0]])
    pixels = tf.TensorSpec([None, height, width, 1], tf.uint8)

    @tf.function(input_signature=[pixels])  # type: ignore[untyped-decorator]
    def read_batch(images: Any) -> Any:
        return both(tf.cast(images, tf.float32) / 255.0, training=False)

    compiled = read_batch.get_concrete_function()

    def read(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features, logits = compiled(tf.constant(images[..., np.newaxis]))
        return features.numpy(), logits.numpy()

    return read


def read_all(read: Reader, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return features and logits of any number of images, one at least.

    Args:
        read: from `compile_reader`.
        images: uint8 [n, height, width].
    """
    parts = [read(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    return np.concatenate([f for f, _ in parts]), np.concatenate([x for _, x in parts])
