"""Tests of decoding pictures: formats, refusals, damaged files."""

import io
import os
import socket
import stat
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.data.decode import Decoded, decode_picture, open_regular, printable, read_whole
from tasks.runtime.errors import PipelineError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")


def read_picture(path: Path) -> Decoded:
    """Read and decode a file."""
    with open_regular(path) as file:
        return decode_picture(read_whole(file, printable(path)), printable(path))


def sample(height: int = 20, width: int = 30) -> np.ndarray:
    """Return a grey gradient, uint8 [height, width]."""
    return np.linspace(0, 255, height * width).astype(np.uint8).reshape(height, width)


def encode(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def insert_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    """Insert a chunk after the header of a PNG."""
    return png[:33] + chunk(kind, body) + png[33:]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_picture(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = decode_picture(encode(Image.fromarray(sample()), kind, **options), "x")
    assert decoded.notes == ()
    difference = np.abs(decoded.pixels.astype(int) - sample())
    assert difference.max() <= (8 if kind == "JPEG" else 0)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"])
def test_pictures_of_every_mode(mode: str) -> None:
    grey = sample() > 127
    levels = np.where(grey, 255, 0).astype(np.uint8)
    if mode == "I;16":
        picture = Image.fromarray(levels.astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(levels).convert(mode)
    assert (decode_picture(encode(picture, "TIFF"), "x").pixels == levels).all()


@pytest.mark.parametrize("scale", [257, 16, 1])
def test_16_bits_of_several_scales(scale: int) -> None:
    picture = Image.fromarray(sample().astype(np.uint16) * scale)
    difference = decode_picture(encode(picture), "x").pixels.astype(int) - sample()
    assert np.abs(difference).max() <= 1


def test_transparent_pixels_are_white() -> None:
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[1, 1, 3] = 255
    pixels = decode_picture(encode(Image.fromarray(rgba)), "x").pixels
    assert pixels[1, 1] == 0
    assert np.delete(pixels, 5).min() == 255


def test_white_ink_on_transparency_is_visible() -> None:
    rgba = np.full((4, 4, 4), 255, np.uint8)
    rgba[..., 3] = 0
    rgba[1, 1, 3] = 255
    pixels = decode_picture(encode(Image.fromarray(rgba)), "x").pixels
    assert (pixels[1, 1], pixels[0, 0]) == (255, 0)


def test_palette_with_a_transparent_colour() -> None:
    picture = Image.fromarray(np.array([[0, 1], [1, 1]], np.uint8))
    picture = picture.convert("P")
    picture.putpalette([0, 0, 0, 9, 9, 9])
    pixels = decode_picture(encode(picture, transparency=1), "x").pixels
    assert pixels.tolist() == [[0, 255], [255, 255]]


def test_yellow_ink_on_white_has_contrast() -> None:
    rgb = np.full((4, 4, 3), 255, np.uint8)
    rgb[1, 1] = (255, 255, 0)
    pixels = decode_picture(encode(Image.fromarray(rgb)), "x").pixels
    assert (pixels[1, 1], pixels[0, 0]) == (0, 255)


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate 90° clockwise to display"
    data = encode(Image.fromarray(sample()), "PNG", exif=exif)
    assert (decode_picture(data, "x").pixels == np.rot90(sample(), -1)).all()


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_first_of_several_frames_is_used_with_a_note(kind: str) -> None:
    frames = [Image.fromarray(sample()), Image.fromarray(255 - sample())]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    decoded = decode_picture(data, "x")
    assert decoded.notes == ("first frame of several",)
    assert (decoded.pixels == sample()).all()


def test_format_is_recognised_by_content(tmp_path: Path) -> None:
    path = tmp_path / "digit.png"
    path.write_bytes(encode(Image.fromarray(sample()), "JPEG"))
    assert read_picture(path).pixels.shape == (20, 30)


@pytest.mark.parametrize("kind", [b"iCCP", b"gAMA", b"eXIf", b"pHYs"])
def test_png_with_an_empty_extra_chunk_is_read(kind: bytes) -> None:
    data = insert_chunk(encode(Image.fromarray(sample())), kind, b"")
    assert (decode_picture(data, "x").pixels == sample()).all()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"%PDF-1.7", "a PDF"),
        (b"\n<!doctype html>", "web page"),
        (b"\x93NUMPY", "begins with 93 4e 55 4d"),
        (b"\x89PNG\r\n\x1a\n", "damaged PNG"),
        (encode(Image.fromarray(sample()))[:-30], "damaged PNG"),
        (encode(Image.fromarray(sample()), "JPEG")[:-99], "damaged JPEG"),
    ],
)
def test_error_names_a_file_that_is_not_a_picture(data: bytes, said: str) -> None:
    with pytest.raises(PipelineError) as caught:
        decode_picture(data, "folder/x.png")
    assert str(caught.value).startswith("folder/x.png: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_compressed_tiff_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """By itself, libtiff prints each problem."""
    file = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(file, "TIFF", compression="tiff_lzw")
    strip_offsets, other = struct.pack("<H", 273), struct.pack("<H", 40_000)
    data = file.getvalue()
    place = data.index(strip_offsets)
    with pytest.raises(PipelineError, match="damaged TIFF"):
        decode_picture(data[:place] + other + data[place + 2 :], "a.tif")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("side", [8_000, 12_000, 60_000])
def test_too_many_pixels_are_refused_before_decoding(side: int) -> None:
    """The file has a header without pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(PipelineError, match=r"pixels|far too large"):
        decode_picture(data, "x")


def test_large_photograph_is_reduced() -> None:
    data = encode(Image.new("RGB", (4000, 3000)), "JPEG")
    assert max(decode_picture(data, "x").pixels.shape) <= 2048


def test_pipe_socket_device_and_folder_are_never_opened(tmp_path: Path) -> None:
    pipe, listener = tmp_path / "pipe.png", tmp_path / "socket.png"
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(listener))
        for path, kind in [
            (pipe, "pipe"),
            (listener, "socket"),
            (Path("/dev/zero"), "device"),
            (tmp_path, "folder"),
        ]:
            with pytest.raises(PipelineError, match=kind):
                read_picture(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"")
    path.chmod(0)
    with pytest.raises(PipelineError, match="permission denied"):
        read_picture(path)


def test_huge_file_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    with path.open("wb") as file:
        file.truncate(2**40)
    assert stat.S_ISREG(path.stat().st_mode)
    with pytest.raises(PipelineError, match="1,048,576 MiB"):
        read_picture(path)


def test_names_are_printed_escaped(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9\x1b\n.png")
    path.write_bytes(b"")
    with pytest.raises(PipelineError) as caught:
        read_picture(path)
    assert r"caf\xe9\x1b\n.png: the file is empty" in str(caught.value)
    assert printable("naïve 数字.png") == "naïve 数字.png"


SAMPLES = [
    encode(Image.fromarray(sample(9, 7)).convert(m), k)
    for k, m in zip(FORMATS, ("P", "L", "RGB", "RGB", "RGBA", "P"), strict=True)
] + [encode(Image.fromarray(sample(9, 7)), "TIFF", compression="tiff_lzw")]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8),
    st.integers(0, 10**6),
    st.binary(max_size=12),
)
def test_damaged_files_never_raise_other_errors(
    data: bytes, edits: list[tuple[int, int]], cut: int, more: bytes
) -> None:
    """A damaged file gives a picture or a one-line error."""
    changed = bytearray(data)
    for place, value in edits:
        changed[place % len(changed)] = value
    damaged = bytes(changed[: cut % (2 * len(changed))]) + more
    try:
        pixels = decode_picture(damaged, "x").pixels
    except PipelineError as error:
        assert "\n" not in str(error)
    else:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 2
        assert pixels.size
