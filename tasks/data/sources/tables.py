"""Tables of images: CSV as from Kaggle, Parquet as from Hugging Face, pandas and others."""

import gzip
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from tasks.data import idx
from tasks.data.dataset import image_shape, to_pixels
from tasks.data.decode import decode_picture, printable
from tasks.data.resize import resize_to_square
from tasks.data.sources.files import MOST_UNPACKED, Files
from tasks.data.sources.idx_files import TRANSPOSED, nearest_to_top, transpose
from tasks.data.sources.labelled import (
    LABEL_NAMES,
    DataSet,
    LabelledImages,
    Role,
    combine,
    number_classes,
    role_of,
    small_labels,
    square_shape,
    whole_bytes,
)
from tasks.runtime.console import track
from tasks.runtime.errors import PipelineError

CSV_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
IMAGE_NAMES = ("image", "img", "images", "pixels", "x")
NUMBER_NAMES = ("", "index", "id", "unnamed: 0", "__index_level_0__")
"""Columns that number the rows, as pandas writes them."""
SEPARATORS = ",;\t"
OTHER_LABELS = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_boolean,
    pa.types.is_null,
)
"""Types of labels beside numbers: text, yes or no, and nothing at all."""


@dataclass(frozen=True)
class TableSet:
    """Tables with the split that their names tell."""

    kind: str
    """`CSV` or `Parquet`."""
    files: dict[Role, tuple[str, ...]]
    """Split → names of its files, in order."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files to read."""
        return tuple(name for names in self.files.values() for name in names)


@dataclass(frozen=True)
class Rows:
    """The rows of one table."""

    images: np.ndarray
    """uint8 [n, height, width]."""
    labels: pa.Array | None
    """Whole numbers or names; None if the table has none."""
    class_names: tuple[str, ...] = ()
    """In the order of the labels, if the table's metadata tell them."""
    order: np.ndarray | None = None
    """int [n], original positions of the rows, if the table tells them."""


def find_tables(
    names: Sequence[str], kind: str, suffixes: tuple[str, ...], label: str
) -> TableSet | None:
    """Find the tables of a data set among other files; None without any.

    A single table needs no particular name. Of several, the names or folders tell the splits.

    Args:
        names: of all files of the source.
        kind: `CSV` or `Parquet`.
        suffixes: of the tables' names.
        label: of the source, for the error.

    Raises:
        PipelineError: several data sets are there, none of them nearer to the top.
    """
    tables = [name for name in names if name.lower().endswith(suffixes)]
    if len(tables) == 1:
        return TableSet(kind, {"train": (tables[0],)})
    groups: dict[str, dict[Role, list[str]]] = {}
    for name in sorted(tables):
        if role := role_of(name):
            groups.setdefault(set_name(name), {}).setdefault(role, []).append(name)
    groups = {start: files for start, files in groups.items() if "train" in files}
    if not groups:
        return None
    nearest = groups[nearest_to_top([*groups], label)]
    return TableSet(kind, {role: tuple(files) for role, files in nearest.items()})


def set_name(name: str) -> str:
    """Return a table's path up to what tells its split.

    `mnist/train-00000-of-00001.parquet` and `mnist/test/0.parquet` belong to `mnist/`,
    `sign_mnist_train/sign_mnist_train.csv` to `sign_mnist`.
    """
    parts = name.split("/")
    if role_of(parts[-1]) is None:
        while parts and role_of(parts[-1]) is None:
            parts.pop()
        return "/".join(parts[:-1]) + "/" if len(parts) > 1 else ""
    folders = [part for part in parts[:-1] if role_of(part) is None]
    words = re.split(r"(?<=[^A-Za-z0-9])", parts[-1].lower())
    before = next(i for i, word in enumerate(words) if role_of(word))
    return "/".join([*folders, "".join(words[:before])])


def load_tables(chosen: TableSet, files: Files, image_size: int | None) -> DataSet:
    """Read the tables of all splits.

    Args:
        chosen: which ones.
        files: of the source.
        image_size: side that encoded pictures are brought to; None takes them as they are.

    Raises:
        PipelineError: a table is damaged, or holds no labelled images.
    """
    read = read_csv_rows if chosen.kind == "CSV" else read_parquet_rows
    role_by_name = {name: role for role, names in chosen.files.items() for name in names}
    rows: dict[Role, list[Rows]] = {}
    for name, data in files.read(frozenset(role_by_name)):
        rows.setdefault(role_by_name[name], []).append(read(data, files.place(name), image_size))
    notes: tuple[str, ...] = ()
    for role in [role for role, tables in rows.items() if any(t.labels is None for t in tables)]:
        if role == "train":
            raise PipelineError(f"{files.place(chosen.files[role][0])}: no column with labels")
        del rows[role]
        notes += (f"its {role} images have no labels and are left out",)
    parts, class_names = number_rows(rows, files)
    if set(parts) == {"train", "validation", "test"} and all_ordered(rows):
        parts = {"train": put_in_order(parts, rows), "test": parts["test"]}
    data_set, more = combine(parts, f"--source {files.label}")
    if all(name.rpartition("/")[2].lower().startswith(TRANSPOSED) for name in chosen.names):
        train, test = (
            LabelledImages(transpose(part.images), part.labels)
            for part in (data_set.train, data_set.test)
        )
        data_set = DataSet(train, test)
        more += ("EMNIST's images turned upright",)
    return DataSet(data_set.train, data_set.test, class_names, (*notes, *more))


def number_rows(
    rows: dict[Role, list[Rows]], files: Files
) -> tuple[dict[Role, LabelledImages], tuple[str, ...]]:
    """Join the tables of each split, and make numbers of labels that are names.

    Returns:
        The splits, and the names of the classes, if known.

    Raises:
        PipelineError: the images of a split have different sizes, or labels are not usable.
    """
    images = {role: join_images(tables, role, files) for role, tables in rows.items()}
    labels = {
        role: [value for table in tables for value in (table.labels or pa.array([])).to_pylist()]
        for role, tables in rows.items()
    }
    class_names = next((t.class_names for ts in rows.values() for t in ts if t.class_names), ())
    everything = [value for values in labels.values() for value in values]
    if any(value is None for value in everything):
        raise PipelineError(f"--source {files.label}: rows without label (null)")
    if any(isinstance(value, str) for value in everything):
        numbers, class_names = number_classes([str(v) for v in everything], files.label)
        class_names = tuple(map(printable, class_names))
    else:
        numbers = small_labels(np.array(everything), f"--source {files.label}")
    ends = np.cumsum([len(values) for values in labels.values()])[:-1]
    parts = dict(zip(labels, np.split(numbers, ends), strict=True))
    return {role: LabelledImages(images[role], parts[role]) for role in parts}, class_names


def join_images(tables: Sequence[Rows], role: Role, files: Files) -> np.ndarray:
    """Return the images of a split's tables, uint8 [n, height, width]."""
    if len(shapes := {table.images.shape[1:] for table in tables}) > 1:
        found = ", ".join(f"{height} × {width}" for height, width in sorted(shapes))
        raise PipelineError(f"--source {files.label}: {role} images of different sizes: {found}")
    return np.concatenate([table.images for table in tables])


def all_ordered(rows: dict[Role, list[Rows]]) -> bool:
    """Return whether all rows that may become training images tell their original positions."""
    return all(t.order is not None for role in ("train", "validation") for t in rows[role])


def put_in_order(parts: dict[Role, LabelledImages], rows: dict[Role, list[Rows]]) -> LabelledImages:
    """Join training and validation images in the order that they were split from."""
    joined = [parts[role] for role in ("validation", "train")]
    orders = [t.order for role in ("validation", "train") for t in rows[role]]
    order = np.argsort(np.concatenate([o for o in orders if o is not None]), kind="stable")
    images, labels = (
        np.concatenate([getattr(part, name) for part in joined]) for name in ("images", "labels")
    )
    return LabelledImages(images[order], labels[order])


@contextmanager
def arrow_errors(kind: str, name: str) -> Iterator[None]:
    """Turn errors of damaged tables into `PipelineError`."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PipelineError(f"{name}: damaged {kind} ({words[:200]})") from error


def read_csv_rows(data: bytes, name: str, _image_size: int | None) -> Rows:
    """Read a table of one image per row: a label, and a column for each pixel.

    Without a header, the first column is the label.

    Args:
        data: a whole file, gzipped or not.
        name: of the file, for errors.

    Raises:
        PipelineError: it is damaged, has no images, or pixels are not from 0 to 255.
    """
    if data.startswith(idx.GZIP_MAGIC):
        with idx.gzip_errors(name), gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            data = file.read(idx.MAX_BYTES + 1)
        if len(data) > idx.MAX_BYTES:
            raise PipelineError(f"{name}: too large when unpacked")
    first = data[: 2**20].split(b"\n", 1)[0].decode("utf-8-sig", "replace").strip()
    separator = max(SEPARATORS, key=first.count)
    header = [cell.strip().strip('"') for cell in first.split(separator)]
    has_names = is_header(header)
    if not has_names:
        header = ["label", *(f"pixel{number}" for number in range(len(header) - 1))]
    if len(set(header)) < len(header) or len(header) < 2:
        raise PipelineError(f"{name}: no table of a label and pixels; its first line: {first[:60]}")
    label = next((n for n in header if n.lower() in LABEL_NAMES), None)
    if label is None and has_names and is_square(len(header) - 1) and not is_square(len(header)):
        raise PipelineError(
            f"{name}: a column more than the pixels of a square image, and none called `label`;"
            " call the column with the labels so"
        )
    pixels = [n for n in header if n != label and n.lower() not in NUMBER_NAMES]
    table = parse_csv(data, separator, header, has_names, pixels, name)
    labels = label_column(table[label], name) if label else None
    return Rows(to_images(table, pixels, name), labels)


def is_header(cells: Sequence[str]) -> bool:
    """Return whether the first row of a table names its columns, perhaps by 0, 1, 2, …."""
    counted = [str(number) for number in range(len(cells))]
    numbers = all(re.fullmatch(r"-?[\d.]+", cell) for cell in cells)
    return not numbers or (len(cells) > 2 and list(cells) == counted)


def parse_csv(
    data: bytes, separator: str, header: list[str], has_names: bool, pixels: list[str], name: str
) -> pa.Table:
    """Parse a CSV file, its pixels as uint8 or, if need be, as float64."""
    for kind in (pa.uint8(), pa.float64()):
        options = pc_csv.ConvertOptions(column_types=dict.fromkeys(pixels, kind))
        try:
            return pc_csv.read_csv(
                pa.BufferReader(data),
                pc_csv.ReadOptions(column_names=header, skip_rows=int(has_names)),
                pc_csv.ParseOptions(delimiter=separator),
                options,
            )
        except pa.ArrowInvalid as error:
            words = str(error).splitlines()[0]
            problem = PipelineError(f"{name}: not a table of pixels from 0 to 255 ({words[:200]})")
            problem.__cause__ = error
    raise problem


def to_images(table: pa.Table, pixels: list[str], name: str) -> np.ndarray:
    """Return columns of pixels as images, uint8 [n, height, width].

    Columns called `1x1` … `28x28` (row and column) tell the size; else the images are square.
    """
    if table.num_rows == 0:
        raise PipelineError(f"{name}: no rows")
    places = [m for column in pixels if (m := re.fullmatch(r"(\d+)x(\d+)", column))]
    height, width = (len({place[axis] for place in places}) for axis in (1, 2))
    if height * width != len(pixels):
        height, width = square_shape(len(pixels), name)
    images = np.empty((table.num_rows, len(pixels)), np.uint8)
    for number, column in enumerate(pixels):
        if table[column].null_count:
            raise PipelineError(f"{name}: column {column} has rows without a value")
        images[:, number] = whole_bytes(table[column].to_numpy(), f"{name}: column {column}")
    return images.reshape(-1, height, width)


def read_parquet_rows(data: bytes, name: str, image_size: int | None) -> Rows:
    """Read a Parquet file in any usual form.

    Images are encoded pictures (binary, or Hugging Face's struct of bytes and path), pixels in
    lists, flat or nested, this project's own binary, or a column for each pixel.

    Args:
        data: a whole file.
        name: of the file, for errors.
        image_size: side that encoded pictures are brought to; None takes them as they are.

    Raises:
        PipelineError: it is damaged, or has no images.
    """
    with arrow_errors("Parquet", name):
        file = pq.ParquetFile(pa.BufferReader(data))
        size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups))
        if size > MOST_UNPACKED:
            raise PipelineError(f"{name}: too large, {size:,} bytes when unpacked")
        table = file.read().combine_chunks()
    if table.num_rows == 0:
        raise PipelineError(f"{name}: no rows")
    schema = table.schema
    label = pick(schema.names, LABEL_NAMES)
    image = pick([n for n in schema.names if n != label], IMAGE_NAMES)
    if image is not None and not pa.types.is_integer(schema.field(image).type):
        images = column_images(table, image, name, image_size)
    else:
        pixels = [n for n in schema.names if n != label and n.lower() not in NUMBER_NAMES]
        if not all(is_number(schema.field(n).type) for n in pixels):
            raise PipelineError(f"{name}: no images; its columns are {columns_text(schema)}")
        images = to_images(table, pixels, name)
    labels = label_column(table[label], name) if label else None
    if labels is not None and pc.unique(labels).to_pylist() == [-1]:
        labels = None  # Hugging Face's mark of test images without labels
    own = image is not None and image_shape(schema.field(image)) and "index" in schema.names
    order = table["index"].to_numpy() if own else None
    return Rows(images, labels, named_labels(schema, label), order)


def label_column(column: pa.ChunkedArray, name: str) -> pa.Array:
    """Return a column of labels.

    Args:
        column: whole numbers or names.
        name: of the file, for errors.

    Raises:
        PipelineError: it holds something else, or text that is no UTF-8.
    """
    labels = whole(column)
    if pa.types.is_dictionary(labels.type):
        labels = labels.dictionary_decode()
    kind = labels.type
    if not (is_number(kind) or any(test(kind) for test in OTHER_LABELS)):
        raise PipelineError(f"{name}: labels are {kind}, not numbers or names")
    with arrow_errors("table", name):
        labels.validate(full=True)
    return labels


def whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array."""
    joined = column.combine_chunks()
    return pa.concat_arrays(joined.chunks) if isinstance(joined, pa.ChunkedArray) else joined


def pick(columns: Sequence[str], usual: Sequence[str]) -> str | None:
    """Return the column with the first of the usual names, in any case of letters."""
    lower = {column.lower(): column for column in reversed(columns)}
    return next((lower[name] for name in usual if name in lower), None)


def is_number(kind: pa.DataType) -> bool:
    """Return whether a column holds numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def columns_text(schema: pa.Schema) -> str:
    """Name the columns of a table with their types, at most five."""
    fields = [f"{printable(field.name)} ({field.type})" for field in list(schema)[:5]]
    return ", ".join(fields) + (", …" if len(schema) > 5 else "")


def named_labels(schema: pa.Schema, label: str | None) -> tuple[str, ...]:
    """Return the class names in Hugging Face's metadata of a table; empty without any."""
    try:
        facts = json.loads((schema.metadata or {})[b"huggingface"])
        names = facts["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError):
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(map(printable, names))


def column_images(table: pa.Table, image: str, name: str, image_size: int | None) -> np.ndarray:
    """Return the images of a column, uint8 [n, height, width].

    Raises:
        PipelineError: it holds none, or some are missing.
    """
    column = whole(table[image])
    kind = column.type
    if column.null_count:
        raise PipelineError(f"{name}: {column.null_count:,} images are missing (null)")
    if shape := image_shape(table.schema.field(image)):
        return to_pixels(column, shape)
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return decode_all(pc.struct_field(column, "bytes"), name, image_size)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return decode_all(column, name, image_size)
    if pa.types.is_fixed_size_binary(kind):
        pixels = to_pixels(column, (1, kind.byte_width))
        return pixels.reshape(len(column), *square_shape(kind.byte_width, name))
    return from_lists(column, image, name)


def decode_all(column: pa.Array, name: str, image_size: int | None) -> np.ndarray:
    """Decode the pictures of a column.

    Raises:
        PipelineError: one is damaged or missing, or they have different sizes.
    """
    images = []
    with track("Reading pictures", len(column)) as update:
        for row, value in enumerate(column):
            data = value.as_py()
            if not data:
                raise PipelineError(f"{name}: row {row:,} holds no picture, perhaps only a path")
            pixels = decode_picture(data, f"{name}: row {row:,}").pixels
            images.append(pixels if image_size is None else resize_to_square(pixels, image_size))
            if images[-1].shape != images[0].shape:
                raise PipelineError(
                    f"{name}: pictures of different sizes: {images[0].shape[0]} ×"
                    f" {images[0].shape[1]} pixels in row 0, {pixels.shape[0]} × {pixels.shape[1]}"
                    f" in row {row:,}; --image-size N makes them equal"
                )
            if images[0].size * len(images) > idx.MAX_BYTES:
                raise PipelineError(
                    f"{name}: more than {idx.MAX_BYTES:,} pixels; --image-size N makes the"
                    " pictures smaller"
                )
            update(row + 1, "")
    return np.stack(images)


def from_lists(column: pa.Array, image: str, name: str) -> np.ndarray:
    """Return lists of pixels, flat or row by row, as uint8 [n, height, width].

    Raises:
        PipelineError: they are not lists of numbers, or of different lengths.
    """
    sizes: list[int] = []
    values, kind = column, column.type
    while is_list(values.type):
        lengths = pc.unique(pc.list_value_length(values)).to_pylist()
        if len(lengths) != 1 or not lengths[0]:
            raise PipelineError(f"{name}: column `{image}` holds lists of different lengths")
        sizes.append(lengths[0])
        values = values.flatten()
    if not sizes or not is_number(values.type) or values.null_count:
        raise PipelineError(f"{name}: column `{image}` holds {kind}, no images")
    if len(sizes) == 3 and 1 in (sizes[0], sizes[2]):  # one channel
        sizes.remove(1)
    shape = square_shape(sizes[0], name) if len(sizes) == 1 else tuple(sizes)
    if len(shape) != 2:
        raise PipelineError(f"{name}: column `{image}` holds images of {len(shape)} dimensions")
    return whole_bytes(values.to_numpy(zero_copy_only=False), name).reshape(-1, *shape)


def is_square(pixels: int) -> bool:
    """Return whether so many pixels make a square image."""
    return pixels > 1 and round(pixels**0.5) ** 2 == pixels


def is_list(kind: pa.DataType) -> bool:
    """Return whether a column holds lists."""
    tests: tuple[Callable[[pa.DataType], bool], ...] = (
        pa.types.is_list,
        pa.types.is_large_list,
        pa.types.is_fixed_size_list,
    )
    return any(test(kind) for test in tests)
