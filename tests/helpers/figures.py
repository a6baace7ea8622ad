"""Helpers for tests of figures: class names, texts, images and colours of a figure."""

from pathlib import Path

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

from tasks.report import figures

DIGITS = [str(i) for i in range(10)]
ALPHANUMERIC = [*"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"]
CLOTHES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Ankle boot"]
LONG = ["the first of two very long class names", "W" * 60]
RED, WHITE, BLUE = (128, 0, 0), (255, 255, 255), (0, 0, 77)
"""First, middle and last colour of matplotlib's `seismic`."""


def random_probabilities(images: int, classes: int) -> np.ndarray:
    """Return probabilities, float32 [images, classes]."""
    powers = np.exp(3 * np.random.default_rng(1).normal(size=(images, classes)))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in visible(figure)]


def visible(figure: Figure) -> list[Text]:
    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible())
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    page = Bbox.from_bounds(-width, -height, 3 * width, 3 * height)
    return [t for t in found if t.get_text() and page.overlaps(t.get_window_extent())]


def drawn_images(figure: Figure) -> list[AxesImage]:
    """Return the figure's images in drawing order."""
    return figure.axes[0].get_images()


def pixels_of(image: AxesImage) -> np.ndarray:
    array = image.get_array()
    assert array is not None
    return np.asarray(array)


def filled_rectangles(figure: Figure) -> list[tuple[str, float, float]]:
    """Return colour, width and height of the figure's bars."""
    return [
        (to_hex(patch.get_facecolor()), patch.get_width(), patch.get_height())
        for patch in figure.findobj(Rectangle)
        if isinstance(patch, Rectangle) and patch.axes is figure.axes[0]
        if patch.get_facecolor()[3] > 0 and patch is not figure.axes[0].patch
    ]


def saved_pixels(figure: Figure, folder: Path) -> np.ndarray:
    """Save the figure as PNG and return its pixels, uint8 [height, width, 3]."""
    figures.save(figure, folder / "figure.png")
    with Image.open(folder / "figure.png") as image:
        return np.asarray(image.convert("RGB"))


def centre_colour(figure: Figure, image: AxesImage, saved: np.ndarray) -> tuple[int, ...]:
    """Return the colour at the centre of an image."""
    box = image.get_window_extent()
    x, y = (box.x0 + box.x1) / 2, figure.bbox.height - (box.y0 + box.y1) / 2
    return tuple(int(value) for value in saved[int(y), int(x)])
