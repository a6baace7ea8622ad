"""Facts about the data of champions and challengers, and whether two models can be compared."""

from dataclasses import dataclass

import numpy as np

from tasks.champion.registry import Champion, Ground
from tasks.data.dataset import read_split
from tasks.data.ground import has_light_ground
from tasks.engine.store import Store
from tasks.records import Download, Shape, Splits
from tasks.runtime.errors import PipelineError
from tasks.settings import DownloadSettings

MIXED = 0.01
"""A data set has a mixed ground if more than this share of its images has each kind of ground."""


@dataclass(frozen=True)
class TrainingData:
    """Facts about the data set of a model."""

    source: str
    """As in the record of `download`; empty for champions of earlier versions."""
    shape: Shape
    validation: str
    """SHA-256 of the split."""
    test: str
    """SHA-256 of the split."""
    ground: Ground | None
    """None for champions of earlier versions."""
    class_names: tuple[str, ...] = ()
    """In the order of the classes; empty for champions of earlier versions."""

    def __str__(self) -> str:
        shape = self.shape
        ground = f"{self.ground} ground, " if self.ground else ""
        return (
            f"{self.source or 'unknown source'} ({shape.classes} classes, {shape.height} ×"
            f" {shape.width} pixels, {ground}test split {self.test[:12]})"
        )


def ground_of(images: np.ndarray) -> Ground:
    """Return the ground of a data set.

    Args:
        images: uint8 [n, height, width], at least one.
    """
    share = has_light_ground(images).mean()
    if share <= MIXED:
        return "dark"
    return "light" if share >= 1 - MIXED else "mixed"


def challenger_data(store: Store, download: Download, splits: Splits) -> TrainingData:
    """Return the facts about the data of a run; reads the images of the validation split."""
    return TrainingData(
        source=download.source,
        shape=splits.shape,
        validation=splits.validation.file.sha256,
        test=splits.test.file.sha256,
        ground=ground_of(read_split(store.path(splits.validation.file)).images),
        class_names=splits.class_names,
    )


def champion_data(champion: Champion) -> TrainingData:
    """Return the facts about the data of a champion."""
    facts = champion.facts
    return TrainingData(
        source=facts.source,
        shape=facts.shape,
        validation=facts.validation.data,
        test=facts.test.data,
        ground=facts.ground,
        class_names=facts.class_names,
    )


def same_source(champion: Champion, data: TrainingData, settings: DownloadSettings) -> bool:
    """Return whether a challenger's data come from the same source as the champion's.

    Champions of earlier versions recorded only their settings.
    """
    if champion.facts.source:
        return champion.facts.source == data.source
    recorded = champion.facts.settings.get("download", {})
    return (recorded.get("source"), recorded.get("url")) == (settings.source, settings.url)


def data_differences(
    champion: Champion, data: TrainingData, settings: DownloadSettings
) -> list[str]:
    """Return the differences in kind between the data of a champion and a challenger.

    Other images from the same source are no difference in kind.

    Args:
        champion: champion to compare with.
        data: data of the challenger.
        settings: download settings of the challenger.
    """
    known = champion_data(champion)
    found = []
    if known.shape.classes != data.shape.classes:
        found.append("number of classes")
    if (known.shape.height, known.shape.width) != (data.shape.height, data.shape.width):
        found.append("image size")
    if {known.ground, data.ground} == {"light", "dark"}:
        found.append("ground")
    other_images = (known.validation, known.test) != (data.validation, data.test)
    if other_images and not same_source(champion, data, settings):
        found.append("source")
    if other_images and known.class_names and known.class_names != data.class_names:
        found.append("names of the classes")
    return found


def check_same_task(champion: Champion, data: TrainingData, settings: DownloadSettings) -> None:
    """Check that a challenger's data are of the same kind as the champion's.

    Args:
        champion: champion to compare with.
        data: data of the challenger.
        settings: download settings of the challenger.

    Raises:
        PipelineError: they differ in kind; the message names both.
    """
    if found := data_differences(champion, data, settings):
        raise PipelineError(
            f"champion {champion.id} was trained on other data ({', '.join(found)}):"
            f" champion: {champion_data(champion)}; challenger: {data}; keep a champion for each"
            " with --champion NAME, or let the challenger replace this one with --new-task"
        )
