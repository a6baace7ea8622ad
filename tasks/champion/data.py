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
        shape=splits.shape,
        class_names=splits.class_names,
        background=background_of(images),
        mnist=is_mnists_train_file(download.files.train_images.sha256),
        train=splits.train.file.sha256,
        validation=splits.validation.file.sha256,
        test=splits.test.file.sha256,
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


def differences(known: TrainingData, data: TrainingData) -> list[str]:
    """Return the differences in kind; other images from the same source are none."""
    found = []
    if known.shape.classes != data.shape.classes:
        found.append("number of classes")
    if (known.shape.height, known.shape.width) != (data.shape.height, data.shape.width):
        found.append("image size")
    if {known.background, data.background} == {"light", "dark"}:
        found.append("background")
    other_images = (known.validation, known.test) != (data.validation, data.test)
    if other_images and known.source != data.source:
        found.append("source")
    if other_images and known.class_names != data.class_names:
        found.append("names of the classes")
    return found


@dataclass(frozen=True)
class DataChange:
    """What is new in the data of a challenger."""

    before: Splits | None
    """The champion's data; None if they are gone."""
    after: Splits
    new: float = 0.0
    """Share of the training images that were in no split before."""
    known: int = 0
    """Validation images that the champion was trained on."""


def check_comparable(
    store: Store, champion: Champion, data: TrainingData, splits: Splits, *, new_task: bool
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
    change, total = compare_data(store, champion.facts.data, splits), splits.validation.rows
    if change and change.known > MAX_KNOWN * total and not new_task:
        raise PipelineError(
            f"champion {champion.id} was trained on {change.known:,} of the {total:,} validation"
            " images of the changed data, so a comparison means nothing; let the challenger replace"
            " the champion with --new-task"
        )
    return change


def compare_data(store: Store, known: TrainingData, splits: Splits) -> DataChange | None:
    """Return how the data have changed since a champion; None if they are the same."""
    digests = tuple(getattr(splits, name).file.sha256 for name in SPLITS)
    if digests == (known.train, known.validation, known.test):
        return None
    if (earlier := splits_of(store, known)) is None:
        return DataChange(None, splits)
    then, now = (
        {name: read_split(store.path(getattr(found, name).file)).images for name in SPLITS}
        for found in (earlier, splits)
    )
    new = 1 - float(contained(now["train"], *then.values()).mean())
    known_images = int(contained(now["validation"], then["train"]).sum())
    return DataChange(earlier, splits, new, known_images)


def splits_of(store: Store, known: TrainingData) -> Splits | None:
    """Return the splits that a champion was trained on, if they are still in the artifact root."""
    for record in store.all_records("convert"):
        splits = Splits.model_validate(record.output)
        found = (splits.train.file.sha256, splits.validation.file.sha256)
        files = [getattr(splits, name).file for name in SPLITS]
        if found == (known.train, known.validation) and not any(map(store.problem, files)):
            return splits
    return None


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
