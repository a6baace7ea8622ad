"""Pictures in folders named after their classes."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tasks.data.decode import SUFFIXES, decode_picture, printable
from tasks.data.idx import MAX_BYTES
from tasks.data.resize import resize_to_square
from tasks.data.sources.files import Files
from tasks.data.sources.labelled import (
    LABEL_NAMES,
    SEED,
    DataSet,
    LabelledImages,
    Role,
    combine,
    number_classes,
    role_of,
)
from tasks.runtime.console import log, track
from tasks.runtime.errors import PipelineError
from tasks.words import plural

if TYPE_CHECKING:
    import pandas as pd

TABLE_SUFFIXES = (".csv", ".tsv")
NAMED = 0.5  # share of a table's rows that name pictures, at least
LOOK = 100  # rows that tell whether a table names pictures: it may be large
NO_CLASSES = {"doc", "docs", "assets"}  # folders at the top that hold no pictures of a data set
MOST_DAMAGED = 0.05  # share of pictures; with more, something else is wrong


@dataclass(frozen=True)
class PictureSet:
    """Pictures with the class and the split that their paths name."""

    classes: dict[str, str]
    """Name → class."""
    roles: dict[str, Role]
    """Name → split; all `train` if there is one tree for all."""
    left_out: tuple[str, ...] = field(default=())
    """Pictures without a class."""
    tables: tuple[str, ...] = ()
    """Files that tell the classes, if not the folders do."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files to read."""
        return tuple(self.classes)


def find_pictures(names: Sequence[str]) -> PictureSet | None:
    """Find pictures in class folders, perhaps below `train/` and `test/`.

    A class folder may have further folders in it. A folder named as a split is never a class.

    Returns:
        None without pictures in at least two class folders.
    """
    pictures = pictures_of(names)
    paths = below_common_folder(
        {n: tuple(n.split("/")) for n in pictures if n.split("/")[0].lower() not in NO_CLASSES}
    )
    roles = {top: role for top in {path[0] for path in paths.values()} if (role := role_of(top))}
    deep = {name: path for name, path in paths.items() if path[0] in roles and len(path) > 2}
    if any(roles[path[0]] == "train" for path in deep.values()):
        classes = {name: path[1] for name, path in deep.items()}
        split = {name: roles[path[0]] for name, path in deep.items()}
    elif roles:
        return None
    else:
        classes = {name: path[0] for name, path in paths.items()}
        split = dict.fromkeys(classes, "train")
    if len(set(classes.values())) < 2:
        return None
    return PictureSet(classes, split, tuple(name for name in pictures if name not in classes))


def pictures_of(names: Sequence[str]) -> list[str]:
    """Return the names that pictures have."""
    return [name for name in names if name.lower().endswith(SUFFIXES)]


def find_tabled(names: Sequence[str], files: Files) -> PictureSet | None:
    """Find pictures whose classes stand in a table beside them, by their file names.

    Such as `train.csv`, or Hugging Face's `metadata.csv`. Pictures of a split without classes are
    left out.

    Args:
        names: of all files of the source.
        files: of the source.

    Raises:
        PipelineError: more than one column of a table may hold the classes.
    """
    pictures = pictures_of(names)
    tables = [name for name in names if name.lower().endswith(TABLE_SUFFIXES)]
    if not pictures or not tables:
        return None
    classes: dict[str, str] = {}
    roles: dict[str, Role] = {}
    for table, data in files.read(frozenset(tables)):
        for name, label in classes_in_table(data, files.place(table), pictures).items():
            classes[name] = label
            roles[name] = role_of(name) or role_of(table) or "train"
    if len(set(classes.values())) < 2:
        return None
    left_out = tuple(name for name in pictures if name not in classes)
    return PictureSet(classes, roles, left_out, tuple(tables))


def classes_in_table(data: bytes, place: str, pictures: Sequence[str]) -> dict[str, str]:
    """Return picture → class as a table tells them; empty if it names no pictures.

    Args:
        data: CSV with a header.
        place: of the table, for errors.
        pictures: names of all pictures.

    Raises:
        PipelineError: more than one of its columns may hold the classes.
    """
    by_end = {end: name for name in sorted(pictures) for end in ends_of(name)}
    column = picture_column(read_table(data, LOOK), by_end)
    if column is None:
        return {}
    rows = read_table(data)
    found = rows[column].map(by_end)
    others = [name for name in rows.columns if name != column]
    labels = [name for name in others if name.lower() in LABEL_NAMES] or others
    if len(labels) != 1:
        raise PipelineError(
            f"{place}: names pictures in its column {printable(column)}, but has"
            f" {plural(len(labels), 'column')} that may hold their classes; call one `label`"
        )
    known = found.notna() & rows[labels[0]].notna()
    return dict(zip(found[known], rows[labels[0]][known], strict=True))


def read_table(data: bytes, rows: int | None = None) -> "pd.DataFrame":
    """Return a table, or its first rows, as text; empty if it is none with a header."""
    import pandas as pd

    try:
        return pd.read_csv(io.BytesIO(data), sep=None, engine="python", dtype=str, nrows=rows)
    except (ValueError, csv.Error):  # pandas' own errors are ValueErrors, too
        return pd.DataFrame()


def picture_column(rows: "pd.DataFrame", by_end: dict[str, str]) -> str | None:
    """Return the column that names the most pictures, if most rows do; else None."""
    found = {column: rows[column].map(by_end) for column in rows.columns}
    column = max(found, key=lambda name: found[name].nunique(), default=None)
    return column if column is not None and found[column].notna().mean() >= NAMED else None


def ends_of(name: str) -> list[str]:
    """Return the ways in which a table may name a file: with folders or not, with suffix or not."""
    parts = name.split("/")
    ends = ["/".join(parts[start:]) for start in range(len(parts))]
    return [*ends, *(end.rpartition(".")[0] for end in ends)]


def below_common_folder(paths: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return paths without files at the top, and without a folder that all others lie in.

    Args:
        paths: name → parts.
    """
    paths = {name: path for name, path in paths.items() if len(path) > 1}
    while len({path[0] for path in paths.values()}) == 1:
        inner = {name: path[1:] for name, path in paths.items() if len(path) > 2}
        if not inner:
            break
        paths = inner
    return paths


def pictures_without_class(names: Sequence[str], label: str) -> PipelineError | None:
    """Return the error for a source whose pictures have no classes; None without pictures."""
    pictures = pictures_of(names)
    if not pictures:
        return None
    more = f" and {len(pictures) - 1:,} more" if len(pictures) > 1 else ""
    return PipelineError(
        f"--source {label}: pictures without at least two class folders; found"
        f" {printable(pictures[0])}{more}; put them into folders named after their classes, such as"
        " train/cat/1.png (the name of a split is no class), or add a table of names and labels"
    )


def load_pictures(chosen: PictureSet, files: Files, image_size: int | None) -> DataSet:
    """Read the pictures, in grey, in a seeded order that mixes the classes.

    Pictures that cannot be read are left out and counted.

    Args:
        chosen: which ones, with their classes.
        files: of the source.
        image_size: side that each picture is brought to; None takes them as they are.

    Raises:
        PipelineError: pictures have different sizes, too many are damaged, or a class has no
            training pictures.
    """
    images, damaged = read_pictures(chosen.names, files, image_size)
    names = list(images)
    check_sizes(images, files)
    labels, class_names = number_classes([chosen.classes[name] for name in names], files.label)
    roles = np.array([chosen.roles[name] for name in names])
    order = np.random.Generator(np.random.Philox(SEED)).permutation(len(names))
    stack = np.stack([images.pop(name) for name in names])
    parts: dict[Role, LabelledImages] = {}
    for role in ("train", "validation", "test"):
        rows = order[roles[order] == role]
        if len(rows):
            parts[role] = LabelledImages(stack[rows], labels[rows])
    data, notes = combine(parts, files.label)
    check_trained(data, class_names, files.label)
    if chosen.left_out:
        notes += (f"{plural(len(chosen.left_out), 'picture')} without a class left out",)
    if damaged:
        notes += (f"{plural(len(damaged), 'unreadable picture')} left out, such as {damaged[0]}",)
    about = f"{len(names):,} pictures of {len(class_names)} classes"
    return DataSet(data.train, data.test, tuple(map(printable, class_names)), (about, *notes))


def read_pictures(
    names: Sequence[str], files: Files, image_size: int | None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Read pictures.

    Returns:
        Name → uint8 [height, width], and a message for each that cannot be read.

    Raises:
        PipelineError: too many cannot be read, or they would fill the memory.
    """
    images: dict[str, np.ndarray] = {}
    damaged: list[str] = []
    total = 0
    with track("Reading pictures", len(names)) as update:
        for done, (name, data) in enumerate(files.read(frozenset(names)), start=1):
            try:
                pixels = decode_picture(data, files.place(name)).pixels
            except PipelineError as error:
                damaged.append(str(error))
                continue
            images[name] = pixels if image_size is None else resize_to_square(pixels, image_size)
            total += images[name].size
            if total > MAX_BYTES:
                raise PipelineError(
                    f"--source {files.label}: more than {MAX_BYTES:,} pixels;"
                    " --image-size N makes the pictures smaller"
                )
            update(done, "")
    if len(damaged) > MOST_DAMAGED * len(names):
        raise PipelineError(
            f"--source {files.label}: {len(damaged):,} of {len(names):,} pictures cannot be read,"
            f" such as {damaged[0]}"
        )
    for problem in damaged[:3]:
        log.warning(f"{problem}; left out")
    return dict(sorted(images.items())), damaged


def check_sizes(images: dict[str, np.ndarray], files: Files) -> None:
    """Check that all pictures have the same size.

    Raises:
        PipelineError: they have not.
    """
    sizes = Counter(pixels.shape for pixels in images.values())
    if len(sizes) < 2:
        return
    (usual, count), *_, (rare, _) = sizes.most_common()
    name = next(name for name, pixels in images.items() if pixels.shape == rare)
    raise PipelineError(
        f"--source {files.label}: pictures of {len(sizes)} sizes: {count:,} of {usual[0]} ×"
        f" {usual[1]} pixels, but {printable(name)} has {rare[0]} × {rare[1]};"
        " --image-size N makes them equal"
    )


def check_trained(data: DataSet, class_names: Sequence[str], label: str) -> None:
    """Check that each class has training images.

    Raises:
        PipelineError: a class has none.
    """
    without = set(np.unique(data.test.labels)) - set(np.unique(data.train.labels))
    if without:
        names = ", ".join(printable(class_names[c]) for c in sorted(without))
        raise PipelineError(f"--source {label}: no training images of class {names}")
