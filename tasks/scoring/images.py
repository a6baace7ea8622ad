"""Read images in batches from PNG, IDX (gzipped or not) and Parquet files.

The content of a file determines its format, not its name. Files with other images than the network
takes are reported in one line that names the file; nothing is resized.
"""

import gzip
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.dataset import image_shape, to_pixels
from tasks.data.idx import GZIP_MAGIC, IDX_START, IMAGE_RANK, LABEL_RANK, parse_header
from tasks.records import Shape
from tasks.runtime.errors import PipelineError

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"  # W3C, Portable Network Graphics, section 5.2
PARQUET_MAGIC = b"PAR1"
LEVELS_16_TO_8 = 257  # 65,535 / 255


@dataclass(frozen=True)
class ImageBatch:
    """Consecutive images of one file."""

    file: str
    first_row: int
    images: np.ndarray
    """uint8 [n, height, width]."""


def find_files(paths: list[str]) -> Iterator[Path]:
    """Yield the files; a folder stands for all PNG files in it, at any depth.

    Raises:
        PipelineError: a path does not exist, or a folder holds no PNG file. This ends the
            generator: pass one path at a time to go on with the next.
    """
    for path in map(Path, paths):
        if path.is_dir():
            pictures = sorted(p for p in path.rglob("*") if p.suffix.lower() == ".png")
            if not pictures:
                raise PipelineError(f"{path}: no PNG file in this folder")
            yield from pictures
        elif path.exists():
            yield path
        else:
            raise PipelineError(f"{path}: no such file or folder")


def read_batches(
    paths: list[str], shape: Shape, size: int, report_problem: Callable[[str], None]
) -> Iterator[ImageBatch]:
    """Yield the images of files and folders, at most `size` at a time.

    Args:
        paths: files and folders.
        shape: expected size of the images.
        size: largest number of images in a batch.
        report_problem: called with one line for each file that cannot be read.
    """
    for path in paths:
        try:
            for file in find_files([path]):
                yield from read_file(file, shape, size, report_problem)
        except OSError as error:
            report_problem(f"{path}: {(error.strerror or 'unreadable').lower()}")
        except PipelineError as error:
            report_problem(str(error))


def read_file(
    path: Path, shape: Shape, size: int, report_problem: Callable[[str], None]
) -> Iterator[ImageBatch]:
    """Yield the images of one file; those before a damaged place are yielded too."""
    row = 0
    try:
        for images in open_images(path, shape, size):
            yield ImageBatch(str(path), row, images)
            row += len(images)
    except (PipelineError, OSError) as error:
        reason = f"{path}: {error.strerror or error}" if isinstance(error, OSError) else str(error)
        report_problem(reason + (f" (the {row:,} images before that are scored)" if row else ""))


def open_images(path: Path, shape: Shape, size: int) -> Iterator[np.ndarray]:
    """Yield the images of one file as uint8 [n, height, width], n up to `size`.

    Raises:
        PipelineError: the format is unknown, the file is damaged, or the images have another size.
    """
    with path.open("rb") as file:
        start = file.read(len(PNG_MAGIC))
    if start == PNG_MAGIC:
        yield read_png(path, shape)[np.newaxis]
    elif start.startswith(PARQUET_MAGIC):
        yield from read_parquet(path, shape, size)
    elif start.startswith(GZIP_MAGIC):
        yield from read_gzip(path, shape, size)
    elif start.startswith(IDX_START):
        with path.open("rb") as file:
            yield from read_idx(file, path, shape, size)
    else:
        what = f"begins with {start[:4].hex(' ')}" if start else "the file is empty"
        raise PipelineError(f"{path}: neither PNG, IDX nor Parquet, {what}")


def check_shape(path: Path, height: int, width: int, shape: Shape) -> None:
    """Check that images have the size that the champion takes.

    Raises:
        PipelineError: they have another size.
    """
    if (height, width) != (shape.height, shape.width):
        raise PipelineError(
            f"{path}: {height} × {width} pixels; the champion takes {shape.height} × {shape.width}"
        )


def read_png(path: Path, shape: Shape) -> np.ndarray:
    """Return a grey PNG as uint8 [height, width].

    Palettes, RGB with equal channels and opaque alpha count as grey; 16 bits are scaled to 8.

    Raises:
        PipelineError: it is damaged, of another size, in colour or partly transparent.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():  # about sizes, which are checked below
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(path)
        with opened as picture:
            check_shape(path, picture.height, picture.width, shape)  # before decoding
            mode = picture.mode
            if mode.startswith("I"):
                wide = np.asarray(picture).astype(np.float64)
                return np.rint(wide / LEVELS_16_TO_8).astype(np.uint8)
            channels = np.asarray(picture.convert("RGBA"))
    except (UnidentifiedImageError, SyntaxError, ValueError, zlib.error, struct.error) as error:
        raise PipelineError(f"{path}: damaged PNG ({error})") from error
    except Image.DecompressionBombError as error:
        raise PipelineError(f"{path}: far too large for a picture of a digit") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise PipelineError(f"{path}: damaged PNG ({error})") from error
    if (channels[..., 3] != 255).any():
        raise PipelineError(f"{path}: partly transparent; save it without an alpha channel")
    if (channels[..., :3] != channels[..., :1]).any():
        raise PipelineError(f"{path}: in colour; save it in shades of grey")
    return np.ascontiguousarray(channels[..., 0])


def read_gzip(path: Path, shape: Shape, size: int) -> Iterator[np.ndarray]:
    """Yield the images of a gzipped IDX file."""
    try:
        with gzip.open(path, "rb") as file:
            yield from read_idx(file, path, shape, size)
    except EOFError as error:
        raise PipelineError(f"{path}: truncated gzip") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise PipelineError(f"{path}: damaged gzip ({error})") from error


def read_idx(
    file: BinaryIO | gzip.GzipFile, path: Path, shape: Shape, size: int
) -> Iterator[np.ndarray]:
    """Yield the images of an open IDX file, read batch by batch."""
    header = parse_header(file, str(path))
    if header.rank != IMAGE_RANK:
        kind = "labels" if header.rank == LABEL_RANK else f"arrays of rank {header.rank}"
        raise PipelineError(f"{path}: holds {kind}, not images")
    count, height, width = header.shape
    check_shape(path, height, width, shape)
    for first in range(0, count, size):
        wanted = min(size, count - first)
        data = file.read(wanted * height * width)
        whole = len(data) // (height * width)
        if whole:
            yield np.frombuffer(data[: whole * height * width], np.uint8).reshape(
                whole, height, width
            )
        if whole < wanted:
            raise PipelineError(f"{path}: truncated, {first + whole:,} of {count:,} images")
    if file.read(1):
        raise PipelineError(f"{path}: too long, more follows after {count:,} images")


def read_parquet(path: Path, shape: Shape, size: int) -> Iterator[np.ndarray]:
    """Yield the images of a Parquet file with a column `image` as in the project's splits."""
    try:
        with pq.ParquetFile(path) as file:
            field = file.schema_arrow.field("image")
            image_size = image_shape(field)
            if image_size is None:
                raise PipelineError(
                    f"{path}: its column `image` holds {field.type}; expected are the"
                    " bytes of each image (fixed_size_binary) and the metadata `shape`"
                )
            check_shape(path, *image_size, shape)
            for batch in file.iter_batches(size, columns=["image"]):
                column = batch.column("image")
                if column.null_count:
                    raise PipelineError(f"{path}: images are missing (null)")
                yield to_pixels(column, image_size)
    except KeyError as error:
        raise PipelineError(f"{path}: no column `image`") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise PipelineError(f"{path}: damaged Parquet ({str(error).splitlines()[0]})") from error
