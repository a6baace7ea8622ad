"""The IDX format, both ways.

Big-endian: two zero bytes, a type code, the rank, `rank` 32-bit sizes, then the
values, last dimension fastest (http://yann.lecun.com/exdb/mnist/, "file formats").
Only unsigned bytes are read and written. Faults are `PipelineError`s that name the file.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from tasks.runtime.errors import PipelineError

GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952, section 2.3.1
IDX_START = b"\0\0"
UNSIGNED_BYTE = 0x08
OTHER_TYPES = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
IMAGE_RANK = 3  # count, height, width
LABEL_RANK = 1  # count


def decompress(data: bytes, name: str) -> bytes:
    """The IDX file in `data`, which may be gzipped; its content tells, not its name.

    Args:
        data: a whole file.
        name: how to call it in errors.

    Raises:
        PipelineError: it is empty, neither gzip nor IDX, or gzip that is damaged.
    """
    if not data:
        raise PipelineError(f"{name}: the file is empty")
    if data.startswith(IDX_START):
        return data
    if not data.startswith(GZIP_MAGIC):
        page = "; it looks like a web page" if data.lstrip().startswith(b"<") else ""
        raise PipelineError(f"{name}: neither gzip nor IDX, begins with {data[:4].hex(' ')}{page}")
    try:
        return gzip.decompress(data)
    except EOFError as error:
        raise PipelineError(f"{name}: truncated gzip; get the whole file again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise PipelineError(f"{name}: damaged gzip ({error}); get the file again") from error


def loads(data: bytes, name: str) -> np.ndarray:
    """Read an uncompressed IDX file.

    Args:
        data: a whole file.
        name: how to call it in errors.

    Returns:
        uint8, with the sizes in the header; a read-only view of `data`.

    Raises:
        PipelineError: it is not IDX of unsigned bytes, its header is truncated or does
            not fit its data, or it holds nothing.
    """
    if not data.startswith(IDX_START):
        raise PipelineError(f"{name}: not IDX, begins with {data[:4].hex(' ') or 'nothing'}")
    if len(data) < 4:
        raise PipelineError(f"{name}: truncated header, {len(data)} bytes")
    kind, rank = data[2], data[3]
    if kind in OTHER_TYPES:
        raise PipelineError(
            f"{name}: holds {OTHER_TYPES[kind]} values; only unsigned bytes (type 0x08) are read"
        )
    if kind != UNSIGNED_BYTE or rank == 0:
        raise PipelineError(
            f"{name}: wrong magic {data[:4].hex(' ')}; IDX of unsigned bytes has 00 00 08 <rank>"
        )
    start = 4 + 4 * rank
    if len(data) < start:
        raise PipelineError(
            f"{name}: truncated header, {len(data)} bytes where rank {rank} takes {start}"
        )
    shape = struct.unpack(f">{rank}I", data[4:start])
    wanted, found = math.prod(shape), len(data) - start
    if wanted != found:
        sizes = " x ".join(map(str, shape))
        fault = "truncated" if found < wanted else "too long"
        raise PipelineError(
            f"{name}: {fault}, its header says {sizes} = {wanted:,} bytes"
            f" and {found:,} bytes follow"
        )
    if wanted == 0:
        raise PipelineError(f"{name}: holds no items")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def dumps(array: np.ndarray) -> bytes:
    """An array as an IDX file.

    Args:
        array: uint8, any shape of rank 1 to 255.
    """
    if array.dtype != np.uint8 or array.ndim == 0:
        raise ValueError(f"IDX takes uint8 arrays, not {array.dtype} of rank {array.ndim}")
    magic = IDX_START + bytes([UNSIGNED_BYTE, array.ndim])
    return magic + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def read(path: Path) -> np.ndarray:
    """Read an IDX file, gzipped or not.

    Returns:
        uint8, with the sizes in the header; read-only.

    Raises:
        PipelineError: as `decompress` and `loads`; the message names the path.
    """
    return loads(decompress(path.read_bytes(), str(path)), str(path))


def read_pair(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read images and their labels.

    Returns:
        uint8 [n, height, width] and uint8 [n]; read-only.

    Raises:
        PipelineError: a file is not sound, or the two do not fit each other.
    """
    pair = read(images), read(labels)
    check_pair(*pair, str(images), str(labels))
    return pair


def check_pair(images: np.ndarray, labels: np.ndarray, images_name: str, labels_name: str) -> None:
    """Check that these are images and a label for each.

    Raises:
        PipelineError: a rank is wrong, the counts differ, or there are none.
    """
    check_rank(images, IMAGE_RANK, images_name)
    check_rank(labels, LABEL_RANK, labels_name)
    if images.size == 0:
        raise PipelineError(f"{images_name}: holds no images")
    if len(images) != len(labels):
        raise PipelineError(
            f"{labels_name}: {len(labels):,} labels for the {len(images):,} images in {images_name}"
        )


def check_rank(array: np.ndarray, rank: int, name: str) -> None:
    """Check the number of dimensions.

    Raises:
        PipelineError: it is another one.
    """
    if array.ndim != rank:
        what = {
            IMAGE_RANK: "images have 3 (count, height, width)",
            LABEL_RANK: "labels have 1 (count)",
        }[rank]
        raise PipelineError(f"{name}: wrong rank {array.ndim}; {what}")
