"""Stage: checkpoint → for each class the input that excites its logit most."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.model.checkpoint import LIBRARIES, restore_network, write_tensors
from tasks.model.device import load_tensorflow
from tasks.records import Checkpoint, Excitation, Shape
from tasks.settings import NetworkSettings
from tasks.stage import stage
from tasks.store import Workspace

if TYPE_CHECKING:
    import keras

STEPS = 150
STEP = 0.05
"""How far the steepest pixels go in one step, of the way from white to black."""
SMOOTHNESS = 0.25
SPARSENESS = 0.05
"""What a unit of total variation and of ink costs, in logits, for images of 28 × 28 pixels.
Chosen by eye: without them the images are noise that excites all the same."""
SEED = 0


def exciting_images(network: "keras.Sequential", shape: Shape) -> np.ndarray:
    """Climb from noise along the gradient of each class's logit.

    Gradient ascent on the input, as in K. Simonyan, A. Vedaldi, A. Zisserman, "Deep inside
    convolutional networks", 2013; total variation keeps it smooth, as in A. Mahendran and
    A. Vedaldi, "Understanding deep image representations by inverting them", CVPR 2015.

    Args:
        network: from float32 [n, height, width, 1] in [0, 1] to logits.
        shape: of its images.

    Returns:
        float32 [classes, height, width] in [0, 1], 1 is ink.
    """
    tf = load_tensorflow()
    classes = tf.range(shape.classes)

    @tf.function  # type: ignore[untyped-decorator]
    def climb(images: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = tf.gather(network(images), classes, batch_dims=1)
            cost = SMOOTHNESS * tf.image.total_variation(images)
            cost += SPARSENESS * tf.reduce_sum(images, axis=(1, 2, 3))
            gain = logits - cost
        gradient = tape.gradient(gain, images)
        steepest = tf.reduce_max(tf.abs(gradient), axis=(1, 2, 3), keepdims=True)
        return tf.clip_by_value(images + STEP * gradient / (steepest + 1e-12), 0.0, 1.0)

    noise = np.random.default_rng(SEED).uniform(0, 0.2, (shape.height, shape.width, 1))
    # The same noise for all, so that what differs is the class.
    images = tf.constant(np.tile(noise, (shape.classes, 1, 1, 1)), tf.float32)
    for _ in range(STEPS):
        images = climb(images)
    return np.asarray(images)[..., 0]


@stage(libraries=LIBRARIES)
def excite(
    work: Workspace, shape: Shape, checkpoint: Checkpoint, network: NetworkSettings
) -> Excitation:
    """Find out what each class looks for."""
    tf = load_tensorflow()
    model = restore_network(work.input(checkpoint.file), network, shape)
    images = exciting_images(model, shape)
    logits = np.asarray(model(images[..., np.newaxis]))
    write_tensors(
        {
            "images": images,
            "logits": np.diagonal(logits),
            "probabilities": np.diagonal(tf.nn.softmax(logits)),
        },
        work.output("excitation.safetensors"),
    )
    return Excitation(file=work.finished("excitation.safetensors"))
