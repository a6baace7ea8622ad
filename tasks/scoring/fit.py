"""Pictures of digits brought into MNIST's form. Pure functions of arrays.

A drawing, scan or photograph goes through these steps: estimate the ground, separate ink from it,
drop frames and specks, crop, scale, even out the stroke width, centre. The result is in MNIST's
form (data/mnist_form.py), so that a second pass leaves it alone.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tasks.data.mnist_form import BOX, has_mnist_form, put_in_field, reduce_by

Fit = Literal["auto", "mnist", "none"]
Mark = Literal["", "blank", "no digit", "unfamiliar", "several digits"]
"""Reason not to take a picture for one digit; `unfamiliar` is set by score.py."""

WORKING_SIDE = 512  # pixels; larger pictures are reduced to this
SMALLEST_SHEET = 10  # pixels; what is smaller has no frame around it
GROUND_SIDE = 64  # pixels of the reduced picture that the ground is estimated from
LEAST_CONTRAST = 0.06  # of the range of grey levels; less than this is a blank picture
NOISE_FACTOR = 3.0  # standard deviations of the ground's noise that do not count as ink
FAINT = 0.2  # share of the ink's contrast below which a pixel counts as ground
FINE = 4  # working pixels per pixel of the result

STROKE = 3.0  # pixels of 28; thinner strokes are thickened to this, see benchmarks/drawings.py
WIDEST_STROKE = 6.5  # at most 5.4 in MNIST's test split; what is wider is a blob
COARSEST_PAPER = 0.15  # standard deviation of grey levels; what varies more is not blank
THICK_STROKE = 4.5  # thicker strokes are thinned to this


@dataclass(frozen=True)
class Fitted:
    """One picture as the network is to see it."""

    image: np.ndarray
    """uint8 [height, width], light ink on 0."""
    steps: tuple[str, ...]
    """Steps taken, in plain words; empty if the picture was left alone."""
    mark: Mark = ""
    """Reason not to take the picture for one digit, as far as its ink tells."""

    @property
    def summary(self) -> str:
        """Steps in one string, for a column."""
        return ", ".join(self.steps)


@dataclass(frozen=True)
class Ground:
    """The ground of a picture."""

    level: np.ndarray
    """float [h, w], grey level of the ground at each pixel."""
    noise: float
    """Standard deviation of the ground about its level."""


def fit_images(images: np.ndarray, mode: Fit) -> list[Fitted]:
    """Fit many images of the network's own size; see `fit_picture`.

    Args:
        images: uint8 [n, height, width].
        mode: auto, mnist or none.
    """
    height, width = images.shape[1:]
    alone = np.full(len(images), mode == "none")
    inverted = np.zeros(len(images), bool)
    if mode == "auto":
        alone = has_mnist_form(images)
        rest = np.flatnonzero(~alone)
        inverted[rest] = has_mnist_form(255 - images[rest])
    return [
        Fitted(image, ())
        if alone[i]
        else Fitted(255 - image, ("inverted",))
        if inverted[i]
        else fit_to_mnist(image / 255, height, width)
        for i, image in enumerate(images)
    ]


def fit_picture(picture: np.ndarray, height: int, width: int, mode: Fit) -> Fitted:
    """Fit one picture to the network.

    Args:
        picture: uint8 or float in [0, 1], [h, w] of any size.
        height: of the network's images.
        width: of the network's images.
        mode: `mnist` brings the picture into MNIST's form; `auto` does so unless it is in that
            form already (inverted or not); `none` takes it as it is.

    Raises:
        ValueError: the mode is `none` and the picture has another size.
    """
    levels = picture if picture.dtype == np.uint8 else np.rint(picture * 255).astype(np.uint8)
    if picture.shape == (height, width):
        return fit_images(levels[np.newaxis], mode)[0]
    if mode == "none":
        raise ValueError(f"{picture.shape} is not {(height, width)}")
    return fit_to_mnist(levels / 255, height, width)


def fit_to_mnist(picture: np.ndarray, height: int, width: int) -> Fitted:
    """Bring a picture into MNIST's form.

    Args:
        picture: float [h, w] in [0, 1], of any size.
        height: of the result.
        width: of the result.
    """
    picture = reduce_picture(picture)
    picture, framed = crop_frame(picture)
    ink, light_ground = find_ink(picture)
    steps = ["frame removed"] if framed else []
    if not (ink > 0.25).any():
        empty = np.zeros((height, width), np.uint8)
        mark: Mark = "no digit" if picture.std() > COARSEST_PAPER else "blank"
        return Fitted(empty, (*steps, "no ink found"), mark)
    if light_ground:
        steps.append("inverted")
    ink, dropped = drop_specks(ink)
    if dropped:
        steps.append("specks removed")
    image, stroke, change = place_ink(crop(ink), height, width)
    steps += ["cropped", "scaled", *([change] if change else []), "centred"]
    if count_digits(ink > 0.25) > 1:
        return Fitted(image, tuple(steps), "several digits")
    return Fitted(image, tuple(steps), "no digit" if stroke > WIDEST_STROKE else "")


def resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a float picture with antialiasing.

    Args:
        picture: float [h, w].
        height: of the result.
        width: of the result.
    """
    from PIL import Image

    resized = Image.fromarray(picture.astype(np.float32)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    return np.asarray(resized, dtype=np.float64)


def reduce_picture(picture: np.ndarray, side: int = WORKING_SIDE) -> np.ndarray:
    """Make a picture no larger than `side` pixels each way, with its aspect kept."""
    scale = side / max(picture.shape)
    if scale >= 1:
        return picture
    height, width = (max(1, round(length * scale)) for length in picture.shape)
    return resize(picture, height, width)


def ring(picture: np.ndarray) -> np.ndarray:
    """Return the pixels of the outermost tenth of each side, one at least, in one row."""
    height, width = picture.shape
    edge = np.ones((height, width), bool)
    y, x = max(1, height // 10), max(1, width // 10)
    edge[y : height - y, x : width - x] = False
    pixels: np.ndarray = picture[edge]
    return pixels


def robust_deviation(values: np.ndarray) -> float:
    """Return a standard deviation that outliers do not change (from the median deviation)."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def estimate_ground(picture: np.ndarray) -> Ground:
    """Estimate the ground's level with a surface of second degree.

    The first estimate is the median of the outermost pixels. Pixels far from the surface are
    left out and the surface is fitted again, so that ink has no weight in it.

    Args:
        picture: float [h, w] in [0, 1].
    """
    small = reduce_picture(picture, GROUND_SIDE)
    basis = surface_basis(*small.shape)
    values = small.ravel()
    edge = ring(small)
    level = np.full(values.shape, np.median(edge))
    scale = robust_deviation(edge)
    coefficients = np.zeros(basis.shape[1])
    coefficients[0] = level[0]
    for terms in (3, 6, 6, 6):  # a plane first, then second degree
        ground = np.abs(values - level) <= 2.5 * scale + 2 / 255
        if ground.sum() < 4 * terms:
            break
        fitted = np.linalg.lstsq(basis[ground, :terms], values[ground], rcond=None)[0]
        coefficients = np.pad(fitted, (0, basis.shape[1] - terms))
        level = basis @ coefficients
        scale = robust_deviation((values - level)[ground])
    full = (surface_basis(*picture.shape) @ coefficients).reshape(picture.shape)
    rest = picture - full
    near = np.abs(rest) <= 0.5 * np.abs(rest).max()  # without ink
    return Ground(full, robust_deviation(rest[near] if near.any() else rest))


def surface_basis(height: int, width: int) -> np.ndarray:
    """Return 1, x, y, x², xy, y² at each pixel, float [height · width, 6]; x, y in [-1, 1]."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).reshape(-1, 6)


def crop_frame(picture: np.ndarray) -> tuple[np.ndarray, bool]:
    """Crop to the sheet, if what surrounds it is another ground, such as a table or a frame.

    A sheet is a region that fills a rectangle, is large, and has something on it.

    Args:
        picture: float [h, w] in [0, 1].

    Returns:
        The picture within the frame, and whether there was one.
    """
    from scipy import ndimage

    rest = np.abs(picture - np.median(ring(picture)))
    labels, areas = label_components(rest > max(LEAST_CONTRAST, 0.3 * rest.max()))
    if not areas.size or areas.max() < 0.15 * picture.size:
        return picture, False
    sheet = labels == 1 + areas.argmax()
    box = ndimage.find_objects(sheet.astype(int))[0]
    filled = ndimage.binary_fill_holes(sheet)
    holes = filled.sum() - sheet.sum()
    if min(filled[box].shape) < SMALLEST_SHEET:
        return picture, False
    if filled[box].mean() < 0.93 or not 0.005 < holes / filled.sum() < 0.4:
        return picture, False
    inset = max(1, round(0.02 * max(picture.shape)))
    rows, columns = (slice(s.start + inset, s.stop - inset) for s in box)
    return picture[rows, columns], True


def find_ink(picture: np.ndarray) -> tuple[np.ndarray, bool]:
    """Separate the ink of a picture from its ground.

    Ink is on the side of the ground, lighter or darker, where the largest deviations are.

    Args:
        picture: float [h, w] in [0, 1].

    Returns:
        Ink, float [h, w] from 0 (ground) to 1 (full contrast), all 0 for a blank picture; and
        whether the ground is lighter than the ink.
    """
    from scipy import ndimage

    ground = estimate_ground(picture)
    rest = picture - ground.level
    if max(picture.shape) > 100:
        rest = ndimage.gaussian_filter(rest, max(picture.shape) / 250)
    noise = min(ground.noise, robust_deviation(rest))
    beyond = rest[np.abs(rest) > NOISE_FACTOR * noise]
    light_ground = bool((beyond**3).sum() < 0)
    rest = np.maximum(-rest if light_ground else rest, 0)
    contrast = ink_contrast(rest, NOISE_FACTOR * noise)
    if contrast < max(LEAST_CONTRAST, 2 * NOISE_FACTOR * noise):
        return np.zeros_like(rest), light_ground
    low = max(NOISE_FACTOR * noise, FAINT * contrast)
    return np.clip((rest - low) / (contrast - low), 0, 1), light_ground


def ink_contrast(rest: np.ndarray, least: float) -> float:
    """Return the contrast of strokes: the 80th percentile above Otsu's threshold.

    Args:
        rest: float [h, w], distance from the ground, 0 or more.
        least: distance that counts at least.
    """
    values = rest[rest > least]
    if not values.size:
        return 0.0
    counts, edges = np.histogram(values, bins=64, range=(0, values.max()))
    middles = (edges[:-1] + edges[1:]) / 2
    below = counts.cumsum()
    above = values.size - below
    sums = (counts * middles).cumsum()
    inner = (below > 0) & (above > 0)
    if not inner.any():
        return float(np.percentile(values, 80))
    means = sums[inner] / below[inner], (sums[-1] - sums[inner]) / above[inner]
    between = below[inner] * above[inner] * (means[0] - means[1]) ** 2
    threshold = edges[1:][inner][between.argmax()]
    strokes = values[values >= threshold]
    return float(np.percentile(strokes if strokes.size else values, 80))


def label_components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label connected components, diagonals included.

    Args:
        mask: bool [h, w].

    Returns:
        Labels, int [h, w] from 1, 0 for ground; and the pixels of each label from 1 on.
    """
    from scipy import ndimage

    labels, count = ndimage.label(mask, np.ones((3, 3)))
    return labels, np.bincount(labels.ravel(), minlength=count + 1)[1:]


def drop_specks(ink: np.ndarray) -> tuple[np.ndarray, bool]:
    """Drop frames, what clings to the edge, and specks, if other ink remains.

    Args:
        ink: float [h, w] in [0, 1].

    Returns:
        Ink without them, and whether any was dropped.
    """
    from scipy import ndimage

    labels, areas = label_components(ink > 0.25)
    if len(areas) < 2:
        return ink, False
    boxes = ndimage.find_objects(labels)
    height, width = ink.shape
    edge = np.zeros(ink.shape, bool)
    y, x = max(1, round(0.08 * height)), max(1, round(0.08 * width))
    edge[:y], edge[-y:], edge[:, :x], edge[:, -x:] = True, True, True, True
    outer = np.bincount(labels[edge], minlength=len(areas) + 1)[1:] / areas
    spans = np.array(
        [
            b[0].stop - b[0].start >= 0.85 * height and b[1].stop - b[1].start >= 0.85 * width
            for b in boxes
        ]
    )
    touches = np.zeros(len(areas), bool)
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    touches[border[border > 0] - 1] = True
    keep = ~(spans | (touches & (outer > 0.7)))
    if not keep.any() or areas[keep].max() < 0.001 * ink.size:
        keep[:] = True
    keep &= areas >= 0.06 * areas[keep].max()
    if keep.all():
        return ink, False
    kept = np.concatenate([[False], keep])[labels]
    near = ndimage.binary_dilation(kept, np.ones((3, 3)))
    gone = ~near & (labels > 0)
    return np.where(near, ink, 0.0), bool(gone.any())


def count_digits(mask: np.ndarray) -> int:
    """Count parts that look like digits side by side: tall, large, and apart from left to right.

    Args:
        mask: bool [h, w], ink.
    """
    from scipy import ndimage

    labels, areas = label_components(mask)
    boxes = ndimage.find_objects(labels)
    heights = np.array([rows.stop - rows.start for rows, _ in boxes])
    if not heights.size:
        return 0
    count, end = 0, -1
    for i in sorted(range(len(boxes)), key=lambda i: boxes[i][1].start):
        if areas[i] < 0.15 * areas.max() or heights[i] < 0.6 * heights.max():
            continue
        columns = boxes[i][1]
        count += columns.start > end
        end = max(end, columns.stop)
    return count


def crop(ink: np.ndarray) -> np.ndarray:
    """Crop to the ink's bounding box.

    Args:
        ink: float [h, w] in [0, 1], not all 0.
    """
    mask = ink > 0.25
    rows, columns = (np.flatnonzero(mask.any(axis=a)) for a in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def place_ink(ink: np.ndarray, height: int, width: int) -> tuple[np.ndarray, float, str]:
    """Scale ink to the box, even out its stroke width, and put it into the field.

    Args:
        ink: float [h, w] in [0, 1], cropped.
        height: of the field.
        width: of the field.

    Returns:
        The image, uint8 [height, width]; the width of strokes before, in pixels of 28; and
        `thickened`, `thinned` or nothing.
    """
    field = min(height, width)
    box = round(field * BOX) * FINE
    unit = field / 28 * FINE  # working pixels per pixel of an image of 28
    stroke = stroke_width(scale_to(ink, box)) / unit
    target = float(np.clip(stroke, STROKE, THICK_STROKE))
    grow = (target - stroke) / 2 * unit
    fine = scale_to(ink, round(box - 2 * grow))
    change = ""
    if abs(grow) > 0.1 * unit:
        fine = grow_strokes(fine, grow)
        change = "thickened" if grow > 0 else "thinned"
    fine = crop(fine)
    size = np.maximum(1, np.rint(np.array(fine.shape) * box / max(fine.shape))).astype(int)
    fine = np.clip(resize(fine, *size), 0, 1)
    return put_in_field(reduce_by(fine, FINE), height, width), stroke, change


def scale_to(ink: np.ndarray, side: int) -> np.ndarray:
    """Scale ink so that its longer side has `side` pixels, with an empty margin of a pixel.

    Pixels of small drawings are rounded off, so that their steps do not show.
    """
    from scipy import ndimage

    scale = side / max(ink.shape)
    padded = np.pad(ink, 2)
    height, width = (max(1, round(length * scale)) for length in padded.shape)
    scaled = resize(padded, height, width)
    if scale > 1:
        scaled = ndimage.gaussian_filter(scaled, 0.5 * scale)
        scaled /= np.percentile(scaled[scaled > 0.25 * scaled.max()], 90)
    clipped: np.ndarray = np.clip(scaled, 0, 1)
    return clipped


def stroke_width(ink: np.ndarray) -> float:
    """Return the mean width of strokes in pixels.

    Across a long stroke, the distance to the ground is a quarter of its width on average.

    Args:
        ink: float [h, w] in [0, 1].
    """
    from scipy import ndimage

    distance = ndimage.distance_transform_edt(ink > 0.5)
    inside = distance > 0
    return float(4 * (distance[inside].mean() - 0.5)) if inside.any() else 0.0


def grow_strokes(ink: np.ndarray, distance: float) -> np.ndarray:
    """Move the outline of strokes outwards, or inwards if `distance` is negative, in pixels.

    Args:
        ink: float [h, w] in [0, 1].
        distance: in pixels.

    Returns:
        Like `ink`, larger by the distance on each side.
    """
    from scipy import ndimage

    margin = max(0, int(np.ceil(distance))) + 1
    padded = np.pad(ink, margin)
    mask = padded > 0.5
    signed = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    moved = np.clip(signed + distance + np.where(mask, 0.0, 1.0), 0, 1)
    grown: np.ndarray = (np.maximum if distance > 0 else np.minimum)(moved, padded)
    return grown
