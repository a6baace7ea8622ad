"""Pictures in folders named after their classes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tasks.data.decode import SUFFIXES, decode_picture, printable
from tasks.data.idx import MAX_BYTES
from tasks.data.resize import resize_to_square
from tasks.data.sources.files import Files
from tasks.data.sources.labelled import (
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

MOST_DAMAGED = 0.05  # share of pictures; with more, something else is wrong


@dataclass(frozen=True)
class PictureSet:
    """Pictures with the class and the split that their paths name."""

    classes: dict[str, str]
    """Name → class."""
    roles: dict[str, Role]
    """Name → split; all `train` if there is one tree for all."""
    left_out: tuple[str, ...] = field(default=())
    """Pictures outside of the class folders."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files to read."""
        return tuple(self.classes)


def find_pictures(names: Sequence[str]) -> PictureSet | None:
    """Find pictures in class folders, perhaps below `train/` and `test/`.

    A class folder may have further folders in it.

    Returns:
        None without pictures in at least two folders.
    """
    pictures = [name for name in names if name.lower().endswith(SUFFIXES)]
    paths = below_common_folder({name: tuple(name.split("/")) for name in pictures})
    tops = {path[0] for path in paths.values()}
    roles = {top: role for top in tops if (role := role_of(top))}
    deep = {roles.get(path[0]) for path in paths.values() if len(path) > 2}
    if {"train"} < deep - {None}:
        chosen = {n: path for n, path in paths.items() if path[0] in roles and len(path) > 2}
        classes = {name: path[1] for name, path in chosen.items()}
        split = {name: roles[path[0]] for name, path in chosen.items()}
    else:
        classes = {name: path[0] for name, path in paths.items()}
        split = dict.fromkeys(classes, "train")
    if len(set(classes.values())) < 2:
        return None
    return PictureSet(classes, split, tuple(name for name in pictures if name not in classes))


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
    pictures = [name for name in names if name.lower().endswith(SUFFIXES)]
    if not pictures:
        return None
    more = f" and {len(pictures) - 1:,} more" if len(pictures) > 1 else ""
    return PipelineError(
        f"--source {label}: pictures without at least two class folders; found"
        f" {printable(pictures[0])}{more}; put them into folders named after their classes"
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
        notes += (f"{plural(len(chosen.left_out), 'picture')} outside of class folders left out",)
    if damaged:
        notes += (f"{plural(len(damaged), 'unreadable picture')} left out, such as {damaged[0]}",)
    about = f"{len(names):,} pictures in {len(class_names)} class folders"
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
