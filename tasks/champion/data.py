"""The data of champions and challengers: whether they can be compared, and what has changed."""

from dataclasses import dataclass

import numpy as np

from tasks.champion.records import Background, Champion, TrainingData
from tasks.data.dataset import read_split
from tasks.data.ground import has_light_ground
from tasks.data.sources.mnist import is_mnists_train_file
from tasks.engine.store import Store
from tasks.records import Download, Splits
from tasks.runtime.errors import PipelineError
from tasks.words import joined, percent

SPLITS = ("train", "validation", "test")
MIXED = 0.01
"""A data set has a mixed background if more than this share of its images has each kind."""
MAX_KNOWN = 0.001
"""Largest share of validation images that the champion may have been trained on: as large as the
default margin of the promotion rule. Data sets contain a few images twice."""


def training_data(store: Store, download: Download, splits: Splits) -> TrainingData:
    """Return the facts about the data of a run; reads the images of the validation split."""
    images = read_split(store.path(splits.validation.file)).images
    return TrainingData(
        source=download.source,
        splits=splits,
        background=background_of(images),
        mnist=is_mnists_train_file(download.files.train_images.sha256),
    )


def background_of(images: np.ndarray) -> Background:
    """Return the background of a data set.

    Args:
        images: uint8 [n, height, width], at least one.
    """
    share = has_light_ground(images).mean()
    if share <= MIXED:
        return "dark"
    return "light" if share >= 1 - MIXED else "mixed"


def digests(splits: Splits) -> list[str]:
    """Return the SHA-256 of each split."""
    return [getattr(splits, name).file.sha256 for name in SPLITS]


def differences(known: TrainingData, data: TrainingData) -> list[str]:
    """Return the differences in kind; other images from the same source are none."""
    before, after = known.splits.shape, data.splits.shape
    other_images = digests(known.splits)[1:] != digests(data.splits)[1:]
    other_names = known.splits.class_names != data.splits.class_names
    found = {
        "number of classes": before.classes != after.classes,
        "image size": (before.height, before.width) != (after.height, after.width),
        "background": {known.background, data.background} == {"light", "dark"},
        "source": other_images and known.source != data.source,
        "names of the classes": other_images and other_names,
    }
    return [difference for difference, there in found.items() if there]


@dataclass(frozen=True)
class DataChange:
    """What is new in the data of a challenger."""

    before: Splits | None
    """The champion's data; None if they have gone from the artifact root."""
    after: Splits
    new: float = 0.0
    """Share of the training images that were in no split before."""
    known: int = 0
    """Validation images that the champion was trained on."""


def check_comparable(
    store: Store, champion: Champion, data: TrainingData, *, new_task: bool
) -> DataChange | None:
    """Return how the data have changed since a champion; None if they are the same.

    Raises:
        PipelineError: they are of another kind, or the champion was trained on the images that both
            models would be compared on; not for a new task.
    """
    found = differences(champion.facts.data, data)
    if found and not new_task:
        raise PipelineError(
            f"champion {champion.id} was trained on other data ({', '.join(found)}): champion:"
            f" {champion.facts.data}; challenger: {data}; keep a champion for each with --champion"
            " NAME, or let the challenger replace this one with --new-task"
        )
    change = compare_data(store, champion.facts.data.splits, data.splits)
    total = data.splits.validation.rows
    if change and change.known > MAX_KNOWN * total and not new_task:
        raise PipelineError(
            f"champion {champion.id} was trained on {change.known:,} of the {total:,} validation"
            " images of the changed data, so a comparison means nothing; let the challenger replace"
            " the champion with --new-task"
        )
    return change


def compare_data(store: Store, before: Splits, after: Splits) -> DataChange | None:
    """Return how the data have changed; None if they are the same."""
    if digests(before) == digests(after):
        return None
    if any(store.problem(getattr(before, name).file) for name in SPLITS):
        return DataChange(None, after)
    then, now = (
        {name: read_split(store.path(getattr(splits, name).file)).images for name in SPLITS}
        for splits in (before, after)
    )
    new = 1 - float(contained(now["train"], *then.values()).mean())
    known = int(contained(now["validation"], then["train"]).sum())
    return DataChange(before, after, new, known)


def contained(images: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """Return which images are also, pixel by pixel, in others; bool [n]."""
    known = {image.tobytes() for other in others for image in other}
    return np.array([image.tobytes() in known for image in images], bool)


def change_markdown(change: DataChange) -> str:
    """Return the change of the data as Markdown: the share of new images, and numbers of images."""
    if change.before is None:
        return "**The data have changed**; the earlier ones are no longer in the artifact root."
    counts = [
        f"{name} {getattr(change.before, name).rows:,} → {getattr(change.after, name).rows:,}"
        for name in SPLITS
    ]
    share = percent(change.new, 1)
    return (
        f"**The data have changed**: {share} of the training images are new. Numbers of images:"
        f" {joined(counts)}."
    )
