"""Stage: exported model × training and validation split → what a score needs beside the model."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.data.dataset import read_split
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.calibration import choose_rows, fit_temperature, learn_familiar
from tasks.model.checkpoint import write_tensors
from tasks.model.device import load_tensorflow
from tasks.model.onnx_graph import write_onnx
from tasks.model.predictions import load_network
from tasks.records import Calibration, Model, Shape, Split

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


@stage()
def calibrate(
    work: Workspace, train: Split, validation: Split, shape: Shape, model: Model
) -> Calibration:
    """Measure how a model's probabilities and features are to be read."""
    network = load_network(work.input(model.file), shape)
    read = compile_reader(network, shape.height, shape.width)
    held_out = read_split(work.input(validation.file))
    features, logits = read_all(read, held_out.images)
    images = read_split(work.input(train.file)).images
    rows = choose_rows(len(images), features.shape[1])
    familiar = learn_familiar(read_all(read, images[rows])[0], features)
    temperature = fit_temperature(logits, held_out.labels)
    tensors = {
        "familiar": familiar.features,
        "limit": np.array(familiar.limit),
        "temperature": np.array(temperature),
    }
    write_tensors(tensors, work.output("calibration.safetensors"))
    write_onnx(network, work.output("model.onnx"), temperature)
    return Calibration(
        file=work.finished("calibration.safetensors"), onnx=work.finished("model.onnx")
    )
