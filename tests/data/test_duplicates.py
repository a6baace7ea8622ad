"""Equal and almost equal images."""

import io
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from tasks.data import duplicates


def drawings(count: int, side: int = 28) -> np.ndarray:
    """Smooth random images that differ clearly."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 7, 7), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(c).resize((side, side))) for c in coarse])


def as_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def test_an_equal_image_names_the_first_one() -> None:
    images = drawings(4)[[0, 1, 0, 2, 1, 0, 3]]
    assert duplicates.first_equal(images).tolist() == [0, 1, 0, 3, 1, 0, 6]


def test_copies_with_small_changes_are_near_duplicates() -> None:
    originals = drawings(200)
    noise = np.random.default_rng(1).normal(0, 2.5, (28, 28))
    copies = [
        as_jpeg(originals[3], 90),
        np.clip(originals[50] + noise, 0, 255).astype(np.uint8),
        (originals[120] * 0.8).astype(np.uint8),
    ]
    pairs = duplicates.near_pairs(np.concatenate([originals, np.stack(copies)]))
    assert pairs is not None
    assert pairs.tolist() == [[3, 200], [50, 201], [120, 202]]


def test_a_shifted_copy_is_none() -> None:
    originals = drawings(20)
    pairs = duplicates.near_pairs(np.concatenate([originals, np.roll(originals[:1], 3, axis=2)]))
    assert pairs is not None
    assert len(pairs) == 0


@pytest.mark.parametrize("size", [(28, 28), (29, 31), (8, 8), (65, 40)])
def test_every_pair_above_the_limit_is_found(size: tuple[int, int]) -> None:
    """Compared with the correlation of all pairs, of images at all distances."""
    rng = np.random.default_rng(0)
    base = rng.normal(128, 40, (6, 1, *size))
    images = np.clip(base + rng.normal(0, [[[[1]], [[2]], [[4]], [[8]]]], (6, 4, *size)), 0, 255)
    pixels = images.reshape(24, *size).astype(np.uint8)
    correlation = np.corrcoef(pixels.reshape(24, -1))
    expected = [
        [a, b] for a, b in combinations(range(24), 2) if correlation[a, b] >= duplicates.NEAR
    ]
    found = duplicates.near_pairs(pixels)
    assert found is not None
    assert 0 < len(expected) < 24 * 23 / 2
    assert found.tolist() == expected


@pytest.mark.parametrize(
    "images",
    [
        np.empty((0, 28, 28), np.uint8),
        np.zeros((1, 28, 28), np.uint8),
        np.zeros((5, 28, 28), np.uint8),  # constant; correlate with nothing
        drawings(1),
        np.zeros((4, 1, 1), np.uint8),
        np.arange(8, dtype=np.uint8).reshape(4, 2, 1),  # too few pixels to tell chance
    ],
    ids=["none", "one", "constant", "one drawing", "one pixel", "two pixels"],
)
def test_nothing_to_compare(images: np.ndarray) -> None:
    pairs = duplicates.near_pairs(images)
    assert pairs is not None
    assert pairs.shape == (0, 2)


def test_too_many_alike_images_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    alike = drawings(1).astype(int) + rng.integers(0, 2, (200, 28, 28))
    images = np.clip(alike, 0, 255).astype(np.uint8)
    pairs = duplicates.near_pairs(images)
    assert pairs is not None
    assert len(pairs) == 200 * 199 / 2
    monkeypatch.setattr(duplicates, "MAX_NEIGHBOURS", 100)
    assert duplicates.near_pairs(images) is None


def test_images_in_a_chain_of_pairs_have_the_same_first_one() -> None:
    pairs = np.array([[1, 4], [4, 5], [2, 3]])
    assert duplicates.first_of_groups(6, pairs).tolist() == [0, 1, 2, 2, 1, 1]
    assert duplicates.first_of_groups(2, np.empty((0, 2), np.int64)).tolist() == [0, 1]
