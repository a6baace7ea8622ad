"""CSV and Parquet as other tools write them."""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.data_sets import WRITERS, Arrays, Load, assert_same, encode, write_tree

from tasks.data.convert import to_table, write_parquet
from tasks.data.sources.tables import set_name
from tasks.runtime.errors import PipelineError

NAMES = ["cat", "dog", "eel"]
PIXELS = [f"pixel{n}" for n in range(16)]
PLACES = [f"{row}x{column}" for row in range(1, 5) for column in range(1, 5)]


def wide(images: np.ndarray, labels: np.ndarray | None, columns: list[str]) -> pd.DataFrame:
    """Return a table with a column for each pixel, and the labels first."""
    frame = pd.DataFrame(images.reshape(len(images), -1), columns=columns)
    if labels is not None:
        frame.insert(0, "label", labels)
    return frame


def csv(frame: pd.DataFrame, **options: object) -> bytes:
    return frame.to_csv(index=False, **options).encode()  # type: ignore[call-overload, no-any-return]


CSV: dict[str, Callable[[np.ndarray, np.ndarray], bytes]] = {
    "pixel0": lambda x, y: csv(wide(x, y, PIXELS)),
    "1x1": lambda x, y: csv(wide(x, y, PLACES)),
    "no header": lambda x, y: csv(wide(x, y, PIXELS), header=False),
    "semicolons": lambda x, y: csv(wide(x, y, PIXELS), sep=";"),
    "with index": lambda x, y: wide(x, y, PIXELS).to_csv().encode(),
    "floats": lambda x, y: csv(wide(x.astype(float), y, PIXELS)),
    "windows": lambda x, y: b"\xef\xbb\xbf" + csv(wide(x, y, PIXELS), lineterminator="\r\n"),
    "label last": lambda x, y: csv(wide(x, y, PIXELS)[[*PIXELS, "label"]]),
}


@pytest.mark.parametrize("container", WRITERS)
@pytest.mark.parametrize("form", CSV)
def test_csv(load: Load, arrays: Arrays, tmp_path: Path, container: str, form: str) -> None:
    files = {f"mnist_{part}.csv": CSV[form](*pair) for part, pair in arrays.parts().items()}
    assert_same(load(WRITERS[container](tmp_path / container, files)), arrays)


def test_gzipped_csv(load: Load, arrays: Arrays, tmp_path: Path) -> None:
    files = {
        f"{part}.csv.gz": gzip.compress(csv(wide(*pair, PIXELS)))
        for part, pair in arrays.parts().items()
    }
    assert_same(load(write_tree(tmp_path / "set", files)), arrays)


def test_kaggles_test_images_without_labels_are_left_out(
    load: Load, arrays: Arrays, tmp_path: Path
) -> None:
    files = {
        "train.csv": csv(wide(arrays.train_images, arrays.train_labels, PIXELS)),
        "test.csv": csv(wide(arrays.test_images, None, PIXELS)),
        "sample_submission.csv": b"ImageId,Label\n1,0\n",
    }
    loaded = load(write_tree(tmp_path / "set", files))
    assert np.bincount(loaded.arrays.test_labels).tolist() == [2, 2, 2]
    assert len(loaded.arrays.train_labels) == 36
    assert loaded.notes == (
        "its test images have no labels and are left out; 6 of 42 images drawn as test split"
    )


def test_emnists_csv_is_turned_upright(load: Load, arrays: Arrays, tmp_path: Path) -> None:
    files = {
        f"emnist-balanced-{part}.csv": csv(wide(x.transpose(0, 2, 1), y, PIXELS), header=False)
        for part, (x, y) in arrays.parts().items()
    }
    loaded = load(write_tree(tmp_path / "set", files))
    assert_same(loaded, arrays)
    assert loaded.notes == "EMNIST's images turned upright"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"label,pixel0,pixel1\n1,2,3\n", "2 pixels per image, which make no square"),
        (b"label,pixel0\n1,300\n", r"column pixel0: pixels from 0 to 300; they should be whole"),
        (b"label,pixel0\n1,0.5\n", r"column pixel0: pixels are fractions up to 0.5"),
        (b"label,pixel0\n1,dark\n", "not a table of pixels from 0 to 255"),
        (b"label,pixel0\n1,2,3\n", "not a table of pixels from 0 to 255"),
        (b"label,pixel0\n-1,2\n", "labels from -1 to 0; they should be"),
        (b"label,pixel0\n1,2\n,3\n", "rows without label"),
        (b"label,pixel0\n\xff,3\n", "labels are binary, not numbers or names"),
        (b"label,pixel0\n2026-01-31,3\n", r"labels are date32\[day\], not numbers or names"),
        (b"label,pixel0\n", "no rows"),
        (b"a,b\n1,2\n", "no column with labels|2 pixels"),
        (b"just a text", "no table of a label and pixels; its first line: just a text"),
        (b"", "no table of a label and pixels"),
    ],
)
def test_other_csv_is_refused(load: Load, tmp_path: Path, text: bytes, problem: str) -> None:
    with pytest.raises(PipelineError, match=problem) as caught:
        load(write_tree(tmp_path, {"set.csv": text}) / "set.csv")
    assert "\n" not in str(caught.value)


def parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=10)
    return buffer.getvalue()


def pandas_parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def hugging_face(images: np.ndarray, labels: np.ndarray) -> bytes:
    """Return a file as `datasets.Dataset.to_parquet` writes it."""
    features = {
        "image": {"_type": "Image"},
        "label": {"names": NAMES, "_type": "ClassLabel"},
    }
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema(
        [("image", kind), ("label", pa.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    cells = [{"bytes": encode(image), "path": None} for image in images]
    return parquet(pa.table([pa.array(cells, kind), pa.array(labels, pa.int64())], schema))


def nested(images: np.ndarray, labels: np.ndarray, kind: pa.DataType) -> bytes:
    """Return a file with images in lists, flat or row by row."""
    flat = not pa.types.is_list(kind.value_type)
    cells = images.reshape(len(images), -1) if flat else images
    return parquet(pa.table({"image": pa.array(cells.tolist(), kind), "label": labels}))


PARQUET: dict[str, Callable[[np.ndarray, np.ndarray], bytes]] = {
    "Hugging Face": hugging_face,
    "pandas, wide": lambda x, y: pandas_parquet(wide(x, y, PIXELS)),
    "pandas, lists": lambda x, y: pandas_parquet(
        pd.DataFrame({"label": y, "image": [image.ravel() for image in x]})
    ),
    "polars, arrays": lambda x, y: nested(x, y, pa.list_(pa.uint8(), 16)),
    "polars, large lists": lambda x, y: nested(x, y, pa.large_list(pa.int64())),
    "DuckDB, nested": lambda x, y: nested(x, y, pa.list_(pa.list_(pa.uint8()))),
    "DuckDB, blobs": lambda x, y: parquet(
        pa.table({"label": pa.array(y, pa.int32()), "image": [encode(image) for image in x]})
    ),
}


@pytest.mark.parametrize("container", WRITERS)
@pytest.mark.parametrize("form", PARQUET)
def test_parquet(load: Load, arrays: Arrays, tmp_path: Path, container: str, form: str) -> None:
    files = {f"data/{p}.parquet": PARQUET[form](*pair) for p, pair in arrays.parts().items()}
    loaded = load(WRITERS[container](tmp_path / container, files))
    assert_same(loaded, arrays)
    assert loaded.class_names == (tuple(NAMES) if form == "Hugging Face" else ())


def test_hugging_faces_shards_are_joined_in_order(
    load: Load, arrays: Arrays, tmp_path: Path
) -> None:
    images, labels = arrays.train_images, arrays.train_labels
    files = {
        "README.md": b"about",
        "mnist/train-00000-of-00002.parquet": hugging_face(images[:30], labels[:30]),
        "mnist/train-00001-of-00002.parquet": hugging_face(images[30:], labels[30:]),
        "mnist/test-00000-of-00001.parquet": hugging_face(arrays.test_images, arrays.test_labels),
    }
    assert_same(load(write_tree(tmp_path / "set", files)), arrays)


def test_labels_that_are_names(load: Load, arrays: Arrays, tmp_path: Path) -> None:
    files = {
        f"{part}.parquet": pandas_parquet(
            wide(images, None, PIXELS).assign(label=pd.Categorical([NAMES[c] for c in labels]))
        )
        for part, (images, labels) in arrays.parts().items()
    }
    loaded = load(write_tree(tmp_path / "set", files))
    assert_same(loaded, arrays)
    assert loaded.class_names == tuple(NAMES)


def test_the_pipelines_own_parquet_gives_its_idx_files_back(
    load: Load, arrays: Arrays, tmp_path: Path
) -> None:
    """The validation split, drawn from anywhere, goes back to its place."""
    drawn = np.array([3, 8, 40])
    rest = np.delete(np.arange(42), drawn)
    folder = tmp_path / "latest"
    folder.mkdir()
    images, labels = arrays.train_images, arrays.train_labels
    for name, rows in (("validation", drawn), ("train", rest)):
        table = to_table(images[rows], labels[rows], 0)
        table = table.set_column(0, table.schema.field("index"), pa.array(rows, pa.int32()))
        write_parquet(table, folder / f"{name}.parquet")
    write_parquet(to_table(arrays.test_images, arrays.test_labels, 0), folder / "test.parquet")
    pq.write_table(pa.table({"predicted": [1]}), folder / "predictions.parquet")
    assert_same(load(folder), arrays)


def test_another_validation_split_joins_the_training_images(
    load: Load, arrays: Arrays, tmp_path: Path
) -> None:
    images, labels = arrays.train_images, arrays.train_labels
    files = {
        "train.parquet": hugging_face(images[:30], labels[:30]),
        "validation.parquet": hugging_face(images[30:], labels[30:]),
        "test.parquet": hugging_face(arrays.test_images, arrays.test_labels),
    }
    loaded = load(write_tree(tmp_path / "set", files))
    assert_same(loaded, arrays)
    assert loaded.notes == "its validation images are training images"


BAD_TEXT = pa.Array.from_buffers(
    pa.string(), 2, [None, pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"a\xff")]
)
"""Text whose second item is no UTF-8."""


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (parquet(pa.table({"a": ["x"], "label": [1]})), r"no images; its columns are a \(string\)"),
        (parquet(pa.table({"image": [b""], "label": [1]})), "row 0 holds no picture"),
        (parquet(pa.table({"image": [b"x", None], "label": [1, 2]})), "1 images are missing"),
        (parquet(pa.table({"image": [b"xx"], "label": [1]})), "row 0: neither a picture"),
        (parquet(pa.table({"image": [[1], [2, 3]], "label": [1, 2]})), "lists of different"),
        (parquet(pa.table({"image": [[1, 2]], "label": [1]})), "which make no square"),
        (parquet(pa.table({"image": [[1]], "x": [1]})), "no column with labels"),
        (
            parquet(pa.table({"image": [[1]], "label": [{"a": 1}]})),
            "labels are struct<a: int64>",
        ),
        (
            parquet(pa.table({"image": [[1], [1]], "label": BAD_TEXT})),
            r"damaged table \(Invalid UTF8 sequence at string index 1\)",
        ),
        (parquet(pa.table({"image": [[1]], "label": [None]})), "rows without label"),
        (b"PAR1 and nothing", "damaged Parquet"),
    ],
)
def test_other_parquet_is_refused(load: Load, tmp_path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(PipelineError, match=problem) as caught:
        load(write_tree(tmp_path, {"set.parquet": data}) / "set.parquet")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train.csv", ""),
        ("mnist/train-00000-of-00001.parquet", "mnist/"),
        ("mnist/test/0000.parquet", "mnist/"),
        ("train/0000.parquet", ""),
        ("sign_mnist_train/sign_mnist_train.csv", "sign_mnist_"),
        ("fashion-mnist_test.csv", "fashion-mnist_"),
    ],
)
def test_splits_of_a_data_set_share_a_name(name: str, expected: str) -> None:
    assert set_name(name) == expected


def test_a_header_of_numbers_is_no_image(load: Load, tmp_path: Path) -> None:
    header = ",".join(map(str, range(5)))
    source = tmp_path / "train.csv"
    source.write_text("\n".join([header, *["1,2,3,4,0"] * 30]))
    with pytest.raises(PipelineError, match="call the column with the labels"):
        load(source)
