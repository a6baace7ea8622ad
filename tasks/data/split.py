"""Draws of rows that keep the shares of the classes."""

import hashlib

import numpy as np

KEY_BYTES = 8

STREAM = 2**63  # of the generator; the orders of epochs have the numbers below it


def stratified_draw(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw rows so that each class has the same share of them as of all rows.

    Counts per class are rounded by the largest remainder. A class keeps at least one row that is
    not drawn, unless `count` leaves fewer rows than there are classes.

    Args:
        labels: uint8 [n].
        count: number of rows to draw, from 0 to n.
        seed: of the draw, from 0.

    Returns:
        int64 [count], the drawn rows, ascending.
    """
    classes, position, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    quotas = class_counts(sizes, count)
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, STREAM], np.uint64)))
    order = generator.permutation(len(labels))
    rows = [order[position[order] == c][: quotas[c]] for c in range(len(classes))]
    return np.sort(np.concatenate([np.empty(0, np.int64), *rows]))


def draw_by_content(images: np.ndarray, labels: np.ndarray, share: float) -> np.ndarray:
    """Draw about a share of the rows of each class, each row by the content of its image.

    Whether an image is drawn hardly depends on the other images: if the data grow, earlier images
    stay where they were. Equal images are drawn together. A class of two images or more has at
    least one that is drawn and one that is not, unless all its images are equal.

    Args:
        images: uint8 [n, height, width].
        labels: uint8 [n].
        share: of the rows to draw, above 0 and below 1.

    Returns:
        int64 [m], the drawn rows, ascending; at least one and at most n - 1 if n is 2 or more.
    """
    keys = np.array([content_key(image) for image in images])
    drawn = keys < share
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) > 1:
            keep_both(drawn, keys, rows)
    keep_both(drawn, keys, np.arange(len(labels)))
    return np.flatnonzero(drawn)


def content_key(image: np.ndarray) -> float:
    """Return a number from 0 to 1 that is evenly distributed over different images."""
    digest = hashlib.blake2b(image.tobytes(), digest_size=KEY_BYTES).digest()
    return int.from_bytes(digest, "big") / 2.0 ** (8 * KEY_BYTES)


def keep_both(drawn: np.ndarray, keys: np.ndarray, rows: np.ndarray) -> None:
    """Draw the first row by its key if none is drawn, and leave the last one if all are.

    Args:
        drawn: bool [n], changed in place.
        keys: float [n].
        rows: int64 [m], the rows to look at, at least two for both to be possible.
    """
    if not drawn[rows].any():
        drawn[rows[keys[rows].argmin()]] = True
    elif drawn[rows].all() and len(rows) > 1:
        drawn[rows[keys[rows].argmax()]] = False


def class_counts(sizes: np.ndarray, count: int) -> np.ndarray:
    """Return the number of rows to draw from each class.

    Args:
        sizes: int [classes], rows of each class, at least one.
        count: sum of the result, from 0 to the sum of the sizes.

    Returns:
        int64 [classes].
    """
    total = int(sizes.sum())
    most = sizes - 1 if count <= total - len(sizes) else sizes
    exact = sizes * count / max(total, 1)
    counts: np.ndarray = np.minimum(np.floor(exact).astype(np.int64), most)
    while (missing := count - int(counts.sum())) > 0:
        open_classes = np.flatnonzero(counts < most)
        largest_first = np.argsort((counts - exact)[open_classes], kind="stable")
        counts[open_classes[largest_first[:missing]]] += 1
    return counts
