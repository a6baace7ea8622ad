"""MNIST's form: how its digits lie in their field. Pure functions of arrays.

Light ink on a ground of 0, the longer side of the ink 20 of 28 pixels, the centre of mass of the
ink in the middle (LeCun, Bottou, Bengio, Haffner 1998).
"""

import numpy as np

FIELD = 28  # pixels; the shares below are of this
BOX = 20 / FIELD  # longer side of the ink, as a share of the field
CENTRE = 14 / FIELD  # place of the centre of mass: index 14 of 0 to 27
SHORTEST = 19 / FIELD  # the longer side is 19 pixels for 16 of 70,000 images, else 20
OFF_CENTRE = 0.53 / FIELD  # largest distance of the centre of mass from 14, 0.52 in the 70,000
PEAK = 254  # the brightest pixel of each of the 70,000 images is 254 or 255


def has_mnist_form(images: np.ndarray) -> np.ndarray:
    """Tell images that are in MNIST's form already.

    The limits are those of MNIST itself: all 70,000 images pass.

    Args:
        images: uint8 [n, height, width].

    Returns:
        bool [n].
    """
    n, height, width = images.shape
    if height != width or n == 0:
        return np.zeros(n, bool)
    # Sums of whole numbers: exact in float32 up to 65,000 pixels.
    profiles = [np.einsum(f"nyx->n{axis}", images, dtype=np.float32) for axis in "yx"]
    longer = np.maximum(*(extent(profile > 0) for profile in profiles))
    centres = np.stack([centre_of_profile(profile) for profile in profiles])
    off = np.abs(centres - height * CENTRE).max(axis=0)
    form: np.ndarray = (
        (longer >= np.floor(height * SHORTEST))
        & (longer <= np.ceil(height * BOX))
        & (off <= height * OFF_CENTRE)
        & (images.reshape(n, -1).max(axis=1) >= PEAK)
    )
    return form


def extent(occupied: np.ndarray) -> np.ndarray:
    """Return the distance from the first to the last True of each row, both included.

    Args:
        occupied: bool [n, length].
    """
    length = occupied.shape[1]
    first, last = occupied.argmax(axis=1), length - occupied[:, ::-1].argmax(axis=1)
    size: np.ndarray = np.where(occupied.any(axis=1), last - first, 0)
    return size


def centre_of_mass(images: np.ndarray, axis: int) -> np.ndarray:
    """Return the centre of mass of each image along one axis, in pixels; 0 if it is black.

    Args:
        images: any number type, [n, height, width].
        axis: 1 for the rows, 2 for the columns.
    """
    return centre_of_profile(images.sum(axis=3 - axis, dtype=np.float64))


def centre_of_profile(profile: np.ndarray) -> np.ndarray:
    """Return the centre of mass of each row, in pixels; 0 if it is 0.

    Args:
        profile: float [n, length], sums across an axis.
    """
    profile = profile.astype(np.float64)
    total = profile.sum(axis=1)
    moment = profile @ np.arange(profile.shape[1])
    centre: np.ndarray = np.divide(moment, total, out=np.zeros_like(total), where=total > 0)
    return centre


def put_in_field(ink: np.ndarray, height: int, width: int) -> np.ndarray:
    """Put ink into an empty field, moved by whole pixels so that its centre of mass is in place.

    Ink that would stick out is moved back.

    Args:
        ink: float [h, w], no larger than the field, not all 0.
        height: of the field.
        width: of the field.

    Returns:
        uint8 [height, width], 255 where the ink is strongest.
    """
    field = np.zeros((height, width))
    starts = []
    for axis, length in enumerate((height, width)):
        found = centre_of_mass(ink[np.newaxis], axis + 1)[0]
        start = round(length * CENTRE - found)
        starts.append(min(max(start, 0), length - ink.shape[axis]))
    y, x = starts
    field[y : y + ink.shape[0], x : x + ink.shape[1]] = ink
    image: np.ndarray = np.rint(field * (255 / field.max())).astype(np.uint8)
    return image


def reduce_by(ink: np.ndarray, factor: int) -> np.ndarray:
    """Reduce ink to means of `factor` × `factor` pixels, filled up with 0 at the far edges.

    Args:
        ink: float [h, w].
        factor: in pixels.
    """
    height, width = ink.shape
    padded = np.pad(ink, ((0, -height % factor), (0, -width % factor)))
    rows, columns = padded.shape
    means: np.ndarray = padded.reshape(rows // factor, factor, columns // factor, factor).mean(
        axis=(1, 3)
    )
    return means
