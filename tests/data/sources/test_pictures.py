"""Pictures in class folders."""

import os
from pathlib import Path

import numpy as np
import pytest
from helpers.data_sets import (
    WRITERS,
    Arrays,
    Load,
    assert_same_images,
    encode,
    rows,
    write_tree,
    write_zip,
)

from tasks.runtime.errors import PipelineError

NAMES = ("cat", "dog", "eel")


def pictures(arrays: Arrays, folders: dict[str, str], kind: str = "PNG") -> dict[str, bytes]:
    """Return pictures by path.

    Args:
        arrays: the data set.
        folders: split → folder, with a slash at its end.
        kind: format.
    """
    return {
        f"{folders[part]}{NAMES[label]}/{part}{number}.{kind.lower()}": encode(image, kind)
        for part, (images, labels) in arrays.parts().items()
        for number, (image, label) in enumerate(zip(images, labels, strict=True))
    }


@pytest.mark.parametrize("container", WRITERS)
@pytest.mark.parametrize(
    ("train", "test"),
    [("train/", "test/"), ("mnist_png/training/", "mnist_png/testing/"), ("train/", "val/")],
)
def test_folders_of_training_and_test_pictures(
    load: Load, arrays: Arrays, tmp_path: Path, container: str, train: str, test: str
) -> None:
    files = pictures(arrays, {"train": train, "test": test})
    loaded = load(WRITERS[container](tmp_path / container, files))
    assert_same_images(loaded, arrays)
    assert loaded.class_names == NAMES


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF"])
def test_one_tree_gets_a_stratified_test_split(
    load: Load, arrays: Arrays, tmp_path: Path, kind: str
) -> None:
    source = write_tree(tmp_path / "set", pictures(arrays, {"train": "", "test": ""}, kind))
    loaded, again = load(source), load(source)
    found = loaded.arrays
    assert np.bincount(found.test_labels).tolist() == [3, 2, 2]
    everything = [
        np.concatenate([getattr(a, f"{part}_{what}") for part in ("train", "test")])
        for a in (found, arrays)
        for what in ("images", "labels")
    ]
    assert rows(*everything[:2]) == rows(*everything[2:])
    assert loaded.obtained == again.obtained
    assert "7 of 51 images drawn as test split" in loaded.notes


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats(load: Load, arrays: Arrays, tmp_path: Path, kind: str) -> None:
    flat = Arrays(
        np.full((42, 16, 16), 90, np.uint8),
        arrays.train_labels,
        np.full((9, 16, 16), 200, np.uint8),
        arrays.test_labels,
    )
    files = pictures(flat, {"train": "train/", "test": "test/"}, kind)
    found = load(write_tree(tmp_path / "set", files)).arrays
    assert abs(found.train_images.astype(int) - 90).max() <= 3
    assert abs(found.test_images.astype(int) - 200).max() <= 3


def test_classes_are_mixed_in_the_order_of_the_images(
    load: Load, arrays: Arrays, tmp_path: Path
) -> None:
    files = pictures(arrays, {"train": "train/", "test": "test/"})
    labels = load(write_tree(tmp_path / "set", files)).arrays.train_labels
    assert len(set(labels[:14].tolist())) == 3


def test_numbered_folders_are_sorted_by_value(load: Load, tmp_path: Path) -> None:
    files = {
        f"{c}/{n}.png": encode(np.full((3, 3), 20 * c, np.uint8))
        for c in range(1, 12)
        for n in "ab"
    }
    loaded = load(write_tree(tmp_path / "set", files))
    assert loaded.class_names == tuple(map(str, range(1, 12)))
    images, labels = loaded.arrays.train_images, loaded.arrays.train_labels
    np.testing.assert_array_equal(images[:, 0, 0], 20 * (labels + 1))


def test_other_files_are_left_alone(load: Load, arrays: Arrays, tmp_path: Path) -> None:
    files = pictures(arrays, {"train": "train/", "test": "test/"})
    picture = next(iter(files.values()))
    more = {
        "README.md": b"about",
        "preview.png": picture,
        "train/.DS_Store": b"x",
        "train/cat/.ipynb_checkpoints/a.png": picture,
        "__MACOSX/train/cat/._a.png": b"x",
        "train/cat/note.txt": b"x",
    }
    source = write_tree(tmp_path / "set", files | more)
    os.mkfifo(source / "train" / "cat" / "pipe.png")
    (source / "train" / "loop").symlink_to(source, target_is_directory=True)
    loaded = load(source)
    assert_same_images(loaded, arrays)
    assert "1 picture without a class left out" in loaded.notes


def test_few_damaged_pictures_are_left_out_and_counted(
    load: Load, arrays: Arrays, tmp_path: Path
) -> None:
    files = pictures(arrays, {"train": "train/", "test": "test/"})
    source = write_tree(tmp_path / "set", files | {"train/cat/bad.png": b"\x89PNG\r\n\x1a\nxx"})
    loaded = load(source)
    assert_same_images(loaded, arrays)
    assert "1 unreadable picture left out, such as" in loaded.notes
    assert "bad.png: damaged PNG" in loaded.notes


def test_many_damaged_pictures_are_refused(load: Load, arrays: Arrays, tmp_path: Path) -> None:
    files = pictures(arrays, {"train": "train/", "test": "test/"})
    bad = {f"train/cat/bad{n}.png": b"" for n in range(5)}
    with pytest.raises(PipelineError, match=r"5 of 56 pictures cannot be read, such as .*empty"):
        load(write_tree(tmp_path / "set", files | bad))


def test_different_sizes_need_a_size(load: Load, arrays: Arrays, tmp_path: Path) -> None:
    files = pictures(arrays, {"train": "train/", "test": "test/"})
    wide = np.zeros((4, 8), np.uint8)
    wide[:, 2:6] = 255
    source = write_tree(tmp_path / "set", files | {"train/cat/wide.png": encode(wide)})
    expected = r"51 of 4 × 4 pixels, but train/cat/wide.png has 4 × 8; --image-size N"
    with pytest.raises(PipelineError, match=expected):
        load(source)
    found = load(source, image_size=4).arrays.train_images
    narrow = [[0, 0, 0, 0], [0, 255, 255, 0], [0, 255, 255, 0], [0, 0, 0, 0]]
    assert any((abs(image.astype(int) - narrow) <= 70).all() for image in found)


def test_a_class_without_training_pictures_is_refused(
    load: Load, arrays: Arrays, tmp_path: Path
) -> None:
    files = pictures(arrays, {"train": "train/", "test": "test/"})
    more = {"test/fox/a.png": next(iter(files.values()))}
    with pytest.raises(PipelineError, match="no training images of class fox"):
        load(write_tree(tmp_path / "set", files | more))


def test_pictures_without_class_folders_are_refused(
    load: Load, arrays: Arrays, tmp_path: Path
) -> None:
    files = {f"digit{n}.png": encode(image) for n, image in enumerate(arrays.test_images)}
    with pytest.raises(PipelineError, match=r"found digit0\.png and 8 more; put them into folders"):
        load(write_tree(tmp_path / "set", files))


def test_a_decompression_bomb_is_not_decoded(load: Load, arrays: Arrays, tmp_path: Path) -> None:
    files = pictures(arrays, {"train": "train/", "test": "test/"})
    name = next(iter(files))
    bomb = encode(np.zeros((9000, 9000), np.uint8))
    loaded = load(write_zip(tmp_path / "set.zip", files | {f"{name}.png": bomb}))
    assert "9,000 × 9,000 pixels; pictures of up to" in loaded.notes
    assert_same_images(loaded, arrays)


def named(arrays: Arrays, part: str) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
    """Return pictures in a flat folder, and the name and class of each."""
    images, labels = arrays.parts()[part]
    files = {f"{part}/{n}.png": encode(image, "PNG") for n, image in enumerate(images)}
    names = [name.rpartition("/")[2] for name in files]
    return files, [(name, NAMES[label]) for name, label in zip(names, labels, strict=True)]


@pytest.mark.parametrize(
    ("table", "header", "folder"),
    [
        ("train.csv", "id,label", ""),
        ("metadata.csv", "file_name,text", "train/"),
        ("train_labels.csv", "index,picture,class", ""),
    ],
)
def test_labels_in_a_table_beside_the_pictures(
    load: Load, arrays: Arrays, tmp_path: Path, table: str, header: str, folder: str
) -> None:
    files, rows_of_table = named(arrays, "train")
    columns = header.count(",") + 1
    lines = [",".join(["0", *row][-columns:]) for row in rows_of_table]
    files[folder + table] = "\n".join([header, *lines]).encode()
    unlabelled, _ = named(arrays, "test")
    moved = {f"other/{name.partition('/')[2]}x.png": data for name, data in unlabelled.items()}
    loaded = load(write_tree(tmp_path / "set", files | moved))
    assert loaded.class_names == NAMES
    assert "9 pictures without a class left out" in loaded.notes
    assert len(loaded.arrays.train_labels) + len(loaded.arrays.test_labels) == 42


@pytest.mark.parametrize("split", ["test/", "test2017/", "val/"])
def test_a_flat_folder_of_a_split_is_no_class(
    load: Load, arrays: Arrays, tmp_path: Path, split: str
) -> None:
    folders = pictures(arrays, {"train": "train/", "test": "train/"})
    flat = {f"{split}{n}.png": encode(image, "PNG") for n, image in enumerate(arrays.test_images)}
    loaded = load(write_tree(tmp_path / "set", folders | flat))
    assert loaded.class_names == NAMES
    assert "9 pictures without a class left out" in loaded.notes


@pytest.mark.parametrize(
    "folders", [("train", "test"), ("train2017", "val2017"), ("images", "docs")]
)
def test_folders_that_are_no_classes_are_refused(
    load: Load, arrays: Arrays, tmp_path: Path, folders: tuple[str, str]
) -> None:
    flat = {f"{f}/{n}.png": encode(arrays.train_images[n], "PNG") for f in folders for n in (0, 1)}
    with pytest.raises(PipelineError, match="class folders"):
        load(write_tree(tmp_path / "set", flat))


def test_a_table_with_two_columns_of_labels_is_refused(
    load: Load, arrays: Arrays, tmp_path: Path
) -> None:
    files, names = named(arrays, "train")
    lines = ["file,author,colour", *(f"{name},me,{label}" for name, label in names)]
    files["train.csv"] = "\n".join(lines).encode()
    with pytest.raises(PipelineError, match="call one `label`"):
        load(write_tree(tmp_path / "set", files))
