"""The four IDX files under any of their usual names."""

import gzip
import io
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.data import idx
from tasks.data.decode import printable
from tasks.data.sources.base import Contents, check_pairs, verify
from tasks.data.sources.files import Files
from tasks.data.sources.labelled import DataSet, LabelledImages, describe_found
from tasks.data.sources.mnist import IDX_FILES, MNIST
from tasks.runtime.errors import PipelineError

NAME = re.compile(
    r"(?P<prefix>.*?)(?P<role>train|t10k|test)[-_.]?(?P<kind>images|labels)"
    r"[-_.]idx\d?(?:[-_.](?:ubyte|int))?(?:\.gz)?",
    re.IGNORECASE,
)
"""`train-images-idx3-ubyte`, `test-labels.idx1-ubyte.gz`, `qmnist-train-labels-idx2-int`, …"""

TRANSPOSED = "emnist-"
"""Start of the names of EMNIST's files, whose images are stored column by column
(Cohen, Afshar, Tapson, van Schaik: EMNIST, an extension of MNIST to handwritten letters, 2017)."""

INT32 = b"\0\0\x0c\x02"
"""Start of QMNIST's labels: int32 [n, 8], the class first
(Yadav, Bottou, "Cold case: the lost MNIST digits", 2019)."""


@dataclass(frozen=True)
class IdxSet:
    """Four files that make a data set."""

    prefix: str
    """Path and start of the files' names, such as `gzip/emnist-letters`."""
    files: dict[str, str]
    """Standard name → name in the source."""
    mapping: str | None = None
    """EMNIST's file with the character of each label."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files to read."""
        return (*self.files.values(), *([self.mapping] if self.mapping else []))


def standard_name(name: str) -> tuple[str, str] | None:
    """Return the standard name of one of the four files, and the start of its own name."""
    match = NAME.fullmatch(name.rpartition("/")[2])
    if match is None:
        return None
    role = "train" if match["role"].lower() == "train" else "t10k"
    kind = f"{match['kind'].lower()}-idx{3 if match['kind'].lower() == 'images' else 1}"
    return f"{role}-{kind}-ubyte", match["prefix"]


def preference(name: str) -> tuple[bool, bool, str]:
    """Return a key that sorts the standard, then the uncompressed names first."""
    last = name.rpartition("/")[2]
    return last.removesuffix(".gz") not in IDX_FILES, name.endswith(".gz"), name


def group(names: Sequence[str], *, by_folder: bool) -> dict[str, dict[str, str]]:
    """Group the files of each data set: path and prefix → standard name → name."""
    groups: dict[str, dict[str, str]] = {}
    known = {name: found for name in names if (found := standard_name(name))}
    for name in sorted(known, key=preference):
        standard, prefix = known[name]
        folder = name.rpartition("/")[0]
        start = f"{folder}/{prefix}" if folder and by_folder else prefix
        groups.setdefault(start, {}).setdefault(standard, name)
    return groups


def find_idx(names: Sequence[str], label: str) -> IdxSet | None:
    """Find the four files among others; None if they are not complete.

    Args:
        names: of all files of the source.
        label: of the source, for the error.

    Raises:
        PipelineError: several data sets are there, none of them nearer to the top.
    """
    complete = {
        start: files
        for start, files in group(names, by_folder=True).items()
        if len(files) == len(IDX_FILES)
    }
    if not complete:  # perhaps each file lies in a folder of its own
        complete = {
            start: files
            for start, files in group(names, by_folder=False).items()
            if len(files) == len(IDX_FILES)
        }
    if not complete:
        return None
    start = nearest_to_top([*complete], label)
    mapping = f"{start.removesuffix('-')}-mapping.txt"
    return IdxSet(start, complete[start], mapping if mapping in names else None)


def nearest_to_top(starts: Sequence[str], label: str) -> str:
    """Return the data set in the folder nearest to the top.

    Args:
        starts: paths of complete data sets; at least one.
        label: of the source, for the error.

    Raises:
        PipelineError: several are equally near.
    """
    top = min(start.count("/") for start in starts)
    nearest = sorted(start for start in starts if start.count("/") == top)
    if len(nearest) > 1:
        raise several(label, nearest)
    return nearest[0]


def several(label: str, starts: Sequence[str]) -> PipelineError:
    """Return the error for a source with several data sets."""
    places = [f"{label}/{printable(start).rstrip('-_./')}" for start in starts]
    more = f" and {len(places) - 2} more" if len(places) > 2 else ""
    return PipelineError(
        f"--source {label}: {len(places)} data sets; name one of them:"
        f" {', '.join(places[:2])}{more}"
    )


def missing_files(names: Sequence[str], label: str) -> PipelineError | None:
    """Return the error for a source with some of the four files; None if it has none of them."""
    found = {standard[0] for name in names if (standard := standard_name(name))}
    if not found:
        return None
    missing = [name for name in IDX_FILES if name not in found]
    if not missing:  # of different data sets
        missing = ["files of the same name before `train` and `t10k` in one folder"]
    return PipelineError(
        f"--source {label}: missing {', '.join(missing)} (each may end in .gz);"
        f" {describe_found(names)}"
    )


def load_idx(chosen: IdxSet, files: Files, expected: dict[str, str | None]) -> DataSet:
    """Read and verify the four files.

    Args:
        chosen: which ones.
        files: of the source.
        expected: SHA-256 of each, or None for any content; see `expected_digests`.

    Raises:
        PipelineError: a file is missing or not sound.
    """
    data = dict(files.read(chosen.names))
    contents: Contents = {}
    for file in MNIST:
        name = chosen.files[file.name]
        path = files.place(name)
        content = first_column(data[name], path) if file.rank == 1 else data[name]
        contents[file.name] = verify(content, path, file, expected[file.name])
    check_pairs(contents)
    train_images, train_labels, test_images, test_labels = (
        idx.loads(contents[name], name) for name in IDX_FILES
    )
    notes = []
    if chosen.prefix.rpartition("/")[2].lower().startswith(TRANSPOSED):
        train_images, test_images = map(transpose, (train_images, test_images))
        notes.append("EMNIST's images turned upright")
    class_names: tuple[str, ...] = ()
    if chosen.mapping:
        classes = int(train_labels.max()) + 1
        class_names = read_mapping(data[chosen.mapping].decode("ascii", "replace"), classes)
    return DataSet(
        LabelledImages(train_images, train_labels),
        LabelledImages(test_images, test_labels),
        class_names,
        tuple(notes),
    )


def transpose(images: np.ndarray) -> np.ndarray:
    """Return images with rows and columns exchanged, uint8 [n, width, height]."""
    return np.ascontiguousarray(images.transpose(0, 2, 1))


def first_column(data: bytes, name: str) -> bytes:
    """Return QMNIST's labels as an ordinary file of labels; any other file as it is.

    Raises:
        PipelineError: it is damaged or too large.
    """
    start = data
    if data.startswith(idx.GZIP_MAGIC):
        with idx.gzip_errors(name), gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            start = file.read(len(INT32))
            if start != INT32:
                return data
            data = start + file.read(idx.MAX_BYTES)
    if not start.startswith(INT32):
        return data
    rows, columns = struct.unpack_from(">2I", data, len(INT32)) if len(data) >= 12 else (0, 0)
    if len(data) != 12 + 4 * rows * columns or columns == 0:
        raise PipelineError(f"{name}: truncated, its header says {rows:,} x {columns:,} numbers")
    labels = np.frombuffer(data, ">i4", offset=12).reshape(rows, columns)[:, 0]
    if labels.min(initial=0) < 0 or labels.max(initial=0) > 255:
        raise PipelineError(f"{name}: labels from {labels.min()} to {labels.max()}, not 0 to 255")
    return idx.dumps(labels.astype(np.uint8))


def read_mapping(text: str, classes: int) -> tuple[str, ...]:
    """Return the class names in EMNIST's mapping; a label without character is its number.

    Args:
        text: lines of a label and the codes of its characters, as `1 65 97`.
        classes: number of classes.

    Returns:
        [classes]; empty if the text has another form.
    """

    def pairs() -> Iterator[tuple[int, str]]:
        for line in text.splitlines():
            label, code, *_ = map(int, line.split())
            yield label, chr(code)

    try:
        characters = dict(pairs())
    except ValueError:
        return ()
    return tuple(characters.get(label, str(label)) for label in range(classes))
