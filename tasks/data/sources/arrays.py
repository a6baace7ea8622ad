"""NumPy's arrays: Keras's `mnist.npz`, MedMNIST's files, or `.npy` files of the same names.

An `.npz` file is a ZIP archive of `.npy` files, so that it is opened as any other archive. Arrays
of Python objects are pickles, which run code; they are refused.
"""

import io
import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.data.sources.files import Files
from tasks.data.sources.idx_files import nearest_to_top
from tasks.data.sources.labelled import (
    DataSet,
    LabelledImages,
    Role,
    combine,
    role_of,
    small_labels,
    square_shape,
    whole_bytes,
)
from tasks.runtime.errors import PipelineError
from tasks.words import plural

NPY_SUFFIX = ".npy"
NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
"""Version of the format → reader of its header (numpy.lib.format's documentation)."""
IMAGE_WORDS = {"x", "image", "images", "data"}
LABEL_WORDS = {"y", "label", "labels", "target", "targets"}


@dataclass(frozen=True)
class ArraySet:
    """Pairs of arrays that make a data set."""

    files: dict[Role, tuple[str, str]]
    """Split → names of the file with its images and of that with its labels."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files to read."""
        return tuple(name for pair in self.files.values() for name in pair)


def find_arrays(names: Sequence[str], label: str) -> ArraySet | None:
    """Find pairs of arrays such as `x_train.npy` and `y_train.npy`; None without training images.

    Args:
        names: of all files of the source.
        label: of the source, for the error.

    Raises:
        PipelineError: several data sets are there, none of them nearer to the top.
    """
    found: dict[str, dict[tuple[Role, bool], str]] = {}
    for name in sorted(names):
        folder, _, last = name.rpartition("/")
        if part := array_part(last):
            found.setdefault(folder, {}).setdefault(part, name)
    sets = {folder: pairs for folder, files in found.items() if "train" in (pairs := paired(files))}
    if not sets:
        return None
    return ArraySet(sets[nearest_to_top([*sets], label)])


def array_part(name: str) -> tuple[Role, bool] | None:
    """Return the split of an array and whether it holds labels, by its name; None for others."""
    words = re.split(r"[^a-z0-9]+", name.lower().removesuffix(NPY_SUFFIX))
    role = role_of(name)
    if not name.lower().endswith(NPY_SUFFIX) or len(words) != 2 or role is None:
        return None
    for kind, is_label in ((IMAGE_WORDS, False), (LABEL_WORDS, True)):
        if kind & set(words):
            return role, is_label
    return None


def paired(files: dict[tuple[Role, bool], str]) -> dict[Role, tuple[str, str]]:
    """Return split → names of its images and labels, for those that have both."""
    return {
        role: (name, files[role, True])
        for (role, is_label), name in files.items()
        if not is_label and (role, True) in files
    }


def load_arrays(chosen: ArraySet, files: Files) -> DataSet:
    """Read the arrays of all splits.

    Args:
        chosen: which ones.
        files: of the source.

    Raises:
        PipelineError: an array is damaged, or holds no images or labels.
    """
    data = dict(files.read(frozenset(chosen.names)))
    parts: dict[Role, LabelledImages] = {}
    for role, (image_name, label_name) in chosen.files.items():
        place, label_place = files.place(image_name), files.place(label_name)
        images = array_images(read_npy(data[image_name], place), place)
        labels = array_labels(read_npy(data[label_name], label_place), label_place)
        if len(images) != len(labels):
            raise PipelineError(
                f"{label_place}: {plural(len(labels), 'label')} for the"
                f" {plural(len(images), 'image')} in {place}"
            )
        parts[role] = LabelledImages(images, labels)
    data_set, notes = combine(parts, f"--source {files.label}")
    return DataSet(data_set.train, data_set.test, notes=notes)


def read_npy(data: bytes, name: str) -> np.ndarray:
    """Return the array in a `.npy` file, a read-only view of its bytes; nothing is unpickled.

    Args:
        data: a whole file.
        name: of the file, for errors.

    Raises:
        PipelineError: it is damaged, or holds something else than numbers.
    """
    file = io.BytesIO(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers written by Python 2
            shape, by_columns, kind = NPY_HEADERS[np.lib.format.read_magic(file)](file)
    except Exception as error:  # the header is Python's syntax: whatever its parser raises
        raise PipelineError(f"{name}: not an array of NumPy, or a damaged one") from error
    if kind.kind not in "biuf":
        objects = " (Python objects are never read: they can run code)" if kind.hasobject else ""
        raise PipelineError(f"{name}: holds {kind}, not numbers{objects}")
    sizes = " x ".join(map(str, shape))
    count, found = math.prod(shape), len(data) - file.tell()
    if min(shape, default=0) < 1:
        what = f"{sizes} numbers" if shape else "a single number"
        raise PipelineError(f"{name}: holds {what}, no images or labels")
    if count * kind.itemsize != found:
        raise PipelineError(
            f"{name}: damaged, its header says {sizes} of {kind} and {found:,} bytes follow"
        )
    values = np.frombuffer(data, kind, offset=file.tell())
    return values.reshape(shape, order="F" if by_columns else "C")


def array_images(values: np.ndarray, name: str) -> np.ndarray:
    """Return images as uint8 [n, height, width].

    Args:
        values: [n, height, width], with or without a last dimension of 1; or [n, pixels].
        name: of the file, for errors.

    Raises:
        PipelineError: they have other dimensions, or other pixels than whole numbers to 255.
    """
    shape = values.shape[:-1] if values.ndim == 4 and values.shape[-1] == 1 else values.shape
    if len(shape) == 2:
        shape = (len(values), *square_shape(shape[1], name))
    if len(shape) != 3:
        raise PipelineError(
            f"{name}: {' x '.join(map(str, shape))} numbers; grey images are count x height x width"
        )
    return whole_bytes(values, name).reshape(shape)


def array_labels(values: np.ndarray, name: str) -> np.ndarray:
    """Return labels as uint8 [n].

    Args:
        values: [n] or [n, 1].
        name: of the file, for errors.

    Raises:
        PipelineError: they have other dimensions, or are not whole numbers to 255.
    """
    if values.ndim > 2 or values.size != len(values):
        raise PipelineError(
            f"{name}: {' x '.join(map(str, values.shape))} numbers; labels are one for each image"
        )
    return small_labels(values.ravel(), name)
