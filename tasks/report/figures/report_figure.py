"""Figures with their texts, and the predictions that they show."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


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
    images: NDArray[np.uint8]
    """[n, height, width], from 0 (white) to 255 (black)."""
    true: NDArray[np.uint8]
    """[n], indices into the names."""
    predicted: NDArray[np.uint8]
    """[n], indices into the names."""
    probabilities: NDArray[np.float32]
    """[n, classes]."""

    @property
    def wrong(self) -> NDArray[np.intp]:
        """Rows of the misclassified images, ascending."""
        return np.flatnonzero(self.true != self.predicted)

    def described(self, rows: NDArray[np.intp]) -> str:
        """Return true and predicted class of some rows as text."""
        pairs = (
            f"{self.names[self.true[i]]} taken for {self.names[self.predicted[i]]}" for i in rows
        )
        return "; ".join(pairs) or "No errors"
