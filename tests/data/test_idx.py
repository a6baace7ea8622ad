"""Tests of reading and writing IDX files, and of errors for invalid files."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tasks.data import idx
from tasks.runtime.errors import PipelineError

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
FILE = bytes.fromhex("00000803 00000002 00000003 00000004") + bytes(range(24))
GZIP = gzip.compress(FILE, mtime=0)


def error_message(data: bytes) -> str:
    """Return the error message for a file with this content; one line that names the file."""
    with pytest.raises(PipelineError) as caught:
        idx.loads(idx.decompress(data, "some-file"), "some-file")
    message = str(caught.value)
    assert message.startswith("some-file: ")
    assert "\n" not in message
    return message


def test_dumps_writes_the_published_layout() -> None:
    assert idx.dumps(IMAGES) == FILE


def test_dumps_ignores_memory_order() -> None:
    assert idx.dumps(np.asfortranarray(IMAGES)) == FILE


def test_loads_returns_values_in_their_shape() -> None:
    array = idx.loads(FILE, "x")
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, IMAGES)


@pytest.mark.parametrize("array", [np.zeros(3, np.int64), np.array(1, np.uint8)])
def test_dumps_refuses_unsupported_types_and_shapes(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        idx.dumps(array)


@pytest.mark.parametrize("name", ["plain", "misleading.gz"])
@pytest.mark.parametrize("data", [FILE, GZIP], ids=["idx", "gzip"])
def test_gzip_is_recognised_by_its_content(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    np.testing.assert_array_equal(idx.read(path), IMAGES)


def test_error_names_the_path(tmp_path: Path) -> None:
    path = tmp_path / "bad"
    path.write_bytes(b"nonsense")
    with pytest.raises(PipelineError) as caught:
        idx.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kept", [2, 5, 20, len(GZIP) - 8, len(GZIP) - 1])
def test_truncated_gzip(kept: int) -> None:
    assert "truncated gzip" in error_message(GZIP[:kept])


def test_gzip_with_a_wrong_checksum() -> None:
    assert "damaged gzip (CRC check failed" in error_message(GZIP[:-8] + bytes(4) + GZIP[-4:])


@pytest.mark.parametrize("garbage", [b"\x1f\x8b" + b"garbage" * 9, GZIP[:10] + b"\xff" * 30])
def test_random_bytes_after_a_gzip_header(garbage: bytes) -> None:
    assert "damaged gzip" in error_message(garbage)


def test_gzip_of_random_bytes() -> None:
    assert "not IDX, begins with 67 61 72 62" in error_message(gzip.compress(b"garbage"))


def test_gzip_of_empty_content() -> None:
    assert "not IDX, begins with nothing" in error_message(gzip.compress(b""))


def test_neither_gzip_nor_idx() -> None:
    message = error_message(b"%PDF-1.7")
    assert "neither gzip nor IDX, begins with 25 50 44 46" in message
    assert "web page" not in message


def test_web_page() -> None:
    assert "looks like a web page" in error_message(b"\n<!DOCTYPE html><html></html>")


def test_empty_file() -> None:
    assert "empty" in error_message(b"")


@pytest.mark.parametrize("magic", ["00004203", "00000003", "00000800"])
def test_wrong_magic(magic: str) -> None:
    assert f"wrong magic {bytes.fromhex(magic).hex(' ')}" in error_message(
        bytes.fromhex(magic) + FILE[4:]
    )


def test_unsupported_type() -> None:
    assert "float32" in error_message(bytes.fromhex("00000d03") + FILE[4:])


@pytest.mark.parametrize("kept", [2, 3, 4, 15])
def test_truncated_header(kept: int) -> None:
    assert "truncated header" in error_message(FILE[:kept])


def test_header_declares_more_bytes_than_follow() -> None:
    message = error_message(FILE[:-1])
    assert "truncated" in message
    assert "2 x 3 x 4 = 24 bytes and 23 bytes follow" in message


def test_header_declares_fewer_bytes_than_follow() -> None:
    assert "too long, its header says 2 x 3 x 4 = 24 bytes and 25 bytes follow" in error_message(
        FILE + b"\0"
    )


def test_header_declares_more_bytes_than_memory_holds() -> None:
    assert "truncated" in error_message(FILE[:4] + b"\xff" * 12)


def test_zero_items() -> None:
    assert "holds no items" in error_message(FILE[:4] + struct.pack(">3I", 0, 3, 4))


def test_read_pair(tmp_path: Path) -> None:
    labels = np.array([7, 1], np.uint8)
    (tmp_path / "i").write_bytes(FILE)
    (tmp_path / "l").write_bytes(idx.dumps(labels))
    pair = idx.read_pair(tmp_path / "i", tmp_path / "l")
    np.testing.assert_array_equal(pair[0], IMAGES)
    np.testing.assert_array_equal(pair[1], labels)


@pytest.mark.parametrize(
    ("images", "labels", "named", "problem"),
    [
        ((2, 12), (2,), "IMAGES", "wrong rank 2; images have 3"),
        ((2,), (2,), "IMAGES", "wrong rank 1; images have 3"),
        ((2, 3, 4), (2, 1), "LABELS", "wrong rank 2; labels have 1"),
        ((0, 3, 4), (0,), "IMAGES", "no images"),
        ((2, 3, 4), (3,), "LABELS", "3 labels for the 2 images in IMAGES"),
    ],
)
def test_invalid_pairs_of_images_and_labels_are_refused(
    images: tuple[int, ...], labels: tuple[int, ...], named: str, problem: str
) -> None:
    with pytest.raises(PipelineError) as caught:
        idx.check_pair(np.zeros(images, np.uint8), np.zeros(labels, np.uint8), "IMAGES", "LABELS")
    assert str(caught.value).startswith(named)
    assert problem in str(caught.value)


@pytest.mark.parametrize("rank", [4, 64, 65, 255])
def test_rank_above_3_is_refused(rank: int) -> None:
    header = bytes([0, 0, 8, rank]) + struct.pack(">I", 1) * rank
    for data in (header + b"x", gzip.compress(header + b"x")):
        assert f"wrong rank {rank}; images have 3, labels 1" in error_message(data)


def test_gzip_with_an_absurd_declared_size() -> None:
    header = FILE[:4] + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1)
    assert "too large, its header says 4294967295 x" in error_message(
        gzip.compress(header + bytes(99))
    )


def test_gzip_is_decompressed_up_to_the_declared_size() -> None:
    bomb = gzip.compress(FILE + bytes(2**26))
    tracemalloc.start()
    message = error_message(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "too long, its header says 2 x 3 x 4 = 24 bytes and more follow" in message
    assert peak < 2**22
