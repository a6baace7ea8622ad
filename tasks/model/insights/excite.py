"""Stage: network → for each class the input that excites its logit most."""

from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.checkpoint import restore_network, write_tensors
from tasks.model.device import load_tensorflow
from tasks.records import Excitation, Network, Shape

if TYPE_CHECKING:
    import keras

STEPS = 200
STEP_SIZE = 0.05
"""Adam's, for images whose pixels are sigmoids: they come near the top in 200 steps."""
BLUR = 1.0
INK = 4.0
"""Standard deviation of the blur in pixels, for images of 28 × 28 (for others in proportion), and
what a wholly black picture costs, as a multiple of the logit that is reached without a price: so
the price suits networks with large and with small logits. Chosen by eye: without the first the
images are ragged, without the second full of specks that excite little."""
REFERENCE = 28
SEED = 0


def blur_kernel(shape: Shape) -> np.ndarray:
    """Return a Gaussian filter, float32 [size, size, 1, 1], that adds up to 1."""
    from scipy.signal.windows import gaussian

    sigma = BLUR * min(shape.height, shape.width) / REFERENCE
    window = np.asarray(gaussian(2 * ceil(3 * sigma) + 1, sigma))
    kernel = np.outer(window, window)
    return np.asarray(kernel / kernel.sum(), np.float32)[..., np.newaxis, np.newaxis]


def exciting_images(network: "keras.Sequential", shape: Shape) -> np.ndarray:
    """Return images that maximise the logit of each class, by gradient ascent from noise.

    Gradient ascent on the input, as in K. Simonyan, A. Vedaldi, A. Zisserman, "Deep inside
    convolutional networks", 2013. The images are blurred, which keeps out the high frequencies
    that excite a network without resembling a digit, and ink is penalised.

    Args:
        network: from float32 [n, height, width, 1] in [0, 1] to logits.
        shape: size of the images and number of classes.

    Returns:
        float32 [classes, height, width] in [0, 1], 1 is ink.
    """
    tf = load_tensorflow()
    import keras

    classes, kernel = tf.range(shape.classes), tf.constant(blur_kernel(shape))
    price = tf.Variable(0.0)
    # The same noise for every class, mostly white.
    noise = np.random.default_rng(SEED).normal(-2, 0.3, (shape.height, shape.width, 1))
    canvas = keras.Variable(np.tile(noise, (shape.classes, 1, 1, 1)), dtype="float32")
    adam = keras.optimizers.Adam(STEP_SIZE)
    adam.build([canvas])

    def images() -> Any:
        return tf.sigmoid(tf.nn.conv2d(canvas.value, kernel, 1, "SAME"))

    @tf.function  # type: ignore[untyped-decorator]
    def climb() -> Any:
        with tf.GradientTape() as tape:
            drawn = images()
            logits = tf.gather(network(drawn), classes, batch_dims=1)
            loss = price * tf.reduce_sum(drawn) - tf.reduce_sum(logits)
        adam.apply([tape.gradient(loss, canvas.value)], [canvas])
        return tf.reduce_mean(logits)

    for _ in range(STEPS):
        reached = climb()
    price.assign(INK * reached / (shape.height * shape.width))
    for _ in range(STEPS):
        climb()
    return np.asarray(images())[..., 0]


@stage()
def excite(work: Workspace, network: Network) -> Excitation:
    """Compute for each class the input that maximises its logit."""
    tf = load_tensorflow()
    model = restore_network(network, work.input(network.checkpoint))
    images = exciting_images(model, network.shape)
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
