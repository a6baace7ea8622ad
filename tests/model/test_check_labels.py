"""Labels that a network contradicts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tasks.data.convert import to_table, write_parquet
from tasks.data.dataset import read_split
from tasks.engine.digests import sha256
from tasks.engine.models import FileRef
from tasks.engine.store import Store
from tasks.model.check_labels import (
    check_labels,
    doubtful_labels,
    mean_self_confidence,
    suggest_labels,
)
from tasks.model.evaluate import evaluate
from tasks.model.prediction_table import to_frame
from tasks.records import LabelIssues, Segment, Split, Splits
from tasks.settings import EvaluationSettings, NetworkSettings


def test_self_confidence_is_the_mean_probability_of_the_own_class() -> None:
    labels = np.array([0, 0, 1], np.uint8)
    probabilities = np.array([[0.9, 0.1, 0], [0.7, 0.3, 0], [0.4, 0.6, 0]], np.float32)
    found = mean_self_confidence(labels, probabilities)
    np.testing.assert_allclose(found, [0.8, 0.6, np.inf], rtol=1e-6)


def test_an_image_is_counted_where_its_probability_reaches_the_mean() -> None:
    labels = np.array([0, 0, 0, 1, 1], np.uint8)
    one = np.array([0.05, 0.3, 0.92, 0.95, 0.85])  # probability of class 1
    probabilities = np.stack([1 - one, one], axis=1).astype(np.float32)
    # Means: 0.577 for class 0, 0.9 for class 1. The third and fourth reach that, the fifth
    # does not.
    assert suggest_labels(labels, probabilities).tolist() == [0, 0, 1, 1, -1]


def planted(classes: int, wrong: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of which the first few are wrong, probabilities of a good network, true classes."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, classes, 1_000).astype(np.uint8)
    logits = rng.normal(0, 1, (1_000, classes))
    logits[np.arange(1_000), true] += 8
    powers = np.exp(logits)
    labels = true.copy()
    labels[:wrong] = (labels[:wrong] + 1) % classes
    return labels, (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32), true


@pytest.mark.parametrize("classes", [2, 10, 26])
def test_planted_wrong_labels_are_found(classes: int) -> None:
    labels, probabilities, true = planted(classes, wrong=20)
    table = doubtful_labels(
        "test", to_frame(np.arange(1_000, dtype=np.int32), labels, probabilities)
    )
    assert set(table["index"]) <= set(range(20))
    assert len(table) >= 10
    assert (table["suggested"] == true[table["index"]]).all()
    assert (table["suggested_probability"] > table["label_probability"]).all()


def test_an_untrained_network_contradicts_nothing() -> None:
    rng = np.random.default_rng(0)
    powers = np.exp(rng.normal(0, 0.3, (1_000, 10)))
    probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    labels = rng.integers(0, 10, 1_000).astype(np.uint8)
    assert (suggest_labels(labels, probabilities) == -1).all()


def test_probabilities_that_are_not_numbers_say_nothing() -> None:
    probabilities = np.full((3, 2), np.nan, np.float32)
    table = doubtful_labels(
        "test", to_frame(np.arange(3, dtype=np.int32), np.zeros(3, np.uint8), probabilities)
    )
    assert table.empty


@pytest.fixture(scope="module")
def issues(
    root: Store,
    run_stage: Callable[..., Any],
    splits: Splits,
    network: NetworkSettings,
    trained: Segment,
) -> tuple[LabelIssues, pd.DataFrame]:
    """Issues of a trained network, after ten test labels were made wrong."""
    test = read_split(root.path(splits.test.file))
    labels = test.labels.copy()
    labels[:10] = (labels[:10] + 5) % 10
    write_parquet(to_table(test.images, labels, first=0), root.root / "test.parquet")
    file = root.root / "test.parquet"
    split = Split(
        rows=len(labels),
        file=FileRef(path="test.parquet", sha256=sha256(file), size=file.stat().st_size),
    )
    splits = splits.model_copy(update={"test": split})
    settings = EvaluationSettings()
    made = run_stage(evaluate, splits.validation, split, trained.network, settings, (), 240)
    predictions = made.validation.predictions, made.test.predictions
    found = run_stage(check_labels, splits, trained.network, settings, *predictions)
    return found, pq.read_table(root.path(found.file)).to_pandas()


@pytest.mark.tensorflow
def test_a_trained_network_finds_wrong_labels(
    issues: tuple[LabelIssues, pd.DataFrame], splits: Splits
) -> None:
    found, table = issues
    sizes = [splits.train.rows, splits.validation.rows, splits.test.rows]
    assert [check.images for check in found.splits] == sizes
    assert [check.name for check in found.splits] == ["train", "validation", "test"]
    assert table["split"].value_counts().to_dict() == {
        check.name: check.doubtful for check in found.splits if check.doubtful
    }
    wrong = table[(table["split"] == "test") & (table["index"] < 10)]
    assert len(wrong) >= 7
    assert (wrong["suggested"] == (wrong["label"] + 5) % 10).all()


@pytest.mark.tensorflow
def test_the_most_contradicted_label_comes_first(
    issues: tuple[LabelIssues, pd.DataFrame],
) -> None:
    _, table = issues
    margin = table["suggested_probability"] - table["label_probability"]
    assert margin.is_monotonic_decreasing
    assert (margin > 0).all()
