"""The four IDX files under the names that other projects give them."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.data_sets import WRITERS, Arrays, Load, assert_same, write_tree, write_zip

from tasks.data import idx
from tasks.data.sources.idx_files import standard_name
from tasks.runtime.errors import PipelineError

LAYOUTS = {
    "torchvision": ("MNIST/raw/{}-images-idx3-ubyte", "MNIST/raw/{}-labels-idx1-ubyte", "t10k"),
    "dots": ("{}-images.idx3-ubyte", "{}-labels.idx1-ubyte", "t10k"),
    "test": ("{}-images.idx3-ubyte", "{}-labels.idx1-ubyte", "test"),
    "a folder each": (
        "{0}-images-idx3-ubyte/{0}-images-idx3-ubyte",
        "{0}-labels-idx1-ubyte/{0}-labels-idx1-ubyte",
        "t10k",
    ),
}
"""Names of images and labels, and the word for the test split."""


def idx_files(arrays: Arrays, images: str, labels: str, test: str) -> dict[str, bytes]:
    """Return the four files by their names."""
    return {
        name.format({"train": "train", "test": test}[part]): idx.dumps(array)
        for part, pair in arrays.parts().items()
        for name, array in zip((images, labels), pair, strict=True)
    }


@pytest.mark.parametrize("container", WRITERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_names_of_other_projects(
    load: Load, arrays: Arrays, tmp_path: Path, container: str, layout: str
) -> None:
    source = WRITERS[container](tmp_path / container, idx_files(arrays, *LAYOUTS[layout]))
    assert_same(load(source), arrays)


def emnist(arrays: Arrays, name: str) -> dict[str, bytes]:
    """Return files as in EMNIST's gzip.zip: transposed, labels from 1, with a mapping."""
    turned = Arrays(
        np.ascontiguousarray(arrays.train_images.transpose(0, 2, 1)),
        arrays.train_labels + 1,
        np.ascontiguousarray(arrays.test_images.transpose(0, 2, 1)),
        arrays.test_labels + 1,
    )
    stem = f"gzip/emnist-{name}-{{}}"
    names = f"{stem}-images-idx3-ubyte.gz", f"{stem}-labels-idx1-ubyte.gz", "test"
    files = {n: gzip.compress(data) for n, data in idx_files(turned, *names).items()}
    return files | {f"gzip/emnist-{name}-mapping.txt": b"1 65 97\n2 66 98\n3 67 99\n"}


def test_emnist_is_turned_upright_and_has_its_letters(
    load: Load, arrays: Arrays, tmp_path: Path
) -> None:
    both = emnist(arrays, "letters") | emnist(arrays, "digits")
    source = write_zip(tmp_path / "gzip.zip", both)
    with pytest.raises(PipelineError, match=r"2 data sets; name one of them: .*emnist-digits, "):
        load(source)
    loaded = load(source / "emnist-letters")
    np.testing.assert_array_equal(loaded.arrays.train_images, arrays.train_images)
    np.testing.assert_array_equal(loaded.arrays.train_labels, arrays.train_labels + 1)
    assert loaded.class_names == ("0", "A", "B", "C")
    assert loaded.notes == "EMNIST's images turned upright"


def qmnist_labels(labels: np.ndarray) -> bytes:
    """Return labels as QMNIST's int32 [n, 8], the class first."""
    table = np.full((len(labels), 8), 70_000, ">i4")
    table[:, 0] = labels
    return b"\0\0\x0c\x02" + struct.pack(">2I", *table.shape) + table.tobytes()


def qmnist(arrays: Arrays) -> dict[str, bytes]:
    """Return files as in QMNIST."""
    files = {}
    for part, (images, labels) in arrays.parts().items():
        files[f"qmnist-{part}-images-idx3-ubyte.gz"] = gzip.compress(idx.dumps(images))
        files[f"qmnist-{part}-labels-idx2-int.gz"] = gzip.compress(qmnist_labels(labels))
    return files


def test_qmnist_has_the_class_in_the_first_of_eight_columns(
    load: Load, arrays: Arrays, tmp_path: Path
) -> None:
    assert_same(load(write_tree(tmp_path / "q", qmnist(arrays))), arrays)


def cut(data: bytes) -> bytes:
    return gzip.compress(gzip.decompress(data)[:-4])


def large_label(data: bytes) -> bytes:
    content = bytearray(gzip.decompress(data))
    content[12:16] = struct.pack(">i", 300)
    return gzip.compress(bytes(content))


@pytest.mark.parametrize(
    ("change", "problem"),
    [(cut, "truncated, its header says 42 x 8"), (large_label, "labels from 0 to 300")],
)
def test_damaged_labels_of_qmnist(
    load: Load,
    arrays: Arrays,
    tmp_path: Path,
    change: Callable[[bytes], bytes],
    problem: str,
) -> None:
    files = qmnist(arrays)
    name = "qmnist-train-labels-idx2-int.gz"
    source = write_tree(tmp_path / "q", files | {name: change(files[name])})
    with pytest.raises(PipelineError, match=f"{name}: {problem}"):
        load(source)


def test_files_at_the_top_win_over_a_copy_below(load: Load, arrays: Arrays, tmp_path: Path) -> None:
    other = Arrays(*(array[::-1] for array in vars(arrays).values()))
    files = idx_files(arrays, *LAYOUTS["dots"]) | idx_files(other, *LAYOUTS["torchvision"])
    assert_same(load(write_tree(tmp_path / "set", files)), arrays)


def test_missing_files_are_named_beside_what_was_found(
    load: Load, arrays: Arrays, tmp_path: Path
) -> None:
    files = idx_files(arrays, *LAYOUTS["torchvision"])
    del files["MNIST/raw/t10k-labels-idx1-ubyte"]
    with pytest.raises(PipelineError) as caught:
        load(write_tree(tmp_path / "set", files))
    assert str(caught.value) == (
        f"--source {tmp_path / 'set'}: missing t10k-labels-idx1-ubyte (each may end in .gz);"
        " found t10k-images-idx3-ubyte and 2 more in MNIST/raw/"
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train-images-idx3-ubyte", ("train-images-idx3-ubyte", "")),
        ("a/Test-Labels.idx1-ubyte.gz", ("t10k-labels-idx1-ubyte", "")),
        ("emnist-byclass-test-labels-idx1-ubyte", ("t10k-labels-idx1-ubyte", "emnist-byclass-")),
        ("train_images.idx", ("train-images-idx3-ubyte", "")),
        ("train-images.png", None),
        ("emnist-letters-mapping.txt", None),
    ],
)
def test_standard_names(name: str, expected: tuple[str, str] | None) -> None:
    assert standard_name(name) == expected
