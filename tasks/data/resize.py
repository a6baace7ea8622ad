"""Images brought to one size. Pure functions of arrays."""

import numpy as np


def resize_to_square(pixels: np.ndarray, side: int) -> np.ndarray:
    """Scale an image to a square, its aspect ratio kept.

    The longer side is scaled to the square's, with averages over the pixels that become one. The
    rest of the square gets the grey level of the image's edge: the median of its outermost pixels.

    Args:
        pixels: uint8 [height, width].
        side: of the square, in pixels.

    Returns:
        uint8 [side, side].
    """
    from PIL import Image

    height, width = pixels.shape
    if (height, width) == (side, side):
        return pixels
    scale = side / max(height, width)
    rows, columns = (max(1, round(length * scale)) for length in (height, width))
    scaled = Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BILINEAR)
    square = np.full((side, side), edge_level(pixels), np.uint8)
    top, left = (side - rows) // 2, (side - columns) // 2
    square[top : top + rows, left : left + columns] = np.asarray(scaled)
    return square


def edge_level(pixels: np.ndarray) -> int:
    """Return the median of an image's outermost pixels, uint8 [height, width]."""
    edge = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    return int(np.median(edge))


def resize_all_to_squares(images: np.ndarray, side: int) -> np.ndarray:
    """Scale images to squares.

    Args:
        images: uint8 [n, height, width].
        side: of the squares, in pixels.

    Returns:
        uint8 [n, side, side].
    """
    return np.stack([resize_to_square(pixels, side) for pixels in images])
