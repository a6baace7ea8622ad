"""Tests of images from Parquet files, in the forms that other tools write."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.data.convert import to_table
from tasks.records import Shape
from tasks.runtime.errors import PipelineError
from tasks.scoring.tables import read_parquet

SHAPE = Shape(height=9, width=7, classes=3)
PICTURES = np.random.default_rng(0).integers(0, 256, (5, 9, 7), dtype=np.uint8)
BYTE_ROWS = pa.list_(pa.list_(pa.uint8()))


def read(path: Path, table: pa.Table) -> tuple[list[int], list[np.ndarray], list[str]]:
    """Rows, images, and problems, read two rows at a time."""
    pq.write_table(table, path)
    reported: list[str] = []
    rows: list[int] = []
    images: list[np.ndarray] = []
    for part, cells in read_parquet(path, SHAPE, 2, reported.append):
        rows += part.tolist()
        images += list(cells)
    return rows, images, reported


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def column(values: Any, kind: pa.DataType | None = None, name: str = "image") -> pa.Table:
    return pa.table({"label": [0] * len(values), name: pa.array(values, kind)})


FLAT = [image.ravel().tolist() for image in PICTURES]
NESTED = [image.tolist() for image in PICTURES]
FILES = [png(image) for image in PICTURES]
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

FORMS: dict[str, Callable[[], pa.Table]] = {
    "this project": lambda: to_table(PICTURES, np.zeros(5, np.uint8), 0),
    "bytes of pixels": lambda: column([image.tobytes() for image in PICTURES]),
    "fixed bytes without shape": lambda: column([i.tobytes() for i in PICTURES], pa.binary(63)),
    "files": lambda: column(FILES),
    "large files": lambda: column(FILES, pa.large_binary()),
    "Hugging Face": lambda: column([{"bytes": f, "path": None} for f in FILES], STRUCT),
    "another name": lambda: column(FILES, name="scan"),
    "int64 lists": lambda: column(FLAT),
    "uint8 lists": lambda: column(FLAT, pa.list_(pa.uint8())),
    "large lists": lambda: column(FLAT, pa.large_list(pa.uint8())),
    "fixed lists": lambda: column(FLAT, pa.list_(pa.uint8(), 63)),
    "nested": lambda: column(NESTED, BYTE_ROWS),
    "fixed nested": lambda: column(NESTED, pa.list_(pa.list_(pa.uint8(), 7), 9)),
    "one channel": lambda: column([i[..., np.newaxis].tolist() for i in PICTURES]),
    "channel first": lambda: column([i[np.newaxis].tolist() for i in PICTURES]),
    "shares of white": lambda: column([(i / 255).ravel().tolist() for i in PICTURES]),
    "columns of pixels": lambda: pa.table(
        {"label": [0] * 5}
        | {f"pixel{i}": PICTURES.reshape(5, -1)[:, i].astype(np.int64) for i in range(63)}
    ),
    "nonsense metadata": lambda: pa.table(
        [pa.array([i.tobytes() for i in PICTURES], pa.binary(63))],
        pa.schema([pa.field("image", pa.binary(63), metadata={"shape": "(9, 7)"})]),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_images(tmp_path: Path, form: str) -> None:
    rows, images, reported = read(tmp_path / "a", FORMS[form]())
    assert reported == []
    assert rows == [0, 1, 2, 3, 4]
    assert (np.stack(images) == PICTURES).all()


def test_colours_become_grey(tmp_path: Path) -> None:
    colours = np.stack([PICTURES] * 3, axis=-1)
    for array in (colours, np.moveaxis(colours, 3, 1)):
        _, images, _ = read(tmp_path / "a", column(array.tolist()))
        assert (np.stack(images) == PICTURES).all()


def test_images_of_several_sizes(tmp_path: Path) -> None:
    other = np.arange(30, dtype=np.uint8).reshape(5, 6)
    _, images, reported = read(tmp_path / "a", column([NESTED[0], other.tolist()], BYTE_ROWS))
    assert reported == []
    assert (images[0] == PICTURES[0]).all()
    assert (images[1] == other).all()


@pytest.mark.parametrize(
    ("bad", "kind", "said"),
    [
        (None, pa.binary(), "no image (null)"),
        (b"", pa.binary(), "no image (0 bytes)"),
        (FILES[0][:60], pa.binary(), "damaged PNG"),
        (b"seven", pa.binary(), "no picture that is known, 5 bytes"),
        ({"bytes": None, "path": "/there/7.png"}, STRUCT, "no image (null)"),
        (None, BYTE_ROWS, "no image (null)"),
        ([1, 2], pa.list_(pa.uint8()), "an array of 2 numbers, not an image"),
        ([[1, 2], [3]], BYTE_ROWS, "rows of several lengths, or values that are missing"),
        ([float("nan")] * 63, pa.list_(pa.float32()), "values that are missing (NaN)"),
    ],
)
def test_invalid_row_is_named_and_the_others_are_read(
    tmp_path: Path, bad: object, kind: pa.DataType, said: str
) -> None:
    good: dict[pa.DataType, list[Any]] = {
        pa.binary(): FILES,
        STRUCT: [{"bytes": f, "path": None} for f in FILES],
        BYTE_ROWS: NESTED,
    }
    cells = good.get(kind, FLAT)
    rows, images, reported = read(tmp_path / "a", column([cells[0], bad, *cells[2:], bad], kind))
    assert rows == [0, 2, 3, 4]
    assert (np.stack(images) == PICTURES[[0, 2, 3, 4]]).all()
    assert len(reported) == 1
    assert reported[0].startswith(f"{tmp_path}/a: row 1: {said}")
    assert reported[0].endswith(", and 1 more row left out")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pa.table({"a": ["x"], "b": [1]}), "no column of images, such as `image`; there are a, b"),
        (
            pa.table({n: ["x"] for n in ("file", "row", "predicted", "inverted", "champion")}),
            "predictions of an earlier run, not images",
        ),
        (
            pa.table({"image": FILES}).replace_schema_metadata({"mnist.predictions": "2"}),
            "predictions of an earlier run, not images",
        ),
    ],
)
def test_files_without_images_are_refused(tmp_path: Path, table: pa.Table, said: str) -> None:
    with pytest.raises(PipelineError, match=f"/a: {said}"):
        read(tmp_path / "a", table)
