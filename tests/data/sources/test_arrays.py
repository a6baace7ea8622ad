"""NumPy's arrays as a source: Keras's and MedMNIST's files, and what is refused."""

import io
from pathlib import Path

import numpy as np
import pytest
from helpers.data_sets import WRITERS, Arrays, Load, assert_same, write_zip

from tasks.data.sources.arrays import find_arrays
from tasks.runtime.errors import PipelineError

ONES = np.ones((2, 4, 4), np.uint8)


def npy(values: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    """Return an array as NumPy writes it, pickles included."""
    file = io.BytesIO()
    np.lib.format.write_array(file, values, version)
    return file.getvalue()


def keras(arrays: Arrays) -> dict[str, np.ndarray]:
    """Return the arrays by the names that Keras gives them."""
    return {
        "x_train": arrays.train_images,
        "y_train": arrays.train_labels,
        "x_test": arrays.test_images,
        "y_test": arrays.test_labels,
    }


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_kerass_file(load: Load, tmp_path: Path, arrays: Arrays, save: object) -> None:
    assert callable(save)
    save(tmp_path / "mnist.npz", **keras(arrays))
    loaded = load(tmp_path / "mnist.npz")
    assert_same(loaded, arrays)
    assert loaded.class_names == ()
    assert loaded.notes == ""


@pytest.mark.parametrize("place", WRITERS)
def test_npy_files(load: Load, tmp_path: Path, arrays: Arrays, place: str) -> None:
    """Of another order, version of the format, type and byte order."""
    files = {
        "d/x_train.npy": npy(np.asfortranarray(arrays.train_images)),
        "d/y_train.npy": npy(arrays.train_labels.astype(">i8"), version=(2, 0)),
        "d/X-test.NPY": npy(arrays.test_images.astype(np.float32)[..., np.newaxis]),
        "d/y-test.npy": npy(arrays.test_labels.astype(float)),
        "d/notes_train.npy": b"",
    }
    assert_same(load(WRITERS[place](tmp_path / place, files)), arrays)


def test_medmnists_file(load: Load, tmp_path: Path, arrays: Arrays) -> None:
    """Its labels are [n, 1], and it has a validation split."""
    path, parts = tmp_path / "pneumoniamnist.npz", arrays.parts() | {"val": arrays.parts()["test"]}
    columns = {f"{role}_images": images for role, (images, _) in parts.items()}
    columns |= {f"{role}_labels": labels[:, np.newaxis] for role, (_, labels) in parts.items()}
    np.savez_compressed(path, **columns)  # type: ignore[arg-type]
    loaded = load(path)
    assert loaded.notes == "its validation images are training images"
    assert len(loaded.arrays.train_labels) == len(arrays.train_labels) + len(arrays.test_labels)
    np.testing.assert_array_equal(loaded.arrays.test_images, arrays.test_images)


def test_rows_of_pixels_are_squares(load: Load, tmp_path: Path, arrays: Arrays) -> None:
    flat = {name: a.reshape(len(a), -1) if a.ndim == 3 else a for name, a in keras(arrays).items()}
    np.savez(tmp_path / "flat.npz", **flat)  # type: ignore[arg-type]
    assert_same(load(tmp_path / "flat.npz"), arrays)


def test_without_test_images_a_part_is_drawn(load: Load, tmp_path: Path, arrays: Arrays) -> None:
    np.savez(tmp_path / "a.npz", images_train=arrays.train_images, train_label=arrays.train_labels)
    assert load(tmp_path / "a.npz").notes == "6 of 42 images drawn as test split"


def damaged(data: bytes, old: bytes, new: bytes) -> bytes:
    """Return a file with another header of the same length."""
    assert len(old) == len(new)
    assert data.count(old) == 1
    return data.replace(old, new)


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        (b"", "not an array of NumPy, or a damaged one"),
        (b"\x93NUMPY\x03\x00", "not an array of NumPy, or a damaged one"),
        (damaged(npy(ONES), b"(2, 4, 4)", b"(2, 4, 4("), "not an array of NumPy, or a damaged"),
        (
            damaged(npy(ONES), b"(2, 4, 4), }  ", b"(2, 4, 4444)}"[:14].ljust(14)),
            "damaged, its header says 2 x 4 x 4444 of uint8 and 32 bytes follow",
        ),
        (npy(ONES)[:-1], "damaged, its header says 2 x 4 x 4 of uint8 and 31 bytes follow"),
        (npy(ONES[:0]), "holds 0 x 4 x 4 numbers, no images or labels"),
        (npy(np.array(3)), "holds a single number, no images or labels"),
        (npy(np.array(["a", "b"])), "holds <U1, not numbers"),
        (npy(ONES * 1j), "holds complex128, not numbers"),
        (npy(ONES / 2), "pixels are fractions up to 0.5"),
        (npy(ONES * np.nan), "pixels from nan to nan"),
        (npy(ONES[..., np.newaxis].repeat(3, axis=-1)), "2 x 4 x 4 x 3 numbers; grey images are"),
        (npy(ONES[:, :3].reshape(2, 12)), "12 pixels per image, which make no square"),
        (npy(ONES[:1]), "2 labels for the 1 image in"),
    ],
)
def test_damaged_and_other_arrays_are_refused(
    load: Load, tmp_path: Path, images: bytes, problem: str
) -> None:
    files = {"x_train.npy": images, "y_train.npy": npy(np.zeros(2, np.uint8))}
    with pytest.raises(PipelineError) as caught:
        load(write_zip(tmp_path / "a.npz", files))
    assert "a.npz: " in str(caught.value)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (np.eye(2, dtype=np.uint8), "2 x 2 numbers; labels are one for each image"),
        (np.array([0.5, 1]), "labels from 0 to 1; they should be whole numbers"),
        (np.array([0, np.nan]), "they should be whole numbers from 0 to 255"),
        (np.array([0, 256]), "labels from 0 to 256"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_other_labels_are_refused(
    load: Load, tmp_path: Path, labels: np.ndarray, problem: str
) -> None:
    np.savez(tmp_path / "a.npz", x_train=ONES, y_train=labels)
    with pytest.raises(PipelineError, match=r"a\.npz: y_train\.npy: ") as caught:
        load(tmp_path / "a.npz")
    assert problem in str(caught.value)


class Code:
    """An object whose pickle writes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path, str]]:
        return Path.write_text, (self.path, "run")


def test_code_in_an_array_is_never_run(load: Load, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    objects = np.array([Code(trap), Code(trap)], object)
    np.savez(tmp_path / "a.npz", x_train=objects, y_train=np.zeros(2, np.uint8))
    with pytest.raises(PipelineError, match=r"x_train.npy: holds object, not numbers \(Python"):
        load(tmp_path / "a.npz")
    assert not trap.exists()
    with np.load(tmp_path / "a.npz", allow_pickle=True) as arrays:
        _ = arrays["x_train"]
    assert trap.exists()  # the trap is a real one


def test_a_header_of_a_huge_array_takes_no_memory(load: Load, tmp_path: Path) -> None:
    """`numpy.load` would reserve a tebibyte."""
    file = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (2**20, 2**10, 2**10)}
    np.lib.format.write_array_header_1_0(file, header)
    files = {"x_train.npy": file.getvalue(), "y_train.npy": npy(np.zeros(2, np.uint8))}
    with pytest.raises(PipelineError, match="its header says 1048576 x 1024 x 1024 of uint8"):
        load(write_zip(tmp_path / "a.npz", files))


def test_several_data_sets_are_named(load: Load, tmp_path: Path) -> None:
    names = [f"{folder}/{kind}_train.npy" for folder in ("a", "b") for kind in "xy"]
    with pytest.raises(PipelineError, match="2 data sets; name one of them: z/a, z/b"):
        find_arrays(names, "z")
    nearer = find_arrays([*names, "c/a/x_train.npy", "a/y_test.npy", "a/x_test.npy"][2:], "z")
    assert nearer
    assert set(nearer.files) == {"train"}
    assert nearer.names == ("b/x_train.npy", "b/y_train.npy")
    assert find_arrays(["x_train.npy", "y_test.npy", "x_train", "train.npy"], "z") is None
