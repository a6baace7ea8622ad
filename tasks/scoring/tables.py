"""Images from Parquet files as this project, pandas, polars, DuckDB and Hugging Face write them.

An image is a cell with a whole picture file, its bytes row by row, or a list of numbers, nested or
not; or a row of many numeric columns, one for each pixel.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.data.dataset import image_shape, to_pixels
from tasks.data.decode import (
    START,
    colour_to_grey,
    decode_picture,
    picture_format,
    printable,
    scale_levels,
)
from tasks.data.sources.tables import is_list, is_number
from tasks.records import Shape
from tasks.runtime.errors import PipelineError
from tasks.words import plural

PARQUET_MAGIC = b"PAR1"
PREDICTIONS = b"mnist.predictions"
"""Key in the metadata of a predictions file, whose value is the version of its columns."""
FORMER_COLUMNS = ["file", "row", "predicted", "inverted", "champion"]
"""First columns of predictions files of earlier versions, which have no such metadata."""
NAMES = ("image", "img", "picture", "pixels")  # usual names of the column, most usual first
PIXEL = re.compile(r"\D*\d+(x\d+)?")  # usual names of columns of pixels: pixel0, 1x1, 0
COLOURS = 3

Images = Sequence[np.ndarray] | np.ndarray
"""uint8 [height, width] each."""
Cells = Sequence[np.ndarray | str] | np.ndarray
"""For each row an image, uint8 [height, width], or what is wrong with it."""


def is_predictions_schema(schema: pa.Schema) -> bool:
    """Tell whether a Parquet file is an earlier output of scoring."""
    known = PREDICTIONS in (schema.metadata or {})
    return known or schema.names[: len(FORMER_COLUMNS)] == FORMER_COLUMNS


def read_parquet(
    path: Path, shape: Shape, size: int, report: Callable[[str], None]
) -> Iterator[tuple[np.ndarray, Images]]:
    """Yield the images of a Parquet file.

    Args:
        path: of the file.
        shape: size of the images where the file does not tell.
        size: largest number of rows at a time.
        report: called with one line about rows without a readable image.

    Yields:
        Rows, int64 [n] from 0, and their images, uint8 [height, width] each.

    Raises:
        PipelineError: the file is damaged or holds no images.
    """
    name = printable(path)
    bad: list[str] = []
    try:
        with pq.ParquetFile(path) as file:
            columns, read_cells = choose_columns(file.schema_arrow, shape, name)
            first = 0
            for batch in file.iter_batches(size, columns=columns):
                rows = np.arange(first, first + len(batch))
                first += len(batch)
                yield keep_images(rows, read_cells(batch), bad)
    except (pa.ArrowException, OSError) as error:
        raise PipelineError(f"{name}: damaged Parquet ({str(error).splitlines()[0]})") from error
    finally:
        if bad:
            more = f", and {plural(len(bad) - 1, 'more row')} left out" if len(bad) > 1 else ""
            report(f"{name}: {bad[0]}{more}")


def keep_images(rows: np.ndarray, cells: Cells, bad: list[str]) -> tuple[np.ndarray, Images]:
    """Return rows and images without those that are no good, which are added to `bad`."""
    if isinstance(cells, np.ndarray):
        return rows, cells
    bad += [
        f"row {row}: {cell}" for row, cell in zip(rows, cells, strict=True) if isinstance(cell, str)
    ]
    good = [i for i, cell in enumerate(cells) if not isinstance(cell, str)]
    return rows[good], [cell for cell in cells if not isinstance(cell, str)]


def choose_columns(
    schema: pa.Schema, shape: Shape, name: str
) -> tuple[list[str], Callable[[pa.RecordBatch], Cells]]:
    """Choose the columns that hold the images.

    Args:
        schema: of the file.
        shape: size of the images where the file does not tell.
        name: of the file, for errors.

    Returns:
        Their names, and a function that reads a batch of them.

    Raises:
        PipelineError: there is none.
    """
    if is_predictions_schema(schema):
        raise PipelineError(f"{name}: predictions of an earlier run, not images")
    usual = [n for n in NAMES if n in schema.names]
    for column in [*usual, *(n for n in schema.names if n not in usual)]:
        if read := column_reader(schema.field(column), shape):
            return [column], lambda batch: read(batch.column(0))
    pixels = [f.name for f in schema if is_number(f.type) and PIXEL.fullmatch(f.name)]
    if guess_size(len(pixels), shape):
        return pixels, lambda batch: cells_of_numbers(
            np.stack([column.to_numpy(zero_copy_only=False) for column in batch.columns], 1), shape
        )
    found = ", ".join(printable(n) for n in schema.names[:8])
    raise PipelineError(f"{name}: no column of images, such as `image`; there are {found}")


def column_reader(field: pa.Field, shape: Shape) -> Callable[[pa.Array], Cells] | None:
    """Return a function that reads the images of a column; None if it can hold none."""
    kind = field.type
    if size := image_shape(field):
        return lambda column: (
            to_pixels(column, size) if not column.null_count else cells_of_bytes(column, shape)
        )
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return lambda column: cells_of_bytes(pc.struct_field(column, "bytes"), shape)
    if is_binary(kind):
        return lambda column: cells_of_bytes(column, shape)
    inner = kind
    while is_list(inner):
        inner = inner.value_type
    if is_list(kind) and is_number(inner):
        return lambda column: cells_of_lists(column, shape)
    return None


def is_binary(kind: pa.DataType) -> bool:
    """Tell a type of bytes."""
    tests = ("is_binary", "is_large_binary", "is_fixed_size_binary", "is_binary_view")
    return any(getattr(pa.types, test)(kind) for test in tests)


def guess_size(values: int, shape: Shape) -> tuple[int, int] | None:
    """Return height and width of an image of so many pixels: the champion's, or a square."""
    if values == shape.height * shape.width:
        return shape.height, shape.width
    side = math.isqrt(values)
    return (side, side) if side * side == values and side > 1 else None


def cells_of_bytes(column: pa.Array, shape: Shape) -> Cells:
    """Read cells that hold picture files, or pixels row by row."""
    return [read_bytes(cell.as_py(), shape) for cell in column]


def read_bytes(data: bytes | None, shape: Shape) -> np.ndarray | str:
    """Read one cell of bytes: a picture file, or pixels row by row."""
    if not data:
        return "no image (null)" if data is None else "no image (0 bytes)"
    if picture_format(data[:START]):
        try:
            return decode_picture(data, "picture").pixels
        except PipelineError as error:
            return str(error).removeprefix("picture: ")
    if size := guess_size(len(data), shape):
        return np.frombuffer(data, np.uint8).reshape(size)
    return f"no picture that is known, {len(data):,} bytes"


def cells_of_lists(column: pa.Array, shape: Shape) -> Cells:
    """Read cells that hold lists of numbers, nested or not."""
    sizes = []
    values = column
    while is_list(values.type) and not values.null_count:
        lengths = pc.unique(pc.list_value_length(values))
        if len(lengths) != 1:
            break
        sizes.append(lengths[0].as_py())
        values = values.flatten()
    else:
        if not values.null_count:
            numbers = values.to_numpy(zero_copy_only=False)
            return cells_of_numbers(numbers.reshape(len(column), *sizes), shape)
    return [read_list(cell.as_py(), shape) for cell in column]  # of several sizes, or with nulls


def read_list(cell: list[object] | None, shape: Shape) -> np.ndarray | str:
    """Read one cell that holds a list of numbers, nested or not."""
    if cell is None:
        return "no image (null)"
    try:
        numbers = np.array(cell, np.float64)
    except (TypeError, ValueError):
        return "rows of several lengths, or values that are missing"
    read = cells_of_numbers(numbers[np.newaxis], shape)
    return read[0]


def cells_of_numbers(numbers: np.ndarray, shape: Shape) -> Cells:
    """Turn arrays of numbers into images.

    Args:
        numbers: any number type, [n, pixels], [n, height, width], or that with one or three
            colours as last or first dimension of each image.
        shape: size of the images where that is not told.
    """
    n, *sizes = numbers.shape
    size = guess_size(sizes[0], shape) if len(sizes) == 1 else tuple(sizes)
    if not n or size is None or 0 in sizes or len(size) > COLOURS:
        return ["an array of " + " × ".join(map(str, sizes)) + " numbers, not an image"] * n
    if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
        return [
            "values that are missing (NaN)" if not np.isfinite(row).all() else read[0]
            for row in numbers
            for read in [cells_of_numbers(np.nan_to_num(row)[np.newaxis], shape)]
        ]
    images = numbers if numbers.dtype == np.uint8 else scale_levels(numbers)
    images = images.reshape(n, *size)
    if images.ndim == 3:
        return images
    if images.shape[1] in (1, COLOURS) and images.shape[3] not in (1, COLOURS):
        images = np.moveaxis(images, 1, 3)
    if images.shape[3] == 1:
        return images[..., 0]
    if images.shape[3] == COLOURS:
        return [colour_to_grey(image) for image in images]
    return ["an array of " + " × ".join(map(str, sizes)) + " numbers, not an image"] * n
