"""Duplicates among images: equal ones by digest, almost equal ones by correlation.

Almost equal images are found in two steps, as in C. Faloutsos, M. Ranganathan, Y. Manolopoulos,
"Fast subsequence matching in time-series databases", SIGMOD 1994. Images of zero mean and unit
length lie at the distance sqrt(2 (1 - r)) of each other if their correlation is r. Means of blocks
of pixels, and fewer numbers computed from these by a rotation, never lie further apart than the
images. So a k-d tree over a few numbers per image finds every pair that may be close enough, and
the pixels decide. The decision is computed from whole numbers and does not depend on rounding.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

NEAR = 0.997
"""Smallest correlation of near duplicates. Of MNIST's 70,000 images, each scanned once, the two
most similar ones have 0.9916. A copy saved as JPEG of quality 90 or with noise of 1 % keeps
more than 0.997; a copy shifted by a pixel or turned does not."""
MIN_PIXELS = 64
"""Smaller images are compared for equality only: a high correlation of a few pixels is chance."""
BLOCKS = 14
"""Blocks across an image, about: MNIST's have 2 × 2 pixels."""
COMPONENTS = 24
TREE_COMPONENTS = 6
"""Of the components, those in the tree; more make the search slower, fewer its result longer."""
SAMPLE = 2_500
"""Images that determine the rotation."""
SLACK = 1e-3
"""Added to distances of rounded numbers: the search may find too many pairs, never too few."""
MAX_PAIRS = 15_000_000
"""Pairs in the tree, as estimated; with more, the search takes too much time and memory."""
IN_CACHE = 200_000
"""Pixels whose float64 values stay in a processor's cache."""
CHUNK = 4_096
"""Images, or pairs of images, that are computed with at a time."""


def first_equal(images: np.ndarray) -> np.ndarray:
    """Return for each image the row of the first image with the same pixels.

    Args:
        images: uint8 [n, height, width].

    Returns:
        int64 [n]; an image without an equal one before it has its own row.
    """
    first: dict[bytes, int] = {}
    digests = (
        hashlib.blake2b(image, digest_size=16).digest() for image in np.ascontiguousarray(images)
    )
    rows = [first.setdefault(digest, row) for row, digest in enumerate(digests)]
    return np.array(rows, np.int64)


def block_sums(images: np.ndarray, side: int) -> np.ndarray:
    """Return the sums of blocks of pixels; pixels beyond the last whole block do not count.

    Args:
        images: float64 [n, height, width].
        side: height and width of a block.

    Returns:
        float64 [n, height // side, width // side].
    """
    rows, columns = images.shape[1] // side, images.shape[2] // side
    used = images[:, : rows * side, : columns * side]
    # A few sums of whole arrays are faster than numpy's sum over short axes.
    down = sum(used[:, row::side] for row in range(1, side)) + used[:, ::side]
    result: np.ndarray = sum(down[:, :, c::side] for c in range(1, side)) + down[:, :, ::side]
    return result


@dataclass(frozen=True)
class Standardised:
    """Sums over the pixels of images, and means of blocks after standardisation."""

    sums: np.ndarray
    """int64 [n], sum of the pixels."""
    spreads: np.ndarray
    """int64 [n], variance of the pixels times the square of their number; 0 if all are equal."""
    blocks: np.ndarray
    """float32 [n, blocks], components of the image of zero mean and unit length."""


def standardise(images: np.ndarray) -> Standardised:
    """Compute what `near_pairs` compares; constant images have blocks of 0.

    Args:
        images: uint8 [n, height, width].
    """
    n, height, width = images.shape
    side = max(1, min(height, width) // BLOCKS)
    pixels = height * width
    sums, squares = np.empty(n, np.int64), np.empty(n, np.int64)
    blocks = np.empty((n, (height // side) * (width // side)), np.float32)
    step = max(1, IN_CACHE // pixels)
    for start in range(0, n, step):
        here = slice(start, start + step)
        values = images[here].astype(np.float64)
        flat = values.reshape(len(values), -1)
        sums[here] = flat.sum(axis=1)
        squares[here] = np.einsum("ij,ij->i", flat, flat)
        blocks[here] = block_sums(values, side).reshape(len(values), -1)
    spreads = pixels * squares - sums**2
    # Each block is the scalar product with a vector of `side`² equal values and unit length.
    lengths = np.where(spreads > 0, side * np.sqrt(spreads / pixels), np.inf)
    blocks -= (sums * side**2 / pixels)[:, np.newaxis].astype(np.float32)
    blocks /= lengths[:, np.newaxis].astype(np.float32)
    return Standardised(sums, spreads, blocks)


def rotate(blocks: np.ndarray) -> np.ndarray:
    """Return the principal components, those of the largest variance first.

    Args:
        blocks: float32 [n, blocks].

    Returns:
        float32 [n, at most COMPONENTS].
    """
    sample = blocks[:: max(1, len(blocks) // SAMPLE)].astype(np.float64)
    centred = sample - sample.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    components: np.ndarray = blocks @ axes[:, ::-1][:, :COMPONENTS].astype(np.float32)
    return components


def near_pairs(images: np.ndarray) -> np.ndarray | None:
    """Return all pairs of images with a correlation of at least `NEAR`.

    Constant images and images of fewer than `MIN_PIXELS` have none.

    Args:
        images: uint8 [n, height, width].

    Returns:
        int64 [pairs, 2], rows in ascending order; None if so many images resemble each other that
        the search would take too long.
    """
    from scipy.spatial import cKDTree

    none = np.empty((0, 2), np.int64)
    if images[:1].size < MIN_PIXELS:
        return none
    facts = standardise(images)
    varied = np.flatnonzero(facts.spreads)
    if len(varied) < 2:
        return none
    components = rotate(facts.blocks[varied])
    radius = np.sqrt(2 * (1 - NEAR)) + SLACK
    tree = cKDTree(components[:, :TREE_COMPONENTS].astype(np.float64))
    if estimated_pairs(tree, radius) > MAX_PAIRS:
        return None
    pairs = tree.query_pairs(radius, output_type="ndarray")
    pairs = varied[close_pairs(components, pairs, radius)].astype(np.int64)
    pairs = pairs[correlations(images, facts, pairs) >= NEAR]
    pairs.sort(axis=1)
    order = np.lexsort(pairs.T[::-1])
    result: np.ndarray = pairs[order]
    return result


def estimated_pairs(tree: Any, radius: float) -> float:
    """Return about how many pairs of points in a k-d tree lie within a radius, from a sample."""
    sample = tree.data[:: max(1, tree.n // 500)]
    neighbours = tree.query_ball_point(sample, radius, return_length=True)
    return float((neighbours.mean() - 1) * tree.n / 2)


def close_pairs(points: np.ndarray, pairs: np.ndarray, radius: float) -> np.ndarray:
    """Return the pairs of points within a radius.

    Args:
        points: float32 [n, dimensions].
        pairs: int [pairs, 2], rows of the points.
        radius: largest distance.
    """
    parts = [np.empty((0, 2), pairs.dtype)]
    for start in range(0, len(pairs), 16 * CHUNK):
        part = pairs[start : start + 16 * CHUNK]
        difference = points[part[:, 0]] - points[part[:, 1]]
        parts.append(part[np.einsum("ij,ij->i", difference, difference) <= radius**2])
    return np.concatenate(parts)


def correlations(images: np.ndarray, facts: Standardised, pairs: np.ndarray) -> np.ndarray:
    """Return the correlation of the pixels of each pair, float64 [pairs].

    Args:
        images: uint8 [n, height, width].
        facts: of the images.
        pairs: int64 [pairs, 2], rows of images that are not constant.
    """
    n, height, width = images.shape
    pixels = images.reshape(n, height * width)
    products = np.empty(len(pairs), np.int64)
    for start in range(0, len(pairs), CHUNK):
        a, b = pairs[start : start + CHUNK].T
        products[start : start + CHUNK] = np.einsum(
            "ij,ij->i", pixels[a], pixels[b], dtype=np.float64
        )
    a, b = pairs.T
    covariances = height * width * products - facts.sums[a] * facts.sums[b]
    result: np.ndarray = covariances / np.sqrt(facts.spreads[a]) / np.sqrt(facts.spreads[b])
    return result


def first_of_groups(count: int, pairs: np.ndarray) -> np.ndarray:
    """Return for each image the first one that it is connected with by pairs.

    Args:
        count: number of images.
        pairs: int64 [pairs, 2], rows of the images.

    Returns:
        int64 [count]; an image without a pair has its own row.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (count, count))
    _, groups = connected_components(links, directed=False)
    _, first = np.unique(groups, return_index=True)
    return np.asarray(first[groups], np.int64)
