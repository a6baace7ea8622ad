"""Read pictures in batches from files: pictures of any usual format, IDX, and Parquet.

The content of a file determines its format, not its name. A file that cannot be read is reported
in one line that names it.
"""

import gzip
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tasks.data.decode import (
    MOST_PIXELS,
    START,
    SUFFIXES,
    decode_picture,
    describe_format,
    open_regular,
    picture_format,
    printable,
    read_whole,
)
from tasks.data.idx import GZIP_MAGIC, IDX_START, IMAGE_RANK, LABEL_RANK, parse_header
from tasks.records import Shape
from tasks.runtime.errors import PipelineError
from tasks.scoring.contact_sheet import is_contact_sheet
from tasks.scoring.tables import PARQUET_MAGIC, read_parquet
from tasks.words import plural

NAMED = 3  # files of other kinds whose names are said


@dataclass(frozen=True)
class ImageBatch:
    """Pictures of one file."""

    file: str
    """Path, printable."""
    rows: np.ndarray
    """int64 [n]: place of each picture in the file, from 0."""
    images: Sequence[np.ndarray] | np.ndarray
    """uint8 [h, w] each, of any size."""
    single: bool = False
    """Whether the file is one picture."""
    notes: str = ""
    """Facts about decoding, for the column `fit`."""


@dataclass
class Reports:
    """What there is to say about files that were not scored, one line each."""

    problems: list[str] = field(default_factory=list)
    """Files, or parts of files, that were meant to be scored."""
    notes: list[str] = field(default_factory=list)
    """Files in folders that are no pictures."""


def find_files(path: Path, reports: Reports) -> Iterator[Path]:
    """Yield a file, or the pictures in a folder at any depth, sorted.

    Hidden files and folders (`.ipynb_checkpoints`) are skipped. Links are followed, but no folder
    is read twice.

    Args:
        path: a file or a folder.
        reports: gets a line about the other files of a folder, and about folders within it that
            cannot be read.

    Raises:
        PipelineError: it does not exist, or is a folder without pictures.
        OSError: it cannot be read.
    """
    try:
        facts = path.stat()
    except FileNotFoundError as error:
        raise PipelineError(f"{printable(path)}: no such file or folder") from error
    if not stat.S_ISDIR(facts.st_mode):
        yield path
        return
    pictures: list[Path] = []
    others: list[Path] = []
    for file in walk(path, reports):
        (pictures if file.suffix.lower() in SUFFIXES else others).append(file)
    if not pictures:
        found = f"; {name_others(others)}" if others else ""
        raise PipelineError(f"{printable(path)}: no picture in this folder{found}")
    if others:
        reports.notes.append(f"{printable(path)}: {name_others(others)}")
    yield from pictures


def walk(folder: Path, reports: Reports) -> Iterator[Path]:
    """Yield the files of a folder at any depth, sorted, without hidden ones."""

    def add_problem(error: OSError) -> None:
        reports.problems.append(f"{printable(error.filename)}: {say_error(error)}")

    seen = set()
    for place, folders, files in os.walk(folder, onerror=add_problem, followlinks=True):
        facts = Path(place).stat()
        if (facts.st_dev, facts.st_ino) in seen:
            folders.clear()
            continue
        seen.add((facts.st_dev, facts.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if not name.startswith("."))


def name_others(files: list[Path]) -> str:
    """Return words about files of a folder that are no pictures."""
    names = ", ".join(printable(file.name) for file in files[:NAMED])
    more = ", …" if len(files) > NAMED else ""
    return f"{plural(len(files), 'other file')} left out ({names}{more})"


def say_error(error: OSError) -> str:
    """Return the system's words for an error."""
    return (error.strerror or "unreadable").lower()


def read_batches(
    paths: list[str], shape: Shape, size: int, reports: Reports
) -> Iterator[ImageBatch]:
    """Yield the pictures of files and folders, at most `size` at a time.

    Args:
        paths: files and folders.
        shape: size of the champion's images, for tables that do not tell their own.
        size: largest number of pictures in a batch.
        reports: gets a line for each file that cannot be read.
    """
    for path in paths:
        try:
            for file in find_files(Path(path), reports):
                yield from read_file(file, shape, size, reports)
        except OSError as error:
            name = printable(error.filename or path)
            reports.problems.append(f"{name}: {say_error(error)}")
        except ValueError as error:  # a null byte in the name
            reports.problems.append(f"{printable(path)}: {error}")
        except PipelineError as error:
            reports.problems.append(str(error))


def read_file(path: Path, shape: Shape, size: int, reports: Reports) -> Iterator[ImageBatch]:
    """Yield the pictures of one file; those before a damaged place are yielded too."""
    count = 0
    try:
        for batch in open_images(path, shape, size, reports):
            yield batch
            count += len(batch.images)
    except (PipelineError, OSError) as error:
        name = printable(path)
        reason = f"{name}: {say_error(error)}" if isinstance(error, OSError) else str(error)
        before = plural(count, "image before that is", "images before that are")
        reports.problems.append(reason + (f" ({before} scored)" if count else ""))


def open_images(path: Path, shape: Shape, size: int, reports: Reports) -> Iterator[ImageBatch]:
    """Yield the pictures of one file.

    Raises:
        PipelineError: the format is unknown, or the file is damaged.
        OSError: it cannot be read.
    """
    name = printable(path)
    with open_regular(path) as file:
        start = file.read(START)
        if picture_format(start):
            data = read_whole(file, name)
            if is_contact_sheet(data):
                reports.notes.append(f"{name}: a contact sheet, left out")
                return
            decoded = decode_picture(data, name)
            notes = ", ".join(decoded.notes)
            yield ImageBatch(name, np.zeros(1, np.int64), [decoded.pixels], True, notes)
        elif start.startswith(PARQUET_MAGIC):
            for rows, images in read_parquet(path, shape, size, reports.problems.append):
                yield ImageBatch(name, rows, images)
        elif start.startswith((GZIP_MAGIC, IDX_START)):
            file.seek(0)
            first = 0
            for part in read_idx_or_gzip(file, start, name, size):
                yield ImageBatch(name, np.arange(first, first + len(part)), part)
                first += len(part)
        else:
            raise PipelineError(f"{name}: {describe_format(start)}")


def read_idx_or_gzip(file: BinaryIO, start: bytes, name: str, size: int) -> Iterator[np.ndarray]:
    """Yield the images of an IDX file, gzipped or not; see `read_idx`."""
    if not start.startswith(GZIP_MAGIC):
        yield from read_idx(file, name, size)
        return
    try:
        with gzip.open(file) as unpacked:
            yield from read_idx(unpacked, name, size)
    except EOFError as error:
        raise PipelineError(f"{name}: truncated gzip") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise PipelineError(f"{name}: damaged gzip ({error})") from error


def read_idx(file: BinaryIO | gzip.GzipFile, name: str, size: int) -> Iterator[np.ndarray]:
    """Yield the images of an open IDX file, uint8 [n, height, width], n up to `size`.

    Raises:
        PipelineError: it is damaged or holds no images.
    """
    header = parse_header(file, name)
    if header.rank != IMAGE_RANK:
        kind = "labels" if header.rank == LABEL_RANK else f"arrays of rank {header.rank}"
        raise PipelineError(f"{name}: holds {kind}, not images")
    count, height, width = header.shape
    if not 0 < height * width <= MOST_PIXELS:
        raise PipelineError(f"{name}: images of {height:,} × {width:,} pixels")
    size = max(1, min(size, MOST_PIXELS // (height * width)))
    for first in range(0, count, size):
        wanted = min(size, count - first)
        data = file.read(wanted * height * width)
        whole = len(data) // (height * width)
        if whole:
            yield np.frombuffer(data[: whole * height * width], np.uint8).reshape(
                whole, height, width
            )
        if whole < wanted:
            raise PipelineError(f"{name}: truncated, {first + whole:,} of {count:,} images")
    if file.read(1):
        raise PipelineError(f"{name}: too long, more follows after {count:,} images")
