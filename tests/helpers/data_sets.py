"""A small data set, written in the forms of other tools."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tasks.data import idx
from tasks.data.download import Obtained
from tasks.data.sources.mnist import IDX_FILES

Load = Callable[..., "Loaded"]


@dataclass(frozen=True)
class Arrays:
    """A data set of 4 × 4 pixels and three classes."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray

    def parts(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return images and labels by split."""
        return {
            "train": (self.train_images, self.train_labels),
            "test": (self.test_images, self.test_labels),
        }


@dataclass(frozen=True)
class Loaded:
    """A loaded data set."""

    obtained: Obtained

    @property
    def arrays(self) -> Arrays:
        return Arrays(*(idx.loads(self.obtained.contents[name], name) for name in IDX_FILES))

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.obtained.class_names

    @property
    def notes(self) -> str:
        return "; ".join(self.obtained.notes)


def assert_same(loaded: Loaded, expected: Arrays) -> None:
    """Check that a data set is the expected one, in its order."""
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        np.testing.assert_array_equal(getattr(loaded.arrays, name), getattr(expected, name))


def assert_same_images(loaded: Loaded, expected: Arrays) -> None:
    """Check that a data set holds the expected images with their labels, in any order."""
    for name in ("train", "test"):
        found = loaded.arrays.parts()[name]
        assert rows(*found) == rows(*expected.parts()[name])


def rows(images: np.ndarray, labels: np.ndarray) -> list[tuple[bytes, int]]:
    """Return images with their labels, sorted."""
    return sorted(
        (image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)
    )


def encode(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    """Return a picture as Pillow writes it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def write_tree(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files into a folder by their paths."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    """Write files into a ZIP archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    """Write files into a gzipped tar archive, with `./` before their names as `tar` does."""
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


WRITERS: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    "set": write_tree,
    "set.zip": write_zip,
    "set.tar.gz": write_tar,
}
"""Name of a folder or archive → function that writes it."""
