"""What pictures are collected in, and what they are drawn from."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from tasks.engine.store import Workspace
from tasks.records import Picture, PictureText
from tasks.report import figures


class Sketchbook:
    """Pictures drawn into a stage's outputs, in order."""

    def __init__(self, work: Workspace) -> None:
        self.work = work
        self.section = ""
        """Heading of the pictures that are added from now on."""
        self.pictures: list[Picture] = []

    def add(self, figure: Figure, name: str, title: str, caption: str, alt: str) -> None:
        figures.save(figure, self.work.output(f"{name}.png"))
        text = PictureText(name=name, title=title, caption=caption, alt=alt, section=self.section)
        self.pictures.append(Picture(**text.model_dump(), file=self.work.finished(f"{name}.png")))


@dataclass(frozen=True)
class Predicted:
    """A split and what a network makes of it."""

    names: list[str]
    """Of the classes."""
    images: np.ndarray
    """uint8 [n, height, width]."""
    true: np.ndarray
    """uint8 [n], indices into the names."""
    predicted: np.ndarray
    """uint8 [n]."""
    probabilities: np.ndarray
    """float32 [n, classes]."""

    @property
    def wrong(self) -> np.ndarray:
        """Rows that are taken for another class, ascending."""
        return np.flatnonzero(self.true != self.predicted)

    def taken_for(self, rows: np.ndarray) -> str:
        """What was taken for what, in words."""
        return "; ".join(
            f"a {self.names[self.true[i]]} taken for a {self.names[self.predicted[i]]}"
            for i in rows
        )


def by_confidence(data: Predicted, rows: np.ndarray, count: int, *, most: bool) -> np.ndarray:
    """Those of some rows whose highest probability is the highest, or the lowest of all."""
    confidence = data.probabilities[rows].max(axis=1)
    return rows[np.argsort(-confidence if most else confidence, kind="stable")[:count]]
