"""Tests of images from files: reading in batches, one-line errors that name the file."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.data import idx
from tasks.data.convert import to_table, write_parquet
from tasks.records import Shape
from tasks.scoring.answers import PictureAnswer
from tasks.scoring.contact_sheet import Entry, write_contact_sheet
from tasks.scoring.images import ImageBatch, Reports, read_batches

SHAPE = Shape(height=9, width=7, classes=3)
PICTURES = np.random.default_rng(0).integers(0, 256, (5, 9, 7), dtype=np.uint8)


def read(*paths: Path, size: int = 2) -> tuple[list[ImageBatch], Reports]:
    """Batches, and what is said about files that are no good."""
    reports = Reports()
    return list(read_batches([*map(str, paths)], SHAPE, size, reports)), reports


def images(batches: list[ImageBatch]) -> np.ndarray:
    return np.stack([image for batch in batches for image in batch.images])


def as_png(path: Path, index: int = 0) -> Path:
    Image.fromarray(PICTURES[index]).save(path, "PNG")
    return path


def as_idx(path: Path) -> Path:
    data = idx.dumps(PICTURES)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def as_parquet(path: Path) -> Path:
    write_parquet(to_table(PICTURES, np.zeros(5, np.uint8), 0), path)
    return path


@pytest.mark.parametrize("write", [as_idx, as_parquet])
@pytest.mark.parametrize("name", ["images", "images.gz"])
def test_files_of_many_images_are_read_in_batches(
    tmp_path: Path, write: Callable[[Path], Path], name: str
) -> None:
    path = write(tmp_path / name)
    batches, reports = read(path)
    assert reports == Reports()
    assert [(b.file, b.rows.tolist(), b.single) for b in batches] == [
        (str(path), [0, 1], False),
        (str(path), [2, 3], False),
        (str(path), [4], False),
    ]
    assert (images(batches) == PICTURES).all()


def test_format_is_recognised_by_content_and_any_size_is_read(tmp_path: Path) -> None:
    large = np.zeros((300, 200), np.uint8)
    Image.fromarray(large).save(tmp_path / "a.png", "BMP")
    Image.fromarray(large).save(
        tmp_path / "b.dat", "GIF", save_all=True, append_images=[Image.fromarray(large + 9)]
    )
    batches, reports = read(tmp_path / "a.png", tmp_path / "b.dat")
    assert reports == Reports()
    assert [batch.images[0].shape for batch in batches] == [(300, 200)] * 2
    assert [batch.notes for batch in batches] == ["", "first frame of several"]
    assert all(batch.single for batch in batches)


def test_folder_is_read_as_its_pictures(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    for index, name in enumerate(["a.png", "b.PNG", "more/c.png"]):
        as_png(tmp_path / name, index)
    (tmp_path / ".ipynb_checkpoints").mkdir()
    as_png(tmp_path / ".ipynb_checkpoints" / "a.png")
    as_png(tmp_path / "._a.png")  # macOS puts such files beside others
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "more" / "up").symlink_to(tmp_path)  # a circle
    batches, reports = read(tmp_path)
    assert [Path(batch.file).name for batch in batches] == ["a.png", "b.PNG", "c.png"]
    assert (images(batches) == PICTURES[:3]).all()
    assert reports.problems == []
    assert reports.notes == [f"{tmp_path}: 1 other file left out (notes.txt)"]


def test_linked_folder_is_read_once(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    as_png(other / "a.png")
    digits = tmp_path / "digits"
    digits.mkdir()
    for name in ("one", "two"):
        (digits / name).symlink_to(other)
    assert [batch.file for batch in read(digits)[0]] == [f"{digits}/one/a.png"]


def test_contact_sheet_is_not_scored(tmp_path: Path) -> None:
    write_contact_sheet(
        [Entry(PICTURES[0], PICTURES[0], PictureAnswer("a", "1", 1.0))],
        "",
        1,
        tmp_path / "sheet.png",
    )
    batches, reports = read(tmp_path)
    assert (batches, reports.problems) == ([], [])
    assert reports.notes == [f"{tmp_path}/sheet.png: a contact sheet, left out"]


def cut_png(path: Path) -> None:
    whole = as_png(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def labels(path: Path) -> None:
    path.write_bytes(idx.dumps(np.zeros(5, np.uint8)))


def huge(path: Path) -> None:
    """A header that promises 4 gigapixels."""
    path.write_bytes(bytes([0, 0, 8, 3]) + bytes.fromhex("00000001 00010000 00010000"))


def floats(path: Path) -> None:
    path.write_bytes(bytes([0, 0, 0x0D, 3]) + bytes(20))


def cut_parquet(path: Path) -> None:
    path.write_bytes(as_parquet(path).read_bytes()[:-20])


def pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def only_text(path: Path) -> None:
    path.mkdir()
    (path / "a.txt").write_text("a")


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (cut_png, "damaged PNG"),
        (labels, "holds labels, not images"),
        (huge, "images of 65,536 × 65,536 pixels"),
        (floats, "holds float32 values; only unsigned bytes (type 0x08) are read"),
        (cut_parquet, "damaged Parquet"),
        (lambda path: path.write_text("seven"), "neither a picture, IDX nor Parquet; begins with"),
        (pointer, "a Git LFS pointer, not the picture; run `git lfs pull`"),
        (os.mkfifo, "a pipe, not a file; not opened"),
        (Path.touch, "the file is empty"),
        (Path.mkdir, "no picture in this folder"),
        (only_text, "no picture in this folder; 1 other file left out (a.txt)"),
        (lambda path: path.symlink_to(path), "too many levels of symbolic links"),
        (lambda _: None, "no such file or folder"),
    ],
)
def test_invalid_file_is_named_and_the_others_are_read(
    tmp_path: Path, write: Callable[[Path], object], said: str
) -> None:
    good, bad, last = as_png(tmp_path / "a"), tmp_path / "bad", as_idx(tmp_path / "z")
    write(bad)
    batches, reports = read(good, bad, last)
    assert len(reports.problems) == 1
    assert reports.problems[0].startswith(f"{bad}: {said}")
    assert "\n" not in reports.problems[0]
    assert (images(batches) == np.concatenate([PICTURES[:1], PICTURES])).all()


def test_names_are_printed_escaped(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff\n"
    os.mkdir(folder)  # noqa: PTH102 (a path of bytes)
    as_png(Path(os.fsdecode(folder + b"/a.png")))
    Path(os.fsdecode(folder + b"/b.png")).touch()
    batches, reports = read(Path(os.fsdecode(folder)))
    assert [batch.file for batch in batches] == [rf"{tmp_path}/\xff\n/a.png"]
    assert reports.problems == [rf"{tmp_path}/\xff\n/b.png: the file is empty"]


@pytest.mark.parametrize(
    ("name", "cut", "said"),
    [
        ("images", 1, "truncated, 4 of 5 images"),
        ("images.gz", 20, "truncated gzip"),
    ],
)
def test_images_before_a_fault_are_kept_and_counted(
    tmp_path: Path, name: str, cut: int, said: str
) -> None:
    path = as_idx(tmp_path / name)
    path.write_bytes(path.read_bytes()[:-cut])
    batches, reports = read(path, size=1)
    (problem,) = reports.problems
    assert said in problem
    kept = images(batches)
    assert len(kept) > 0
    assert (kept == PICTURES[: len(kept)]).all()
    counted = "1 image before that is" if len(kept) == 1 else f"{len(kept)} images before that are"
    assert problem.endswith(f"({counted} scored)")


def test_too_long_file_is_reported(tmp_path: Path) -> None:
    path = as_idx(tmp_path / "images")
    path.write_bytes(path.read_bytes() + b"\0")
    assert "too long, more follows after 5 images" in read(path)[1].problems[0]


def test_damaged_gzip_is_reported(tmp_path: Path) -> None:
    path = as_idx(tmp_path / "images.gz")
    data = bytearray(path.read_bytes())
    data[-6] ^= 1  # in the checksum
    path.write_bytes(data)
    assert "damaged gzip" in read(path)[1].problems[0]
