"""Seeded draws of rows that keep the shares of the classes."""

import numpy as np

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
