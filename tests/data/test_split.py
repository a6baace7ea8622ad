"""Stratified draws."""

import numpy as np
import pytest

from tasks.data.split import class_counts, draw_by_content, stratified_draw


def test_each_class_has_its_share_of_the_draw() -> None:
    labels = np.repeat(np.arange(3, dtype=np.uint8), [600, 300, 90])
    rows = stratified_draw(labels, 165, seed=1)
    assert np.bincount(labels[rows]).tolist() == [100, 50, 15]
    assert rows.dtype == np.int64
    assert (np.diff(rows) > 0).all()


def test_a_draw_depends_on_the_seed_only() -> None:
    labels = np.arange(1000, dtype=np.uint32).astype(np.uint8) % 10
    first, again, other = (stratified_draw(labels, 100, seed).tolist() for seed in (1, 1, 2))
    assert first == again
    assert len(set(first) & set(other)) < 40


@pytest.mark.parametrize(
    ("sizes", "count", "expected"),
    [
        ([5, 5, 5], 4, [2, 1, 1]),
        ([10, 1], 6, [6, 0]),  # the only row of a class stays
        ([2, 1], 3, [2, 1]),
        ([7], 0, [0]),
        ([1, 1, 1], 1, [1, 0, 0]),
        ([97, 1, 1, 1], 50, [50, 0, 0, 0]),
    ],
)
def test_counts_are_rounded_by_the_largest_remainder(
    sizes: list[int], count: int, expected: list[int]
) -> None:
    assert class_counts(np.array(sizes), count).tolist() == expected


def some_images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4), dtype=np.uint8)


def test_images_stay_where_they_were_if_the_data_grow_or_change_their_order() -> None:
    images, labels = some_images(1200, 0), np.arange(1200).astype(np.uint8) % 3
    before = draw_by_content(images, labels, 1 / 12)
    assert len(before) == pytest.approx(100, abs=30)
    assert (np.bincount(labels[before]) > 20).all()
    grown = np.concatenate([some_images(400, 1), images[::-1]])
    after = draw_by_content(grown, np.zeros(1600, np.uint8), 1 / 12)
    earlier = 1599 - after[after >= 400]
    assert sorted(earlier) == before.tolist()


def test_equal_images_are_drawn_together() -> None:
    images = np.repeat(some_images(300, 0), 2, axis=0)
    rows = draw_by_content(images, np.zeros(600, np.uint8), 0.2)
    assert (rows[::2] + 1 == rows[1::2]).all()


@pytest.mark.parametrize("share", [1e-9, 1 - 1e-9])
def test_each_class_is_on_both_sides(share: float) -> None:
    labels = np.array([0, 0, 1, 1, 1], np.uint8)
    rows = draw_by_content(some_images(5, 0), labels, share)
    assert set(labels[rows]) == {0, 1}
    assert len(rows) == (2 if share < 0.5 else 3)


def test_single_images_of_each_class_are_split_too() -> None:
    assert len(draw_by_content(some_images(2, 0), np.array([0, 1], np.uint8), 1e-9)) == 1
