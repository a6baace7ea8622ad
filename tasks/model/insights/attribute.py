"""Stage: network × wrong images → which pixels speak for the wrong and for the true class."""

from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.data.dataset import read_split
from tasks.engine.models import FileRef
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.checkpoint import restore_network, write_tensors
from tasks.model.device import load_tensorflow
from tasks.model.prediction_table import read_predictions
from tasks.records import Attribution, Network, Shape, Split

if TYPE_CHECKING:
    import keras

IMAGES = 9
"""Number of errors to explain, from the first."""
PLACES = 1024
"""Approximate limit of the places per image, so that the cost does not grow with its size."""
BATCH = 256


def gradient_times_input(
    network: "keras.Sequential", images: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """Return the contribution of each pixel to the logit of a class, to first order.

    A. Shrikumar, P. Greenside, A. Kundaje, "Learning important features through propagating
    activation differences", ICML 2017, section 2. Pixels without ink contribute 0.

    Args:
        network: returns logits.
        images: float32 [n, height, width] in [0, 1].
        classes: int [n], class of each image.

    Returns:
        float32 [n, height, width], in units of the logit.
    """
    tf = load_tensorflow()
    pixels = tf.constant(images[..., np.newaxis])
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        logits = tf.gather(network(pixels), classes.astype(np.int32), batch_dims=1)
    return np.asarray(tape.gradient(logits, pixels) * pixels)[..., 0]


def patch_side(shape: Shape) -> int:
    """Return the side of the occluding square: odd, about a sixth of the image."""
    return 2 * (min(shape.height, shape.width) // 12) + 1


def occluded_copies(image: np.ndarray, patch: int) -> np.ndarray:
    """Return copies of an image, each with a background square at another place.

    Args:
        image: float32 [height, width].
        patch: side of the square.

    Returns:
        float32 [rows, columns, height, width]: one place per pixel, or at most about `PLACES`
        in larger images.
    """
    height, width = image.shape
    stride = ceil(sqrt(height * width / PLACES))
    rows = np.arange(stride // 2, height, stride)
    columns = np.arange(stride // 2, width, stride)
    copies = np.tile(image, (len(rows), len(columns), 1, 1))
    half = patch // 2
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            top, left = max(0, row - half), max(0, column - half)
            copies[i, j, top : row + half + 1, left : column + half + 1] = 0
    return copies


def occlusion(
    network: "keras.Sequential", images: np.ndarray, patch: int, classes: np.ndarray
) -> np.ndarray:
    """Return the drop of the logits of some classes when a square of an image is occluded.

    M. D. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014,
    section 4.2, with the background instead of their grey.

    Args:
        network: returns logits.
        images: float32 [n, height, width] in [0, 1].
        patch: side of the square, in pixels.
        classes: int [n, k], classes of each image.

    Returns:
        float32 [k, n, rows, columns], in units of the logit; see `occluded_copies`.
    """
    tf = load_tensorflow()

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def logits(batch: Any) -> Any:
        return network(batch)

    drops = []
    for image, explained in zip(images, classes, strict=True):
        copies = occluded_copies(image, patch)
        places = copies.shape[:2]
        # The whole image is in the batch: alone, its sums would be in another order.
        flat = np.concatenate([image[np.newaxis], *copies])[..., np.newaxis]
        parts = [np.asarray(logits(flat[i : i + BATCH])) for i in range(0, len(flat), BATCH)]
        whole, *without = np.concatenate(parts)[:, explained]
        drops.append((whole - np.stack(without)).T.reshape(-1, *places))
    return np.stack(drops, axis=1)


@stage()
def attribute(
    work: Workspace,
    split: Split,
    network: Network,
    predictions: FileRef,
) -> Attribution:
    """Compute which pixels of the first errors speak for the wrong and for the true class."""
    load_tensorflow()
    table = read_predictions(work.input(predictions), ["label", "predicted"])
    true, predicted = table["label"].to_numpy(), table["predicted"].to_numpy()
    rows = np.flatnonzero(true != predicted)[:IMAGES]
    patch = patch_side(network.shape)
    tensors: dict[str, np.ndarray] = {}
    if len(rows):
        model = restore_network(network, work.input(network.checkpoint))
        images = read_split(work.input(split.file)).images[rows].astype(np.float32) / 255
        pairs = np.stack([predicted[rows], true[rows]], axis=1)
        drops = occlusion(model, images, patch, pairs)
        for k, name in enumerate(("predicted", "true")):
            tensors[f"gradient/{name}"] = gradient_times_input(model, images, pairs[:, k])
            tensors[f"occlusion/{name}"] = drops[k]
    write_tensors(tensors, work.output("attribution.safetensors"))
    return Attribution(
        file=work.finished("attribution.safetensors"),
        test_images=tuple(rows.tolist()),
        predicted=tuple(predicted[rows].tolist()),
        patch=patch,
    )
