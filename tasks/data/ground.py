"""The ground of images: light or dark."""

import numpy as np

LIGHT = 128
"""Smallest grey value, of 255, in the lighter half."""


def has_light_ground(images: np.ndarray) -> np.ndarray:
    """Return which images have a light ground.

    The outermost pixels are ground; it is light if most of them are.

    Args:
        images: uint8 [n, height, width].

    Returns:
        bool [n].
    """
    border = np.concatenate(
        [images[:, 0], images[:, -1], images[:, 1:-1, 0], images[:, 1:-1, -1]], axis=1
    )
    light: np.ndarray = np.median(border, axis=1) >= LIGHT
    return light
