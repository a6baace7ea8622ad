"""Tests of reading splits as arrays, and of the order of batches."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.convert import ROWS_PER_GROUP, to_table, write_parquet
from tasks.data.dataset import batch_indices, numbered_classes, read_split

SEEDS = st.integers(0, 2**64 - 1)
IMAGES = st.integers(1, 40)
BATCH = st.integers(1, 100)


def random_data(count: int, height: int = 5, width: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(count)
    return (
        rng.integers(0, 256, (count, height, width), dtype=np.uint8),
        rng.integers(0, 10, count, dtype=np.uint8),
    )


def owner_of(array: np.ndarray) -> np.ndarray:
    """Return the array that owns the memory of a view."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_read_split_returns_the_written_arrays(tmp_path: Path) -> None:
    images, labels = random_data(20)
    write_parquet(to_table(images, labels, first=7), tmp_path / "split.parquet")
    split = read_split(tmp_path / "split.parquet")
    np.testing.assert_array_equal(split.images, images)
    np.testing.assert_array_equal(split.labels, labels)
    np.testing.assert_array_equal(split.index, np.arange(7, 27))
    assert split.images.dtype == split.labels.dtype == np.uint8
    assert split.index.dtype == np.int32


def test_images_of_one_row_group_are_not_copied(tmp_path: Path) -> None:
    write_parquet(to_table(*random_data(20), first=0), tmp_path / "split.parquet")
    images = read_split(tmp_path / "split.parquet").images
    assert not owner_of(images).flags.owndata  # the memory is Arrow's


@pytest.mark.parametrize("rows_per_group", [1, 7, 19])
def test_row_groups_are_concatenated_in_order(tmp_path: Path, rows_per_group: int) -> None:
    images, labels = random_data(20)
    path = tmp_path / "split.parquet"
    pq.write_table(to_table(images, labels, first=3), path, row_group_size=rows_per_group)
    assert pq.read_metadata(path).num_row_groups > 1
    split = read_split(path)
    np.testing.assert_array_equal(split.images, images)
    np.testing.assert_array_equal(split.labels, labels)
    np.testing.assert_array_equal(split.index, np.arange(3, 23))


def test_split_of_several_row_groups(tmp_path: Path) -> None:
    images, labels = random_data(ROWS_PER_GROUP + 1, 2, 2)
    write_parquet(to_table(images, labels, first=0), tmp_path / "split.parquet")
    np.testing.assert_array_equal(read_split(tmp_path / "split.parquet").images, images)


def test_class_names_are_numbers() -> None:
    assert numbered_classes(3) == ("0", "1", "2")


@settings(deadline=None, database=None)
@given(SEEDS, IMAGES, BATCH, st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_batches_depend_only_on_seed_and_iteration(
    seed: int, images: int, batch: int, start: int, first_part: int, second_part: int
) -> None:
    middle, stop = start + first_part, start + first_part + second_part
    whole = batch_indices(seed, images, batch, start, stop)
    parts = [
        batch_indices(seed, images, batch, start, middle),
        batch_indices(seed, images, batch, middle, stop),
    ]
    assert whole.shape == (stop - start, batch)
    assert whole.dtype == np.int32
    np.testing.assert_array_equal(whole, np.concatenate(parts))


@settings(deadline=None, database=None)
@given(SEEDS, IMAGES, BATCH)
def test_every_epoch_contains_every_image_once(seed: int, images: int, batch: int) -> None:
    iterations = -(-4 * images // batch)
    drawn = batch_indices(seed, images, batch, 0, iterations).ravel()
    for epoch in range(4):
        seen = drawn[epoch * images : (epoch + 1) * images]
        np.testing.assert_array_equal(np.sort(seen), np.arange(images))


def test_batch_continues_into_the_next_epoch() -> None:
    first, second, third = batch_indices(seed=1, images=10, batch=4, start=0, stop=3)
    rest = set(range(10)) - set(first) - set(second)
    assert set(third[:2]) == rest
    next_epoch = batch_indices(seed=1, images=10, batch=10, start=1, stop=2)[0]
    np.testing.assert_array_equal(third[2:], next_epoch[:2])


def test_batch_may_be_larger_than_the_data_set() -> None:
    [batch] = batch_indices(seed=0, images=3, batch=8, start=0, stop=1)
    np.testing.assert_array_equal(np.sort(batch[:3]), [0, 1, 2])
    np.testing.assert_array_equal(np.sort(batch[3:6]), [0, 1, 2])
    assert len(set(batch[6:])) == 2


def test_order_differs_between_seeds_and_epochs() -> None:
    orders = {
        tuple(batch_indices(seed, 50, 50, epoch, epoch + 1)[0])
        for seed in range(5)
        for epoch in range(5)
    }
    assert len(orders) == 25


def test_order_is_shuffled() -> None:
    order = batch_indices(seed=0, images=1_000, batch=1_000, start=0, stop=1)[0]
    assert abs(np.corrcoef(order, np.arange(1_000))[0, 1]) < 0.1


def test_order_equals_that_of_earlier_versions() -> None:
    """Later versions resume from checkpoints and must continue with the same batches."""
    np.testing.assert_array_equal(
        batch_indices(seed=42, images=8, batch=4, start=1, stop=3), [[1, 3, 5, 6], [5, 1, 4, 7]]
    )


@pytest.mark.parametrize("start", [0, 5])
def test_no_iterations_have_no_batches(start: int) -> None:
    assert batch_indices(0, images=7, batch=3, start=start, stop=start).shape == (0, 3)
