"""`--source PATH` as a whole: forms, refusals, digests, class names, and the key."""

import os
from pathlib import Path

import numpy as np
import pytest
from helpers.data_sets import Arrays, Load, encode, write_tree, write_zip

from tasks.data import idx
from tasks.data.download import source_key_inputs
from tasks.data.sources import known, local
from tasks.data.sources.mnist import IDX_FILES, MNIST
from tasks.runtime.errors import PipelineError
from tasks.settings import DownloadSettings


def idx_set(arrays: Arrays) -> dict[str, bytes]:
    return dict(zip(IDX_FILES, map(idx.dumps, vars(arrays).values()), strict=True))


@pytest.fixture
def folder(tmp_path: Path, arrays: Arrays) -> Path:
    return write_tree(tmp_path / "set", idx_set(arrays))


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, "found no file"),
        ({"notes.txt": b""}, "found notes.txt"),
        (
            {"raw/a.mat": b"", "raw/b.mat": b"", "c.txt": b"", "x/y/d": b"", "e/f": b""},
            "found c.txt, f in e/, a.mat and 1 more in raw/, and files in 1 more folders",
        ),
    ],
)
def test_refusal_says_what_was_found(
    load: Load, tmp_path: Path, files: dict[str, bytes], found: str
) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(PipelineError) as caught:
        load(write_tree(tmp_path / "set", files))
    assert str(caught.value) == (
        f"--source {tmp_path / 'set'}: no data set; {found}; {local.FORMS}"
    )


@pytest.mark.parametrize("name", ["mnist.npz", "sub/mnist.tar.gz"])
def test_refusal_names_an_archive_in_the_folder(load: Load, tmp_path: Path, name: str) -> None:
    write_tree(tmp_path / "set", {name: b"", "notes.txt": b""})
    with pytest.raises(PipelineError, match=f"; name the archive: --source {tmp_path}/set/{name}$"):
        load(tmp_path / "set")


def test_a_web_address_belongs_to_another_option(load: Load) -> None:
    with pytest.raises(PipelineError, match="no such file or folder; a web address belongs to"):
        local.Local("https://example.org/x.zip", DownloadSettings(source="x")).load()


def test_own_data_needs_no_option(load: Load, folder: Path) -> None:
    assert load(folder).obtained.source == f"directory {folder}"
    with pytest.raises(PipelineError, match="its content is not MNIST's"):
        load(folder, digests="mnist")


def test_mnist_in_part_is_refused(
    load: Load, folder: Path, arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three files are the known ones, the fourth is sound but another."""
    from dataclasses import replace
    from hashlib import sha256

    known_files = tuple(
        replace(file, sha256=sha256((folder / file.name).read_bytes()).hexdigest())
        for file in MNIST
    )
    monkeypatch.setattr(local, "MNIST", known_files)
    load(folder)
    (folder / IDX_FILES[3]).write_bytes(idx.dumps(arrays.test_labels[::-1].copy()))
    with pytest.raises(PipelineError, match=f"^{IDX_FILES[3]}: not MNIST's, but the other files"):
        load(folder)
    load(folder, digests="none")


def test_known_data_sets_have_class_names(
    load: Load, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hashlib import sha256

    labels = [sha256((folder / name).read_bytes()).hexdigest() for name in IDX_FILES[1::2]]
    assert load(folder).class_names == ()
    monkeypatch.setattr(known, "CLASS_NAMES", {tuple(labels): ("a", "b", "c")})
    assert load(folder).class_names == ("a", "b", "c")
    assert load(folder, image_size=8).class_names == ("a", "b", "c")


def test_images_are_scaled(load: Load, folder: Path) -> None:
    loaded = load(folder, image_size=8)
    assert loaded.arrays.train_images.shape == (42, 8, 8)
    assert loaded.arrays.test_images.shape == (9, 8, 8)
    assert loaded.notes == "images scaled to 8 × 8 pixels"
    assert load(folder, image_size=4).notes == ""


# The key


def key(source: Path) -> object:
    return source_key_inputs(DownloadSettings(source=str(source)))


def test_key_of_files_is_their_content(folder: Path) -> None:
    before = key(folder)
    (folder / "notes.txt").write_text("not part of the data set")
    path = folder / IDX_FILES[1]
    os.utime(path, (1, 1))
    assert key(folder) == before
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert key(folder) != before


def test_key_of_an_archive_is_its_content(tmp_path: Path, arrays: Arrays) -> None:
    path = write_zip(tmp_path / "set.zip", idx_set(arrays))
    before = key(path)
    assert before == key(path)
    write_zip(path, idx_set(arrays) | {"more": b""})
    assert key(path) != before


def test_key_of_pictures_changes_with_each_of_them(tmp_path: Path) -> None:
    files = {f"{c}/{n}.png": encode(np.full((2, 2), n, np.uint8)) for c in "ab" for n in range(3)}
    source = write_tree(tmp_path / "set", files)
    before = key(source)
    (source / "a" / "notes.txt").write_text("not part of the data set")
    assert key(source) == before
    (source / "a" / "1.png").write_bytes(files["a/2.png"])
    changed = key(source)
    assert changed != before
    (source / "b" / "0.png").rename(source / "b" / "9.png")
    assert key(source) != changed


def test_key_of_nothing_is_empty(tmp_path: Path) -> None:
    """The run itself says what is missing."""
    inputs = source_key_inputs(DownloadSettings(source=str(tmp_path / "nowhere")))
    assert inputs["files"] == {}
    assert source_key_inputs(DownloadSettings(source="digits")) == {}
