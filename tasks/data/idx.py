"""The IDX format, both ways.

Big-endian: two zero bytes, a type code, the rank, `rank` 32-bit sizes, then the
values, last dimension fastest (http://yann.lecun.com/exdb/mnist/, "file formats").
Only unsigned bytes are read and written. Errors are `PipelineError`s that name the file.
"""

import gzip
import io
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tasks.runtime.errors import PipelineError

GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952, section 2.3.1
IDX_START = b"\0\0"
UNSIGNED_BYTE = 0x08
OTHER_TYPES = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
IMAGE_RANK = 3  # count, height, width
LABEL_RANK = 1  # count
MAX_BYTES = 2**30  # of an uncompressed file: twice EMNIST's largest, 697,932 images


@dataclass(frozen=True)
class Header:
    """The header of an IDX file of unsigned bytes."""

    shape: tuple[int, ...]

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def values(self) -> int:
        """Number of values, one byte each."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes of the header itself."""
        return 4 + 4 * self.rank

    @property
    def file_size(self) -> int:
        """Bytes of the whole uncompressed file."""
        return self.size + self.values

    def __str__(self) -> str:
        """Sizes and their product, for error messages."""
        return f"{' x '.join(map(str, self.shape))} = {self.values:,} bytes"


def parse_header(file: BinaryIO | gzip.GzipFile, name: str) -> Header:
    """Read the header of an open, uncompressed IDX file.

    Args:
        file: at its start; afterwards at the first value.
        name: name of the file in error messages.

    Raises:
        PipelineError: it is not IDX of unsigned bytes of rank 1 to 3, or its header is truncated.
    """
    magic = file.read(4)
    if not magic.startswith(IDX_START):
        raise PipelineError(f"{name}: not IDX, begins with {magic.hex(' ') or 'nothing'}")
    if len(magic) < 4:
        raise PipelineError(f"{name}: truncated header, {len(magic)} bytes")
    kind, rank = magic[2], magic[3]
    if kind in OTHER_TYPES:
        raise PipelineError(
            f"{name}: holds {OTHER_TYPES[kind]} values; only unsigned bytes (type 0x08) are read"
        )
    if kind != UNSIGNED_BYTE or rank == 0:
        raise PipelineError(
            f"{name}: wrong magic {magic.hex(' ')}; IDX of unsigned bytes has 00 00 08 <rank>"
        )
    if rank > IMAGE_RANK:
        raise PipelineError(f"{name}: wrong rank {rank}; images have 3, labels 1")
    sizes = file.read(4 * rank)
    header = 4 + len(sizes)
    if len(sizes) < 4 * rank:
        raise PipelineError(
            f"{name}: truncated header, {header} bytes where rank {rank} takes {4 + 4 * rank}"
        )
    return Header(struct.unpack(f">{rank}I", sizes))


def read_header(data: bytes, name: str) -> Header:
    """Read the header of an IDX file that may be gzipped, without decompressing the rest.

    Args:
        data: a whole file.
        name: name of the file in error messages.

    Raises:
        PipelineError: it is empty, neither gzip nor IDX, damaged, or its header is invalid.
    """
    if not data:
        raise PipelineError(f"{name}: the file is empty")
    if data.startswith(IDX_START):
        return parse_header(io.BytesIO(data), name)
    if not data.startswith(GZIP_MAGIC):
        page = "; it looks like a web page" if data.lstrip().startswith(b"<") else ""
        raise PipelineError(f"{name}: neither gzip nor IDX, begins with {data[:4].hex(' ')}{page}")
    with gzip_errors(name), gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        return parse_header(file, name)


def decompress(data: bytes, name: str) -> bytes:
    """Return the uncompressed IDX file; the content, not the name, says whether it is gzipped.

    At most as much is decompressed as the IDX header declares.

    Args:
        data: a whole file.
        name: name of the file in error messages.

    Raises:
        PipelineError: as `read_header`; more follows than the header declares, or the header
            declares more than `MAX_BYTES`.
    """
    header = read_header(data, name)
    if not data.startswith(GZIP_MAGIC):
        return data
    if header.file_size > MAX_BYTES:
        raise PipelineError(
            f"{name}: too large, its header says {header}; at most {MAX_BYTES:,} are read"
        )
    with gzip_errors(name), gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        content = file.read(header.file_size)
        if file.read(1):  # at the end this also compares the checksum
            raise PipelineError(f"{name}: too long, its header says {header} and more follow")
    return content


@contextmanager
def gzip_errors(name: str) -> Iterator[None]:
    """Turn errors of the gzip format into `PipelineError`."""
    try:
        yield
    except EOFError as error:
        raise PipelineError(f"{name}: truncated gzip; get the whole file again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise PipelineError(f"{name}: damaged gzip ({error}); get the file again") from error


def loads(data: bytes, name: str) -> np.ndarray:
    """Read an uncompressed IDX file.

    Args:
        data: a whole file.
        name: name of the file in error messages.

    Returns:
        uint8, with the sizes in the header; a read-only view of `data`.

    Raises:
        PipelineError: it is not IDX of unsigned bytes, its header is invalid or does not fit
            its data, or it holds nothing.
    """
    header = parse_header(io.BytesIO(data), name)
    found = len(data) - header.size
    if header.values != found:
        problem = "truncated" if found < header.values else "too long"
        raise PipelineError(
            f"{name}: {problem}, its header says {header} and {found:,} bytes follow"
        )
    if header.values == 0:
        raise PipelineError(f"{name}: holds no items")
    return np.frombuffer(data, np.uint8, offset=header.size).reshape(header.shape)


def dumps(array: np.ndarray) -> bytes:
    """Return an array as an IDX file.

    Args:
        array: uint8, of rank 1 to 255.
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
    """Check that these are images with one label each.

    Raises:
        PipelineError: a rank is wrong, the counts differ, or there are none.
    """
    check_rank(images.ndim, IMAGE_RANK, images_name)
    check_rank(labels.ndim, LABEL_RANK, labels_name)
    if images.size == 0:
        raise PipelineError(f"{images_name}: holds no images")
    if len(images) != len(labels):
        raise PipelineError(
            f"{labels_name}: {len(labels):,} labels for the {len(images):,} images in {images_name}"
        )


def check_rank(rank: int, expected: int, name: str) -> None:
    """Check the number of dimensions.

    Raises:
        PipelineError: `rank` is not the expected one.
    """
    if rank != expected:
        rule = {
            IMAGE_RANK: "images have 3 (count, height, width)",
            LABEL_RANK: "labels have 1 (count)",
        }[expected]
        raise PipelineError(f"{name}: wrong rank {rank}; {rule}")
