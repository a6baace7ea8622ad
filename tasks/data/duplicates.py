"""Duplicates among images: equal ones by digest, almost equal ones by correlation.

Images of zero mean and unit length lie at the distance sqrt(2 (1 - r)) of each other if their
correlation is r, and their principal components never further apart. So a k-d tree over a few
components finds every pair that may be close enough, and the pixels decide.
"""

import hashlib

import numpy as np

NEAR = 0.997
"""Smallest correlation of near duplicates. Of MNIST's 70,000 images, each scanned once, the two
most similar ones have 0.9916. A copy saved as JPEG of quality 90 or with noise of 1 % keeps
more than 0.997; a copy shifted by a pixel or turned does not."""
RADIUS = (2 * (1 - NEAR)) ** 0.5 + 1e-3  # more, for rounding: the tree may find too many pairs
MIN_PIXELS = 64  # in fewer, a high correlation is chance
COMPONENTS = 12  # more make the search in the tree slower, fewer its result longer
MAX_NEIGHBOURS = 400  # of an image in the mean; with more, the search takes too long
VALUES = 2**21  # pixels that are computed with at a time; and that determine the components


def first_equal(images: np.ndarray) -> np.ndarray:
    """Return for each image, uint8 [n, height, width], the row of the first equal one, int64."""
    first: dict[bytes, int] = {}
    digests = (hashlib.blake2b(i, digest_size=16).digest() for i in np.ascontiguousarray(images))
    return np.array([first.setdefault(d, row) for row, d in enumerate(digests)], np.int64)


def unit_vectors(images: np.ndarray) -> np.ndarray:
    """Return images as float64 [n, pixels] of zero mean and unit length; 0 if all are equal."""
    vectors = images.reshape(len(images), -1).astype(np.float64)
    vectors -= vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.divide(vectors, lengths, out=vectors, where=lengths > 1e-6)
    return vectors


def correlations(images: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the correlation of the pixels of each pair of rows, int64 [pairs, 2], as float64."""
    step = max(1, VALUES // images[0].size)
    parts = [pairs[i : i + step].T for i in range(0, len(pairs), step)]
    products = [unit_vectors(images[a]) * unit_vectors(images[b]) for a, b in parts]
    return np.concatenate([np.zeros(0), *(product.sum(axis=1) for product in products)])


def near_pairs(images: np.ndarray) -> np.ndarray | None:
    """Return all pairs of images with a correlation of at least `NEAR`.

    Args:
        images: uint8 [n, height, width].

    Returns:
        int64 [pairs, 2], rows in ascending order; None if so many images resemble each other that
        the search would take too long.
    """
    from sklearn.decomposition import PCA
    from sklearn.neighbors import KDTree

    if images[:1].size < MIN_PIXELS or len(images) < 2:
        return np.empty((0, 2), np.int64)
    step = max(COMPONENTS, VALUES // images[0].size)
    sample = unit_vectors(images[:: -(-len(images) // step)])
    if not sample.any():  # images of one grey value resemble nothing
        return np.empty((0, 2), np.int64)
    axes = PCA(min(COMPONENTS, *sample.shape), svd_solver="randomized", random_state=0).fit(sample)
    chunks = [images[i : i + step] for i in range(0, len(images), step)]
    points = np.concatenate([axes.transform(unit_vectors(chunk)) for chunk in chunks])
    tree = KDTree(points)
    around = tree.query_radius(points[:: max(1, len(points) // 500)], RADIUS, count_only=True)
    if around.mean() > MAX_NEIGHBOURS:
        return None
    neighbours = tree.query_radius(points, RADIUS)
    rows = np.repeat(np.arange(len(images)), list(map(len, neighbours)))
    pairs = np.stack([rows, np.concatenate(neighbours)], axis=1)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    pairs = pairs[correlations(images, pairs) >= NEAR]
    order = np.lexsort(pairs.T[::-1])
    return np.asarray(pairs[order], np.int64)


def first_of_groups(count: int, pairs: np.ndarray) -> np.ndarray:
    """Return for each of `count` images the first one that pairs connect it with, int64."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (count, count))
    _, groups = connected_components(links, directed=False)
    _, first = np.unique(groups, return_index=True)
    return np.asarray(first[groups], np.int64)
