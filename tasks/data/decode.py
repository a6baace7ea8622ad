"""Pictures decoded from files of people's: any usual format, in any state."""

import functools
import os
import stat
import struct
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from tasks.runtime.errors import PipelineError

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
MOST_BYTES = 256 * 2**20  # a larger file is no picture of a digit
MOST_PIXELS = 50_000_000  # 200 MB in memory; phones take up to this by default
LARGEST_SIDE = 1024  # pixels; larger pictures are reduced while they are decoded
FULL_SCALES = (255, 4095, 65535)  # grey levels of 8, 12 and 16 bits

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"  # W3C, Portable Network Graphics, section 5.2
MAGICS = {  # first bytes of pictures that are read
    PNG_MAGIC: "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
OTHER_FILES = {  # first bytes of files that people take for pictures
    b"version https://git-lfs": "a Git LFS pointer, not the picture; run `git lfs pull`",
    b"%PDF": "a PDF; save the page as PNG",
    b"<svg": "an SVG drawing; save it as PNG",
    b"<?xml": "XML, perhaps an SVG drawing; save it as PNG",
    b"<": "a web page or other markup",
    b"8BPS": "a Photoshop file; save it as PNG",
    b"PK\x03\x04": "a ZIP archive; unpack it",
    b"\x1f\x8b": "gzip; unpack it",
}
ORIENTATION = 0x0112  # EXIF tag
START = 32  # bytes that tell a format


@dataclass(frozen=True)
class Decoded:
    """One picture."""

    pixels: np.ndarray
    """uint8 [height, width], grey."""
    notes: tuple[str, ...]
    """Facts that a reader may want to know, in plain words: `first frame of several`."""


def printable(name: str | Path) -> str:
    r"""Return a file's name as it can be printed anywhere: `\xff` for bytes that are not UTF-8."""
    if (text := str(name)).isprintable():
        return text
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def picture_format(start: bytes) -> str | None:
    """Tell a picture's format by the first bytes of a file; None if it is none that is read."""
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WEBP"
    return next((name for magic, name in MAGICS.items() if start.startswith(magic)), None)


def describe_format(start: bytes) -> str:
    """Describe a file that is no picture by its first bytes."""
    if not start:
        return "the file is empty"
    if start[4:8] == b"ftyp":
        kind = start[8:12].decode("ascii", "replace").strip()
        heic = kind in {"heic", "heix", "mif1", "msf1"}
        return "a HEIC picture; save it as JPEG or PNG" if heic else f"a video or {kind} file"
    text = start.lstrip()
    for magic, what in OTHER_FILES.items():
        if text.startswith(magic):
            return what
    return f"neither a picture, IDX nor Parquet; begins with {start[:4].hex(' ')}"


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read, but never a pipe, socket or device, which could block.

    Raises:
        PipelineError: it cannot be opened or is no regular file; one line.
    """
    name = printable(path)
    try:
        check_regular(path.stat(), name)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        file = os.fdopen(descriptor, "rb")
        check_regular(os.fstat(descriptor), name)  # the name may mean another file by now
    except OSError as error:
        raise PipelineError(f"{name}: {(error.strerror or 'unreadable').lower()}") from error
    except ValueError as error:  # a null byte in the name
        raise PipelineError(f"{name}: {error}") from error
    return file


def check_regular(facts: os.stat_result, name: str) -> None:
    """Refuse what is no regular file.

    Raises:
        PipelineError: it is a folder, pipe, socket or device.
    """
    if stat.S_ISDIR(facts.st_mode):
        raise PipelineError(f"{name}: a folder, not a picture")
    if not stat.S_ISREG(facts.st_mode):
        raise PipelineError(f"{name}: a {special_kind(facts.st_mode)}, not a file; not opened")


def read_whole(file: BinaryIO, name: str) -> bytes:
    """Read an open file from its start, if it is not too large to be a picture.

    Raises:
        PipelineError: it is.
    """
    size = os.fstat(file.fileno()).st_size
    if size > MOST_BYTES:
        raise PipelineError(
            f"{name}: {size / 2**20:,.0f} MiB; pictures of up to {MOST_BYTES // 2**20} MiB are read"
        )
    file.seek(0)
    return file.read(MOST_BYTES)


def special_kind(mode: int) -> str:
    """Name the kind of a special file."""
    kinds = ((stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"))
    return next((kind for test, kind in kinds if test(mode)), "device")


def decode_picture(data: bytes, name: str) -> Decoded:
    """Decode one picture: turned upright, in grey, transparent parts white.

    Args:
        data: a whole file.
        name: of the file, for errors.

    Raises:
        PipelineError: it is no picture, damaged or too large; one line that names the file.
    """
    kind = picture_format(data[:START])
    if kind is None:
        raise PipelineError(f"{name}: {describe_format(data[:START])}")
    try:
        return decode(data)
    except TooManyPixels as error:
        raise PipelineError(f"{name}: {error}") from error
    except Exception as error:  # damaged files raise whatever a decoder's line happens to raise
        if kind == "PNG" and (bare := drop_extras(data)) != data:
            try:
                decoded = decode(bare)
                return Decoded(decoded.pixels, (*decoded.notes, "damaged extra data ignored"))
            except Exception:  # the first error says more
                pass
        raise PipelineError(f"{name}: damaged {kind}{reason(error)}") from error


class TooManyPixels(Exception):  # noqa: N818
    """A picture that would need too much memory."""


def reason(error: Exception) -> str:
    """Return a decoder's own words in brackets, if they are for people; else nothing."""
    words = " ".join(str(error).split())
    if "cannot identify image file" in words or not isinstance(error, (OSError, SyntaxError)):
        return ""
    return f" ({words[:100]})" if words else ""


def decode(data: bytes) -> Decoded:
    """Decode one picture; see `decode_picture`.

    Raises:
        TooManyPixels: before anything is decoded.
        Exception: of any kind, if the picture is damaged.
    """
    import io

    from PIL import Image

    notes = []
    silence_libtiff()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about EXIF and palettes, and a limit that is ours, too
        try:
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise TooManyPixels("far too large for a picture of a digit") from error
        with picture:
            check_pixels(picture.width, picture.height)
            if getattr(picture, "is_animated", False):
                notes.append("first frame of several")
            picture.draft(None, (LARGEST_SIDE, LARGEST_SIDE))  # JPEG: decoded at reduced size
            picture.load()
            upright = turn_upright(picture)
            if max(upright.size) > 2 * LARGEST_SIDE and upright.mode in {"L", "RGB", "RGBA", "LA"}:
                upright = upright.reduce(max(upright.size) // LARGEST_SIDE)
            return Decoded(to_grey(upright), tuple(notes))


@functools.cache
def silence_libtiff() -> None:
    """Keep libtiff from printing what is wrong with a picture; Pillow raises an error as well."""
    import ctypes
    import importlib.util

    pillow = importlib.util.find_spec("PIL._imaging")
    # Where libtiff is a part of Pillow's own library, its functions are not found.
    with suppress(AttributeError, OSError):
        library = ctypes.CDLL(pillow.origin if pillow else None)
        library.TIFFSetErrorHandler(None)
        library.TIFFSetWarningHandler(None)


def check_pixels(width: int, height: int) -> None:
    """Refuse a picture with too many pixels.

    Raises:
        TooManyPixels: it has.
    """
    if width * height > MOST_PIXELS:
        raise TooManyPixels(
            f"{width:,} × {height:,} pixels; pictures of up to"
            f" {MOST_PIXELS // 10**6} million pixels are read"
        )


def turn_upright(picture: "Image.Image") -> "Image.Image":
    """Turn a photograph as its EXIF orientation says; damaged EXIF says nothing."""
    from PIL import ImageOps

    try:
        upright = picture.getexif().get(ORIENTATION, 1) == 1
        return picture if upright else ImageOps.exif_transpose(picture)
    except Exception:  # damaged EXIF raises whatever its parser's line happens to raise
        return picture


def to_grey(picture: "Image.Image") -> np.ndarray:
    """Return a decoded picture in grey, uint8 [height, width]."""
    if picture.mode.startswith(("I", "F")):
        return scale_levels(np.asarray(picture))
    if picture.mode in {"1", "L"} and "transparency" not in picture.info:
        return np.array(picture if picture.mode == "L" else picture.convert("L"))
    if picture.mode in {"RGB", "CMYK", "YCbCr"} and "transparency" not in picture.info:
        return colour_to_grey(np.asarray(picture.convert("RGB")))
    return flatten(np.asarray(picture.convert("RGBA")))


def scale_levels(levels: np.ndarray) -> np.ndarray:
    """Scale grey levels of more than 8 bits to 8 bits.

    Args:
        levels: any number type, [height, width]. Integers are of 8, 12 or 16 bits, the fewest
            that hold the largest value; fractions up to 1 are shares of white.

    Returns:
        uint8 [height, width].
    """
    values = np.nan_to_num(levels.astype(np.float64), posinf=0, neginf=0)
    top = values.max()
    full = next((scale for scale in FULL_SCALES if top <= scale), top)
    if levels.dtype.kind == "f" and top <= 1:
        full = 1
    scaled: np.ndarray = np.rint(np.clip(values / full, 0, 1) * 255).astype(np.uint8)
    return scaled


def flatten(rgba: np.ndarray) -> np.ndarray:
    """Lay a picture with transparent parts on white, or on black if its ink is white.

    Args:
        rgba: uint8 [height, width, 4].

    Returns:
        Grey, uint8 [height, width].
    """
    alpha = rgba[..., 3:] / 255
    colour = rgba[..., :3] * alpha
    on_white = np.rint(colour + 255 * (1 - alpha)).astype(np.uint8)
    if on_white.min() == 255 and alpha.min() < 1:
        return colour_to_grey(np.rint(colour).astype(np.uint8))
    return colour_to_grey(on_white)


def colour_to_grey(rgb: np.ndarray) -> np.ndarray:
    """Return a colour picture in grey.

    Luminance, unless one channel shows much more contrast: yellow ink on white is hardly seen in
    luminance, but plain in blue.

    Args:
        rgb: uint8 [height, width, 3].

    Returns:
        uint8 [height, width].
    """
    if (rgb == rgb[..., :1]).all():
        return np.ascontiguousarray(rgb[..., 0])
    luminance = rgb @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    spreads = rgb.reshape(-1, 3).std(axis=0)
    if spreads.max() > 2 * luminance.std():
        return np.ascontiguousarray(rgb[..., spreads.argmax()])
    grey: np.ndarray = np.rint(luminance).astype(np.uint8)
    return grey


def drop_extras(png: bytes) -> bytes:
    """Drop the chunks of a PNG that a decoder may ignore, such as a damaged colour profile.

    Args:
        png: a whole file.

    Returns:
        The file without them; transparency stays.
    """
    kept, place = [PNG_MAGIC], len(PNG_MAGIC)
    while place + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, place)
        kind, end = png[place + 4 : place + 8], place + 12 + length
        if kind[:1].isupper() or kind == b"tRNS":
            kept.append(png[place:end])
        place = end
    return b"".join(kept)
