"""Stage: checkpoint × wrong images → which pixels speak for the wrong and for the true class."""

from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from tasks.data.dataset import read_split
from tasks.engine.models import FileRef
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.checkpoint import LIBRARIES, restore_network, write_tensors
from tasks.model.device import load_tensorflow
from tasks.records import Attribution, Checkpoint, Shape, Split
from tasks.settings import NetworkSettings

if TYPE_CHECKING:
    import keras

IMAGES = 9
"""How many of the errors are looked into, from the first."""
PLACES = 1024
"""At most so many squares of an image are covered in turn: what it costs does not grow with
the size of the image."""
BATCH = 256


def gradient_times_input(
    network: "keras.Sequential", images: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """What each pixel adds to the logit of a class, to first order.

    A. Shrikumar, P. Greenside, A. Kundaje, "Learning important features through propagating
    activation differences", ICML 2017, section 2. Where there is no ink it is nothing.

    Args:
        network: gives logits.
        images: float32 [n, height, width] in [0, 1].
        classes: int [n], whose logits.

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
    """Side of the square that is covered: about a sixth of the image, odd."""
    return 2 * (min(shape.height, shape.width) // 12) + 1


def covered(image: np.ndarray, patch: int) -> np.ndarray:
    """Copies of an image, each with a square of the background over another place.

    Args:
        image: float32 [height, width].
        patch: side of the square.

    Returns:
        float32 [rows, columns, height, width]: as many places as there are pixels, fewer if
        they are more than `PLACES`.
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
    """By how much the logits of some classes fall when a square of an image is covered.

    M. D. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014,
    section 4.2, with the background in place of their grey.

    Args:
        network: gives logits.
        images: float32 [n, height, width] in [0, 1].
        patch: side of the square, in pixels.
        classes: int [n, k], whose logits.

    Returns:
        float32 [k, n, rows, columns], in units of the logit; see `covered`.
    """
    tf = load_tensorflow()

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def logits(batch: Any) -> Any:
        return network(batch)

    falls = []
    for image, wanted in zip(images, classes, strict=True):
        copies = covered(image, patch)
        places = copies.shape[:2]
        # The whole image goes with them: alone, its sums would be made in another order.
        flat = np.concatenate([image[np.newaxis], *copies])[..., np.newaxis]
        parts = [np.asarray(logits(flat[i : i + BATCH])) for i in range(0, len(flat), BATCH)]
        whole, *without = np.concatenate(parts)[:, wanted]
        falls.append((whole - np.stack(without)).T.reshape(-1, *places))
    return np.stack(falls, axis=1)


@stage(libraries=(*LIBRARIES, "pyarrow"))
def attribute(
    work: Workspace,
    split: Split,
    shape: Shape,
    checkpoint: Checkpoint,
    network: NetworkSettings,
    predictions: FileRef,
) -> Attribution:
    """Ask of the first errors what misled the network.

    Args:
        work: inputs and outputs.
        split: the one that the predictions are of.
        shape: of its images.
        checkpoint: what predicted.
        network: its layers.
        predictions: as in `Evaluation`.
    """
    load_tensorflow()
    table = pq.read_table(work.input(predictions), columns=["label", "predicted"])
    true, predicted = table["label"].to_numpy(), table["predicted"].to_numpy()
    rows = np.flatnonzero(true != predicted)[:IMAGES]
    patch = patch_side(shape)
    tensors: dict[str, np.ndarray] = {}
    if len(rows):
        model = restore_network(work.input(checkpoint.file), network, shape)
        images = read_split(work.input(split.file)).images[rows].astype(np.float32) / 255
        pairs = np.stack([predicted[rows], true[rows]], axis=1)
        falls = occlusion(model, images, patch, pairs)
        for k, name in enumerate(("predicted", "true")):
            tensors[f"gradient/{name}"] = gradient_times_input(model, images, pairs[:, k])
            tensors[f"occlusion/{name}"] = falls[k]
    write_tensors(tensors, work.output("attribution.safetensors"))
    return Attribution(
        file=work.finished("attribution.safetensors"),
        test_images=tuple(rows.tolist()),
        predicted=tuple(predicted[rows].tolist()),
        patch=patch,
    )
