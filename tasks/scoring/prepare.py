"""Pictures of any size, merged into batches that the network takes."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from tasks.champion.records import Background
from tasks.data.ground import has_light_ground
from tasks.records import Shape
from tasks.scoring.fit import Fit, Fitted, Mark, fit_images, fit_picture
from tasks.scoring.images import ImageBatch, Reports

MOST_PIXELS = 2**25  # of the pictures in memory at a time


@dataclass(frozen=True)
class Prepared:
    """Pictures as the network is to see them; all lists have the same length."""

    names: list[str]
    """File, and row in a file of many, for people."""
    files: list[str]
    rows: list[int]
    originals: list[np.ndarray]
    """uint8 [h, w] each, of any size."""
    images: np.ndarray
    """uint8 [n, height, width]."""
    fits: list[str]
    """Steps taken, in plain words; empty for a picture that was left alone."""
    marks: list[Mark]


def merge_batches(batches: Iterator[ImageBatch], size: int) -> Iterator[list[ImageBatch]]:
    """Merge small batches, so that single pictures are not classified one by one.

    Args:
        batches: at most `size` pictures each.
        size: largest number of pictures; large pictures are fewer.
    """
    waiting: list[ImageBatch] = []
    count = pixels = 0
    for batch in batches:
        more = sum(image.size for image in batch.images)
        if waiting and (count + len(batch.images) > size or pixels + more > MOST_PIXELS):
            yield waiting
            waiting, count, pixels = [], 0, 0
        waiting.append(batch)
        count += len(batch.images)
        pixels += more
    if waiting:
        yield waiting


@dataclass
class Fitter:
    """Fits pictures to the network, and reports those of a wrong size once for each file."""

    shape: Shape
    mode: Fit
    ground: Background
    """With the mode `none`: pictures of another ground are inverted; `mixed` inverts none."""
    reports: Reports
    base: str = ""
    """Beginning of paths that people need not be told."""
    refused: set[str] = field(default_factory=set)
    """Files with pictures of a wrong size."""

    def prepare(self, group: list[ImageBatch]) -> Prepared:
        """Fit the pictures of some batches; those of a wrong size are left out."""
        entries = [
            (batch, int(row), image)
            for batch in group
            for row, image in zip(batch.rows, batch.images, strict=True)
        ]
        if self.mode == "none":
            entries = [(b, row, image) for b, row, image in entries if self.has_size(b, image)]
        originals = [image for _, _, image in entries]
        fitted = self.fit(originals)
        height, width = self.shape.height, self.shape.width
        return Prepared(
            names=[
                b.file.removeprefix(self.base) + ("" if b.single else f" row {row}")
                for b, row, _ in entries
            ],
            files=[b.file for b, _, _ in entries],
            rows=[row for _, row, _ in entries],
            originals=originals,
            images=np.stack([f.image for f in fitted])
            if fitted
            else np.zeros((0, height, width), np.uint8),
            fits=[
                ", ".join(filter(None, (b.notes, f.summary))) if b.notes or f.steps else ""
                for (b, _, _), f in zip(entries, fitted, strict=True)
            ],
            marks=[f.mark for f in fitted],
        )

    def fit(self, pictures: list[np.ndarray]) -> list[Fitted]:
        """Fit pictures of any size, those of the network's own size all at once."""
        size = self.shape.height, self.shape.width
        own = [i for i, picture in enumerate(pictures) if picture.shape == size]
        fitted: dict[int, Fitted] = {}
        if own:
            images = np.stack([pictures[i] for i in own])
            done = self.fit_ground(images) if self.mode == "none" else fit_images(images, self.mode)
            fitted = dict(zip(own, done, strict=True))
        return [
            fitted[i] if i in fitted else fit_picture(picture, *size, self.mode)
            for i, picture in enumerate(pictures)
        ]

    def fit_ground(self, images: np.ndarray) -> list[Fitted]:
        """Invert images with another ground than the champion's training images."""
        if self.ground == "mixed":
            return fit_images(images, "none")
        light = has_light_ground(images)
        other = ~light if self.ground == "light" else light
        return [
            Fitted(255 - image, ("inverted",)) if inverted else Fitted(image, ())
            for image, inverted in zip(images, other, strict=True)
        ]

    def has_size(self, batch: ImageBatch, image: np.ndarray) -> bool:
        """Tell whether a picture has the network's size, and report the first that has not."""
        height, width = self.shape.height, self.shape.width
        if image.shape == (height, width):
            return True
        if batch.file not in self.refused:
            self.refused.add(batch.file)
            self.reports.problems.append(
                f"{batch.file}: {image.shape[0]:,} × {image.shape[1]:,} pixels; the champion takes"
                f" {height} × {width}"
            )
        return False
