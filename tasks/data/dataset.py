"""Read Parquet splits as arrays, and compute the order of training batches."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
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


def image_shape(field: pa.Field) -> tuple[int, int] | None:
    """Return height and width of the images in a column; None if it has another form."""
    shape = re.fullmatch(rb"(\d{1,5}),(\d{1,5})", (field.metadata or {}).get(b"shape", b""))
    if not pa.types.is_fixed_size_binary(field.type) or not shape:
        return None
    height, width = map(int, shape.groups())
    return (height, width) if height * width == field.type.byte_width else None


def to_pixels(images: pa.FixedSizeBinaryArray, shape: tuple[int, int]) -> np.ndarray:
    """Return the images of a column, uint8 [n, height, width]: a read-only view."""
    pixels = np.frombuffer(images.buffers()[1], np.uint8)
    start, stop = images.offset, images.offset + len(images)
    return pixels.reshape(-1, *shape)[start:stop]


def read_split(path: Path) -> SplitArrays:
    """Return a split's arrays, read-only.

    For a file with one row group they are views of the decoded Parquet, without a second copy.

    Raises:
        ValueError: the file is not one of the project's splits.
    """
    table = pq.ParquetFile(path).read(columns=["index", "label", "image"]).combine_chunks()
    shape = image_shape(table.schema.field("image"))
    if shape is None:
        raise ValueError(f"{path}: its column `image` holds no images")
    # DLPack shares the memory, as `to_numpy` does, but imports no pandas.
    index, label = (np.from_dlpack(table[name].chunk(0)) for name in ("index", "label"))
    return SplitArrays(index, to_pixels(table["image"].chunk(0), shape), label)


def numbered_classes(classes: int) -> tuple[str, ...]:
    """Return the names of classes that have none: their numbers."""
    return tuple(str(c) for c in range(classes))


def epoch_order(seed: int, epoch: int, images: int) -> np.ndarray:
    """Return the order of the images in an epoch, a function of the arguments only.

    Philox is a counter-based generator: each (seed, epoch) has its own stream, and no earlier
    epoch needs to be drawn.

    Returns:
        int64 [images], rows of the training split.
    """
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, epoch], np.uint64)))
    return generator.permutation(images)


def batch_indices(seed: int, images: int, batch: int, start: int, stop: int) -> np.ndarray:
    """Return the images of the iterations start + 1 … stop.

    Batches are drawn without replacement from a fresh shuffle each epoch; a batch that meets
    the end of an epoch takes the rest of it and continues with the next.

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
