"""Figures with their texts, and the predictions that they show."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from tasks.words import percent


@dataclass(frozen=True)
class ReportFigure:
    """A figure with its texts."""

    figure: Figure
    name: str
    """File name without its suffix, e.g. `confusion-matrix`."""
    title: str
    caption: str
    """One or two sentences: contents, and how to read them."""
    alt: str
    """Alternative text for screen readers."""


@dataclass(frozen=True)
class Predictions:
    """A split and the predictions of a network."""

    names: list[str]
    """Class names."""
    images: np.ndarray
    """uint8 [n, height, width], from 0 (white) to 255 (black)."""
    true: np.ndarray
    """uint8 [n], indices into the names."""
    predicted: np.ndarray
    """uint8 [n], indices into the names."""
    probabilities: np.ndarray
    """float32 [n, classes]."""

    @property
    def wrong(self) -> np.ndarray:
        """Rows of the misclassified images, ascending."""
        return np.flatnonzero(self.true != self.predicted)

    @property
    def correct(self) -> np.ndarray:
        """Rows of the correctly classified images, ascending."""
        return np.flatnonzero(self.true == self.predicted)

    def by_confidence(self, rows: np.ndarray, count: int, *, highest: bool) -> np.ndarray:
        """Return the rows with the highest or the lowest confidence, in that order."""
        confidence = self.probabilities[rows].max(axis=1)
        return rows[np.argsort(-confidence if highest else confidence, kind="stable")[:count]]

    def described(self, rows: np.ndarray) -> str:
        """Return true and predicted class of some rows as text."""
        return "; ".join(
            f"a {self.names[self.true[i]]} taken for a {self.names[self.predicted[i]]}"
            for i in rows
        )

    def described_with_confidence(self, rows: np.ndarray) -> str:
        """Return true class, predicted class and confidence of some rows as text."""
        return (
            "; ".join(
                f"true {self.names[self.true[i]]}, predicted {self.names[self.predicted[i]]}"
                f" with {percent(self.probabilities[i].max(), 1)}"
                for i in rows
            )
            or "No images."
        )
