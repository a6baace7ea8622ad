"""How the data of a challenger differ from those of the champion: other images of the same kind."""

from dataclasses import dataclass

import numpy as np

from tasks.champion.registry import Champion
from tasks.data.dataset import SplitArrays, numbered_classes, read_split
from tasks.engine.store import Store
from tasks.records import Splits
from tasks.runtime.errors import PipelineError
from tasks.words import markdown_table, percent

SPLITS = ("train", "validation", "test")
MAX_KNOWN = 0.001
"""Largest share of validation images that the champion may have been trained on: as large as the
default margin of the promotion rule. Data sets contain a few images twice."""


@dataclass(frozen=True)
class DataChange:
    """Numbers of images before and after a change of the data."""

    before: dict[str, np.ndarray] | None
    """Images per class, int64 [classes], by split; None if the earlier data are gone."""
    after: dict[str, np.ndarray]
    """The same for the challenger's data."""
    class_names: tuple[str, ...]
    new: float | None
    """Share of the training images that were in no split before; None if unknown."""
    known: int | None
    """Validation images that the champion was trained on; None if unknown."""


def compare_data(store: Store, champion: Champion, splits: Splits) -> DataChange | None:
    """Return how the data have changed since a champion; None if they are the same.

    Args:
        store: the artifact root.
        champion: champion to compare with.
        splits: data of the challenger.
    """
    facts = champion.facts
    digests = tuple(getattr(splits, name).file.sha256 for name in SPLITS)
    # Champions of earlier versions recorded no training split.
    if digests == (facts.train or digests[0], facts.validation.data, facts.test.data):
        return None
    earlier = splits_of(store, champion)
    classes = max(splits.shape.classes, earlier.shape.classes if earlier else 0)
    now = read_splits(store, splits)
    after = {name: images_per_class(now[name], classes) for name in SPLITS}
    names = (*splits.class_names, *numbered_classes(classes)[len(splits.class_names) :])
    if earlier is None:
        return DataChange(None, after, names, None, None)
    then = read_splits(store, earlier)
    return DataChange(
        before={name: images_per_class(then[name], classes) for name in SPLITS},
        after=after,
        class_names=names,
        new=1 - float(contained(now["train"], *then.values()).mean()),
        known=int(contained(now["validation"], then["train"]).sum()),
    )


def splits_of(store: Store, champion: Champion) -> Splits | None:
    """Return the splits that a champion was trained on, if they are still in the artifact root."""
    facts = champion.facts
    for record in store.all_records("convert"):
        splits = Splits.model_validate(record.output)
        found = (splits.train.file.sha256, splits.validation.file.sha256)
        files = [getattr(splits, name).file for name in SPLITS]
        if found == (facts.train, facts.validation.data) and not any(map(store.problem, files)):
            return splits
    return None


def read_splits(store: Store, splits: Splits) -> dict[str, SplitArrays]:
    """Return the arrays of the splits by name."""
    return {name: read_split(store.path(getattr(splits, name).file)) for name in SPLITS}


def images_per_class(split: SplitArrays, classes: int) -> np.ndarray:
    """Return the number of images per class, int64 [classes]."""
    return np.bincount(split.labels, minlength=classes)


def contained(split: SplitArrays, *others: SplitArrays) -> np.ndarray:
    """Return which images of a split are also, pixel by pixel, in others; bool [n]."""
    known = {image.tobytes() for other in others for image in other.images}
    return np.array([image.tobytes() in known for image in split.images], bool)


def check_validation_is_new(champion: Champion, change: DataChange) -> None:
    """Check that the champion was not trained on the images it would be compared on.

    Args:
        champion: champion to compare with.
        change: how the data have changed since.

    Raises:
        PipelineError: it was trained on some of them.
    """
    total = int(change.after["validation"].sum())
    if change.known and change.known > MAX_KNOWN * total:
        raise PipelineError(
            f"champion {champion.id} was trained on {change.known:,} of the {total:,} validation"
            " images of the changed data, so a comparison means nothing; let the challenger replace"
            " the champion with --new-task"
        )


def change_markdown(change: DataChange) -> str:
    """Return the change of the data as Markdown: shares, and images per class and split."""
    if change.before is None or change.new is None:
        lead = "**The data have changed**; the earlier ones are no longer in the artifact root."
    else:
        lead = (
            f"**The data have changed**: {percent(change.new, 1)} of the training images are new."
        )
    rows = []
    for number, name in enumerate(change.class_names):
        row = {"Class": name}
        for split in SPLITS:
            count = f"{change.after[split][number]:,}"
            if change.before is not None:
                count = f"{change.before[split][number]:,} → {count}"
            row[split.capitalize()] = count
        rows.append(row)
    return f"{lead}\n\n{markdown_table(rows, [split.capitalize() for split in SPLITS])}"
