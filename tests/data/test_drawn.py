"""Tests of digits drawn from strokes."""

import numpy as np
import pytest

from tasks.data.convert import to_table, write_parquet
from tasks.data.dataset import read_split
from tasks.data.drawn import add_drawn, draw_many
from tasks.data.mnist_form import has_mnist_form
from tasks.data.sources.mnist import MNIST
from tasks.engine.digests import sha256
from tasks.engine.models import FileRef
from tasks.engine.store import Store
from tasks.records import IdxFiles, Split


def test_classes_are_equally_frequent_and_images_differ() -> None:
    images, labels = draw_many(200, seed=1)
    assert (np.bincount(labels) == 20).all()
    assert len(np.unique(images.reshape(200, -1), axis=0)) == 200
    assert has_mnist_form(images).mean() > 0.95


def test_digits_depend_on_the_seed() -> None:
    first, again, other = (draw_many(30, seed)[0] for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_no_digits() -> None:
    images, labels = draw_many(0, seed=1)
    assert (images.shape, labels.shape) == ((0, 28, 28), (0,))


def test_digits_of_a_class_are_similar() -> None:
    """Nearest neighbours classify digits drawn with another seed."""
    images, labels = draw_many(2000, seed=1)
    tests, truth = draw_many(200, seed=2)
    known, asked = (x.reshape(len(x), -1) / 255 for x in (images, tests))
    squares = (known**2).sum(axis=1) - 2 * asked @ known.T
    assert (labels[squares.argmin(axis=1)] == truth).mean() > 0.95


@pytest.mark.parametrize(("mnist", "side"), [(True, 28), (False, 28), (False, 8)])
def test_digits_are_added_behind_mnists_training_images(
    store: Store, mnist: bool, side: int
) -> None:
    own = np.random.default_rng(0).integers(0, 256, (40, side, side), dtype=np.uint8)
    path = store.root / "train.parquet"
    write_parquet(to_table(own, np.full(40, 7, np.uint8), first=5000), path)
    split = Split(
        rows=40,
        file=FileRef(path="train.parquet", sha256=sha256(path), size=path.stat().st_size),
    )
    source = FileRef(path="x", sha256=MNIST[0].sha256 if mnist else "0" * 64, size=1)
    files = IdxFiles(
        train_images=source, train_labels=source, test_images=source, test_labels=source
    )
    results = []
    for number, seed in enumerate((3, 3, 4)):
        with store.workspace("add-drawn", f"{number}" * 64) as work:
            results.append(add_drawn.function(work, files, split, 0.5, seed))
    data = read_split(store.path(results[-1].file))
    assert (data.images[:40] == own).all()
    assert results[0].file.sha256 == results[1].file.sha256
    if not mnist:
        assert results[-1].file.sha256 == split.file.sha256
        return
    assert results[0].file.sha256 != results[-1].file.sha256
    assert results[-1].rows == len(data.images) == 60
    assert (data.images[40:] == draw_many(20, 4)[0]).all()
    assert data.labels.tolist() == [7] * 40 + [*range(10)] * 2
    assert data.index.tolist() == [*range(5000, 5060)]
