"""Digits drawn from strokes, in MNIST's form: extra training images for pictures from people.

MNIST holds few of the forms that people outside the United States write, such as a 1 with an
upstroke, which a network trained on MNIST alone reads as 7. All functions but the stage
`add_drawn` are pure functions of arrays.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.convert import to_table, write_parquet
from tasks.data.mnist_form import BOX, FIELD, put_in_field, reduce_by
from tasks.data.sources.mnist import is_mnists_train_file
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.records import IdxFiles, Split
from tasks.runtime.console import log

FINE = 4  # working pixels per pixel of the result

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Stroke:
    """A line or a curve through points, in a unit square with y down."""

    points: Points
    curved: bool = False


def polyline(*points: tuple[float, float]) -> Stroke:
    """Return straight lines from point to point."""
    return Stroke(points)


def curve(*points: tuple[float, float]) -> Stroke:
    """Return a smooth curve through points."""
    return Stroke(points, curved=True)


FORMS: dict[int, tuple[tuple[Stroke, ...], ...]] = {
    0: (
        (curve((0.5, 0), (0.1, 0.2), (0.05, 0.6), (0.4, 1), (0.9, 0.75), (0.9, 0.25), (0.5, 0)),),
        (
            curve(
                (0.6, 0),
                (0.2, 0.1),
                (0, 0.5),
                (0.2, 0.9),
                (0.6, 1),
                (0.95, 0.6),
                (0.8, 0.1),
                (0.45, 0),
            ),
        ),
    ),
    1: (
        (polyline((0.5, 0), (0.5, 1)),),
        (polyline((0.15, 0.3), (0.6, 0), (0.6, 1)),),
        (polyline((0.15, 0.3), (0.55, 0), (0.55, 1)), polyline((0.1, 1), (0.95, 1))),
        (polyline((0.2, 0.2), (0.5, 0), (0.5, 1)),),
        (curve((0.1, 0.35), (0.4, 0.2), (0.62, 0)), polyline((0.62, 0), (0.58, 1))),
        (polyline((0, 0.22), (0.6, 0), (0.6, 1)),),
        (polyline((0.25, 0.45), (0.6, 0), (0.55, 1)),),
        (polyline((0, 0.4), (0.7, 0), (0.6, 1)),),
    ),
    2: (
        (
            curve((0.1, 0.25), (0.4, 0), (0.85, 0.2), (0.6, 0.6), (0.05, 1)),
            polyline((0.05, 1), (0.95, 1)),
        ),
        (
            curve((0.1, 0.2), (0.5, 0), (0.9, 0.25), (0.5, 0.7), (0.15, 0.95)),
            curve((0.15, 0.95), (0.05, 0.8), (0.3, 0.75), (0.6, 0.95), (0.95, 0.95)),
        ),
        (curve((0.05, 0.15), (0.5, 0), (0.85, 0.3), (0.4, 0.75), (0.05, 1), (0.5, 0.95), (1, 1)),),
    ),
    3: (
        (
            curve((0.1, 0.1), (0.6, 0), (0.85, 0.25), (0.4, 0.48)),
            curve((0.4, 0.48), (0.9, 0.65), (0.6, 1), (0.05, 0.9)),
        ),
        (
            polyline((0.1, 0), (0.85, 0), (0.4, 0.4)),
            curve((0.4, 0.4), (0.9, 0.6), (0.7, 0.98), (0.05, 0.95)),
        ),
    ),
    4: (
        (polyline((0.55, 0), (0.05, 0.65), (0.95, 0.65)), polyline((0.7, 0.35), (0.68, 1))),
        (polyline((0.7, 1), (0.7, 0), (0.05, 0.65), (1, 0.65)),),
        (polyline((0.1, 0), (0.08, 0.5), (0.9, 0.5)), polyline((0.75, 0), (0.75, 1))),
        (
            curve((0.15, 0), (0.1, 0.45), (0.3, 0.55), (0.85, 0.45)),
            polyline((0.8, 0.05), (0.75, 1)),
        ),
    ),
    5: (
        (
            polyline((0.9, 0), (0.2, 0), (0.15, 0.45)),
            curve((0.15, 0.45), (0.6, 0.38), (0.9, 0.7), (0.6, 1), (0.05, 0.9)),
        ),
        (
            polyline((0.9, 0.02), (0.2, 0.02), (0.12, 0.5)),
            curve((0.12, 0.5), (0.55, 0.38), (0.92, 0.7), (0.55, 1), (0.05, 0.92)),
        ),
    ),
    6: (
        (
            curve(
                (0.75, 0), (0.3, 0.3), (0.1, 0.75), (0.5, 1), (0.85, 0.75), (0.55, 0.5), (0.15, 0.7)
            ),
        ),
        (
            curve(
                (0.55, 0), (0.2, 0.35), (0.1, 0.75), (0.35, 1), (0.8, 0.9), (0.8, 0.6), (0.1, 0.8)
            ),
        ),
        (
            curve(
                (0.9, 0.05),
                (0.4, 0.1),
                (0.08, 0.5),
                (0.15, 0.9),
                (0.6, 1),
                (0.9, 0.75),
                (0.12, 0.65),
            ),
        ),
    ),
    7: (
        (polyline((0.05, 0.03), (0.9, 0), (0.4, 1)),),
        (polyline((0.05, 0.03), (0.9, 0), (0.45, 1)), polyline((0.3, 0.5), (0.85, 0.48))),
        (curve((0.05, 0.05), (0.9, 0), (0.6, 0.5), (0.4, 1)),),
        (polyline((0.08, 0.2), (0.05, 0), (0.9, 0), (0.5, 1)),),
        (polyline((0.05, 0), (0.85, 0.02), (0.75, 1)),),
    ),
    8: (
        (
            curve(
                (0.8, 0.15), (0.4, 0), (0.2, 0.25), (0.8, 0.7), (0.5, 1), (0.15, 0.75), (0.8, 0.15)
            ),
        ),
        (
            curve((0.5, 0.48), (0.15, 0.25), (0.5, 0), (0.85, 0.25), (0.5, 0.48)),
            curve((0.5, 0.48), (0.1, 0.75), (0.5, 1), (0.9, 0.75), (0.5, 0.48)),
        ),
    ),
    9: (
        (
            curve((0.85, 0.2), (0.5, 0), (0.15, 0.25), (0.45, 0.5), (0.85, 0.2)),
            curve((0.85, 0.2), (0.8, 0.6), (0.6, 1)),
        ),
        (
            curve((0.85, 0.25), (0.5, 0), (0.15, 0.25), (0.5, 0.5), (0.85, 0.25)),
            polyline((0.85, 0.1), (0.85, 1)),
        ),
        (
            curve((0.8, 0.25), (0.5, 0), (0.15, 0.22), (0.45, 0.48), (0.8, 0.25)),
            curve((0.82, 0.2), (0.85, 0.7), (0.6, 1), (0.1, 0.9)),
        ),
    ),
}


def draw_many(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw digits, each class as often as the others.

    Args:
        count: of images.
        seed: of their forms; the same seed gives the same images.

    Returns:
        Images, uint8 [count, 28, 28], light on 0; and labels, uint8 [count].
    """
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % len(FORMS)).astype(np.uint8)
    images = [draw_digit(rng, int(label)) for label in labels]
    return np.stack(images) if images else np.zeros((0, FIELD, FIELD), np.uint8), labels


def draw_digit(rng: np.random.Generator, digit: int) -> np.ndarray:
    """Draw one digit in MNIST's form.

    Args:
        rng: source of its form, slant, width, and of how unsteady the hand is.
        digit: 0 to 9.

    Returns:
        uint8 [28, 28].
    """
    pen = rng.uniform(1.8, 4.5) * FINE
    paths = [np.asarray(path) for path in distort(rng, digit)]
    corners = np.concatenate(paths)
    low, size = corners.min(axis=0), np.ptp(corners, axis=0).max()
    scale = (BOX * FIELD * FINE - pen) / size
    ink = draw_lines([(path - low) * scale for path in paths], pen)
    return put_in_field(reduce_by(ink, FINE), FIELD, FIELD)


def distort(rng: np.random.Generator, digit: int) -> list[np.ndarray]:
    """Choose a form of a digit, and move its points, slant, turn and narrow it.

    Returns:
        The path of each stroke, float [points, 2], x and y.
    """
    forms = FORMS[digit]
    strokes = forms[rng.integers(len(forms))]
    narrow = rng.uniform(0.35, 0.8) if digit == 1 else rng.uniform(0.5, 1.0)
    slant, angle = rng.normal(-0.05, 0.13), np.deg2rad(rng.normal(0, 5))
    unsteady = rng.uniform(0.01, 0.06)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shape = turn @ np.array([[narrow, -slant], [0.0, 1.0]])
    moved = {
        point: np.array(point) - 0.5 + rng.normal(0, unsteady, 2)
        for stroke in strokes
        for point in dict.fromkeys(stroke.points)
    }  # strokes that meet in a point still do
    paths = [(np.array([moved[p] for p in s.points]) @ shape.T, s.curved) for s in strokes]
    return [smooth(path) if curved else path for path, curved in paths]


def smooth(path: np.ndarray, steps: int = 8) -> np.ndarray:
    """Return a Catmull-Rom spline through points.

    Args:
        path: float [points, 2], two points at least.
        steps: from one point to the next.

    Returns:
        float [(points - 1) · steps + 1, 2].
    """
    ends = np.concatenate([2 * path[:1] - path[1:2], path, 2 * path[-1:] - path[-2:-1]])
    t = np.arange(steps)[:, np.newaxis] / steps
    parts = [
        0.5
        * (
            2 * b
            + (c - a) * t
            + (2 * a - 5 * b + 4 * c - d) * t**2
            + (3 * b - a - 3 * c + d) * t**3
        )
        for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False)
    ]
    return np.concatenate([*parts, path[-1:]])


def draw_lines(paths: list[np.ndarray], pen: float) -> np.ndarray:
    """Draw lines with a round pen.

    Args:
        paths: float [points, 2] each, x and y in working pixels, from 0.
        pen: diameter in working pixels.

    Returns:
        Ink, float [h, w], 0 or 1, as large as the lines with the pen's width.
    """
    from PIL import Image, ImageDraw

    margin = pen / 2
    width, height = (int(n) for n in np.ceil(np.concatenate(paths).max(axis=0) + pen))
    picture = Image.new("L", (width, height))
    draw = ImageDraw.Draw(picture)
    for path in paths:
        points = [(float(x), float(y)) for x, y in path + margin]
        draw.line(points, fill=1, width=round(pen))
        for x, y in points:
            draw.ellipse([x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2], fill=1)
    return np.asarray(picture, dtype=np.float64)


@stage()
def add_drawn(work: Workspace, files: IdxFiles, split: Split, share: float, seed: int) -> Split:
    """Add drawn digits to MNIST's training split.

    Args:
        work: inputs and outputs.
        files: the data set that the split is from.
        split: the training split.
        share: drawn digits per image of the split.
        seed: of the drawn digits.

    Returns:
        The split with the drawn digits at its end, whose `index` continues the largest one; a
        copy of the split, and a log line, if the data set is not MNIST.
    """
    result = pq.ParquetFile(work.input(split.file)).read()
    if is_mnists_train_file(files.train_images.sha256):
        images, labels = draw_many(round(share * split.rows), seed)
        drawn = to_table(images, labels, first=int(result["index"].to_numpy().max()) + 1)
        result = pa.concat_tables([result, drawn]).combine_chunks()
    else:
        log.info("no drawn digits are added, since the data set is not MNIST")
    write_parquet(result, work.output("train.parquet"))
    return Split(rows=len(result), file=work.finished("train.parquet"))
