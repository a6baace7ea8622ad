"""Stratified draws."""

import numpy as np
import pytest

from tasks.data.split import class_counts, stratified_draw


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
