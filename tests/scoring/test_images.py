"""Tests of images from files: reading in batches, one-line errors that name the file."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.data import idx
from tasks.data.convert import to_table, write_parquet
from tasks.records import Shape
from tasks.scoring.images import ImageBatch, read_batches

SHAPE = Shape(height=9, width=7, classes=3)
PICTURES = np.random.default_rng(0).integers(0, 256, (5, 9, 7), dtype=np.uint8)


def read(*paths: Path, size: int = 2) -> tuple[list[ImageBatch], list[str]]:
    """Return the batches, and the errors for invalid files."""
    problems: list[str] = []
    return list(read_batches([*map(str, paths)], SHAPE, size, problems.append)), problems


def images(batches: list[ImageBatch]) -> np.ndarray:
    return np.concatenate([batch.images for batch in batches])


def as_png(path: Path, mode: str = "L", index: int = 0) -> Path:
    Image.fromarray(PICTURES[index]).convert(mode).save(path, "PNG")
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
    batches, problems = read(path)
    assert problems == []
    assert [(p.file, p.first_row, len(p.images)) for p in batches] == [
        (str(path), 0, 2),
        (str(path), 2, 2),
        (str(path), 4, 1),
    ]
    assert (images(batches) == PICTURES).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_grey_pictures_of_every_mode_are_equal(tmp_path: Path, mode: str) -> None:
    batches, problems = read(as_png(tmp_path / "a.png", mode))
    assert problems == []
    assert (images(batches) == PICTURES[:1]).all()


def test_palette_and_1_bit_pictures_become_grey(tmp_path: Path) -> None:
    black_and_white = (PICTURES[0] > 127).astype(np.uint8) * 255
    for name, mode in [("p.png", "P"), ("1.png", "1")]:
        Image.fromarray(black_and_white).convert(mode).save(tmp_path / name)
    batches, problems = read(tmp_path / "p.png", tmp_path / "1.png")
    assert problems == []
    assert (images(batches) == black_and_white).all()


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    Image.fromarray(PICTURES[0].astype(np.uint16) * 257).save(tmp_path / "a.png")
    batches, problems = read(tmp_path / "a.png")
    assert problems == []
    assert (images(batches) == PICTURES[:1]).all()


def test_folder_is_read_as_its_pictures(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    for index, name in enumerate(["a.png", "b.PNG", "more/c.png"]):
        as_png(tmp_path / name, index=index)
    (tmp_path / "notes.txt").write_text("not a picture")
    batches, problems = read(tmp_path)
    assert problems == []
    assert [Path(batch.file).name for batch in batches] == ["a.png", "b.PNG", "c.png"]
    assert (images(batches) == PICTURES[:3]).all()


def colour(path: Path) -> None:
    Image.fromarray(np.stack([PICTURES[0], PICTURES[1], PICTURES[2]], axis=-1)).save(path, "PNG")


def transparent(path: Path) -> None:
    Image.merge("LA", [Image.fromarray(PICTURES[0]), Image.fromarray(PICTURES[1])]).save(
        path, "PNG"
    )


def larger(path: Path) -> None:
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(path, "PNG")


def cut_png(path: Path) -> None:
    whole = as_png(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def bomb(path: Path) -> None:
    """Write a header that declares 4 gigapixels."""
    data = as_png(path).read_bytes()
    size = (65_000).to_bytes(4, "big")
    header = b"IHDR" + size + size + data[24:29]
    path.write_bytes(data[:12] + header + zlib.crc32(header).to_bytes(4, "big") + data[33:])


def labels(path: Path) -> None:
    path.write_bytes(idx.dumps(np.zeros(5, np.uint8)))


def other_idx(path: Path) -> None:
    path.write_bytes(idx.dumps(np.zeros((2, 5, 5), np.uint8)))


def floats(path: Path) -> None:
    path.write_bytes(bytes([0, 0, 0x0D, 3]) + bytes(20))


def no_column(path: Path) -> None:
    pq.write_table(pa.table({"pixels": [1]}), path)


def other_column(path: Path) -> None:
    pq.write_table(pa.table({"image": [[1, 2]]}), path)


def cut_parquet(path: Path) -> None:
    path.write_bytes(as_parquet(path).read_bytes()[:-20])


def text(path: Path) -> None:
    path.write_text("seven")


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (colour, "in colour; save it in shades of grey"),
        (transparent, "partly transparent; save it without an alpha channel"),
        (larger, "28 × 28 pixels; the champion takes 9 × 7"),
        (cut_png, "damaged PNG"),
        (bomb, "far too large for a picture of a digit"),
        (labels, "holds labels, not images"),
        (other_idx, "5 × 5 pixels; the champion takes 9 × 7"),
        (floats, "holds float32 values; only unsigned bytes (type 0x08) are read"),
        (no_column, "no column `image`"),
        (other_column, "its column `image` holds list<"),
        (cut_parquet, "damaged Parquet"),
        (text, "neither PNG, IDX nor Parquet, begins with 73 65 76 65"),
        (Path.touch, "neither PNG, IDX nor Parquet, the file is empty"),
        (Path.mkdir, "no PNG file in this folder"),
        (lambda _: None, "no such file or folder"),
    ],
)
def test_invalid_file_is_named_and_the_others_are_read(
    tmp_path: Path, write: Callable[[Path], object], said: str
) -> None:
    good, bad, last = as_png(tmp_path / "a"), tmp_path / "bad", as_idx(tmp_path / "z")
    write(bad)
    batches, problems = read(good, bad, last)
    assert len(problems) == 1
    assert problems[0].startswith(f"{bad}: {said}")
    assert "\n" not in problems[0]
    assert (images(batches) == np.concatenate([PICTURES[:1], PICTURES])).all()


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
    batches, (problem,) = read(path, size=1)
    assert said in problem
    kept = images(batches)
    assert len(kept) > 0
    assert (kept == PICTURES[: len(kept)]).all()
    assert problem.endswith(f"(the {len(kept)} images before that are scored)")


def test_too_long_file_is_reported(tmp_path: Path) -> None:
    path = as_idx(tmp_path / "images")
    path.write_bytes(path.read_bytes() + b"\0")
    assert "too long, more follows after 5 images" in read(path)[1][0]


def test_damaged_gzip_is_reported(tmp_path: Path) -> None:
    path = as_idx(tmp_path / "images.gz")
    data = bytearray(path.read_bytes())
    data[-6] ^= 1  # in the checksum
    path.write_bytes(data)
    assert "damaged gzip" in read(path)[1][0]
