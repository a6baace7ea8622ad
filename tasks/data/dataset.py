"""Parquet → arrays, and the order in which batches come."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq


@dataclass(frozen=True)
class SplitArrays:
    """A split in memory."""

    index: np.ndarray
    """int32 [n]: row in the original file."""
    images: np.ndarray
    """uint8 [n, height, width]."""
    labels: np.ndarray
    """uint8 [n]."""


def read_split(path: Path) -> SplitArrays:
    """A split's arrays, read-only.

    Those of a file with one row group are views of what Parquet decoded, without a second copy.
    """
    table = pq.ParquetFile(path).read(columns=["index", "label", "image"]).combine_chunks()
    # DLPack shares the memory, as `to_numpy` does, but imports no pandas.
    index, label = (np.from_dlpack(table[name].chunk(0)) for name in ("index", "label"))
    images = table["image"].chunk(0)
    pixels = np.from_dlpack(images.storage.flatten())
    return SplitArrays(index, pixels.reshape(len(images), *images.type.shape), label)


def class_names(classes: int) -> list[str]:
    """Names of the classes: their numbers, since IDX files carry no others."""
    return [str(c) for c in range(classes)]


def epoch_order(seed: int, epoch: int, images: int) -> np.ndarray:
    """The order of the images in an epoch: int64 [images], a function of its arguments alone.

    Philox is a counter-based generator: each (seed, epoch) is a stream of its own, and no
    earlier epoch needs to be drawn.
    """
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, epoch], np.uint64)))
    return generator.permutation(images)


def batch_indices(seed: int, images: int, batch: int, start: int, stop: int) -> np.ndarray:
    """Which images the iterations start + 1 … stop are trained on.

    Batches are drawn without replacement from a fresh shuffle each epoch; a batch that meets
    the end of an epoch takes the rest of it and goes on into the next.

    Args:
        seed: of the order.
        images: in the training split.
        batch: images per iteration.
        start: iterations already done.
        stop: iterations done afterwards.

    Returns:
        int32 [stop - start, batch], rows of the training split.
    """
    first, last = start * batch, stop * batch
    epochs = range(first // images, -(-last // images))
    order = np.concatenate([epoch_order(seed, e, images) for e in epochs] or [np.empty(0, int)])
    offset = epochs.start * images
    return order[first - offset : last - offset].reshape(stop - start, batch).astype(np.int32)
