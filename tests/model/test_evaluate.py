"""Tests of the evaluation of a checkpoint on a split."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.data.convert import to_table, write_parquet
from tasks.data.dataset import SplitArrays
from tasks.engine.models import FileRef
from tasks.engine.store import Store
from tasks.model.checkpoint import get_state, restore_network, write_tensors
from tasks.model.evaluate import evaluate
from tasks.model.trainer import make_optimizer
from tasks.records import Classification, Network, Segment, Split, Splits
from tasks.settings import EvaluationSettings, NetworkSettings, TrainingSettings

if TYPE_CHECKING:
    Arrays = Callable[[Split], SplitArrays]
    Evaluate = Callable[..., Classification]

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def evaluate_on(
    run_stage: Callable[..., Any], splits: Splits, network: NetworkSettings
) -> Evaluate:
    def run(
        split: Split, network: Network, batch: int = 256, class_names: tuple[str, ...] = ()
    ) -> Classification:
        settings = EvaluationSettings(evaluation_batch=batch)
        result = run_stage(
            evaluate,
            validation=splits.validation,
            test=split,
            network=network,
            settings=settings,
            class_names=class_names,
            iteration=network.iteration,
        )
        return result.test

    return run


@pytest.fixture(scope="module")
def evaluation(evaluate_on: Evaluate, splits: Splits, trained: Segment) -> Classification:
    return evaluate_on(splits.test, trained.network)


@pytest.fixture(scope="module")
def predictions(root: Store, evaluation: Classification) -> pd.DataFrame:
    return pd.read_parquet(root.path(evaluation.predictions))


def probabilities(frame: pd.DataFrame) -> np.ndarray:
    return frame[[f"p{c}" for c in range(10)]].to_numpy()


def test_columns_and_types(root: Store, evaluation: Classification) -> None:
    schema = pq.read_schema(root.path(evaluation.predictions))
    assert [(field.name, field.type) for field in schema] == [
        ("index", pa.int32()),
        ("label", pa.uint8()),
        ("predicted", pa.uint8()),
        *((f"p{c}", pa.float32()) for c in range(10)),
    ]


def test_table_has_the_names_of_the_classes(
    root: Store, evaluate_on: Evaluate, splits: Splits, trained: Segment, predictions: pd.DataFrame
) -> None:
    names = tuple("abcdefghij")
    named = evaluate_on(splits.test, trained.network, class_names=names)
    frame = pd.read_parquet(root.path(named.predictions))
    for number in ("label", "predicted"):
        assert frame[f"{number}_name"].tolist() == [names[c] for c in predictions[number]]
    pd.testing.assert_frame_equal(frame[predictions.columns], predictions)


def test_table_has_every_image_with_its_label(
    predictions: pd.DataFrame, splits: Splits, arrays: Arrays
) -> None:
    test = arrays(splits.test)
    np.testing.assert_array_equal(predictions["index"], test.index)
    np.testing.assert_array_equal(predictions["label"], test.labels)


def test_index_is_the_row_in_the_original_file(
    root: Store, evaluate_on: Evaluate, splits: Splits, initial: Network
) -> None:
    found = []
    for split, rows in ((splits.validation, 125), (splits.train, 1375)):
        table = pq.read_table(root.path(evaluate_on(split, initial).predictions))
        index = table["index"].to_pylist()
        assert index == sorted(index)
        assert len(index) == rows
        found += index
    assert sorted(found) == list(range(1500))


def test_probabilities_sum_to_1_and_the_largest_is_predicted(predictions: pd.DataFrame) -> None:
    values = probabilities(predictions)
    assert (values >= 0).all()
    np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(values.argmax(axis=1), predictions["predicted"])


def test_probabilities_equal_softmax_of_the_logits(
    root: Store,
    predictions: pd.DataFrame,
    splits: Splits,
    trained: Segment,
    network: NetworkSettings,
    arrays: Arrays,
) -> None:
    model = restore_network(trained.network, root.path(trained.network.checkpoint))
    pixels = arrays(splits.test).images[..., np.newaxis].astype(np.float32) / np.float32(255)
    exponentials = np.exp(np.asarray(model(pixels), np.float64))
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities(predictions), expected, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 7, 297, 1_000])
def test_predictions_do_not_depend_on_the_batch_size(
    root: Store,
    evaluate_on: Evaluate,
    splits: Splits,
    trained: Segment,
    evaluation: Classification,
    predictions: pd.DataFrame,
    batch: int,
) -> None:
    other = evaluate_on(splits.test, trained.network, batch)
    frame = pd.read_parquet(root.path(other.predictions))
    np.testing.assert_array_equal(frame["predicted"], predictions["predicted"])
    np.testing.assert_allclose(probabilities(frame), probabilities(predictions), atol=1e-5)
    assert other.confusion == evaluation.confusion


def test_file_is_reproducible(
    evaluate_on: Evaluate, splits: Splits, trained: Segment, evaluation: Classification
) -> None:
    again = evaluate_on(splits.test, trained.network)
    assert again.predictions.path != evaluation.predictions.path
    assert again.predictions.sha256 == evaluation.predictions.sha256


def test_record_counts_correct_predictions(
    evaluation: Classification, predictions: pd.DataFrame
) -> None:
    assert evaluation.total == 297
    assert evaluation.correct == (predictions["label"] == predictions["predicted"]).sum()
    assert 0.8 < evaluation.correct / evaluation.total < 1  # with some errors
    matrix = np.zeros((10, 10), int)
    np.add.at(matrix, (predictions["label"], predictions["predicted"]), 1)
    np.testing.assert_array_equal(evaluation.confusion, matrix)


@pytest.fixture(scope="module")
def always_3(root: Store, initial: Network, splits: Splits, network: NetworkSettings) -> Network:
    """Return a checkpoint that classifies every image as 3."""
    model = restore_network(initial, root.path(initial.checkpoint))
    model.get_layer("fc2").set_weights([np.zeros((16, 10)), np.eye(10)[3]])
    state = get_state(model, make_optimizer(model, TrainingSettings()), iteration=5)
    write_tensors(state, root.root / "always-3.safetensors")
    file = FileRef(path="always-3.safetensors", sha256="0" * 64, size=0)
    return initial.model_copy(update={"iteration": 5, "checkpoint": file})


def test_confusion_matrix_has_true_classes_as_rows(
    evaluate_on: Evaluate, splits: Splits, always_3: Network, arrays: Arrays
) -> None:
    evaluation = evaluate_on(splits.test, always_3)
    counts = np.bincount(arrays(splits.test).labels, minlength=10)
    matrix = np.array(evaluation.confusion)
    np.testing.assert_array_equal(matrix[:, 3], counts)
    assert matrix.sum() == counts.sum()
    assert evaluation.correct == counts[3]


def test_class_without_images_has_a_row_and_a_column(
    root: Store, evaluate_on: Evaluate, always_3: Network
) -> None:
    images, labels = np.zeros((4, 8, 8), np.uint8), np.array([3, 7, 7, 1], np.uint8)
    write_parquet(to_table(images, labels, first=0), root.root / "four.parquet")
    split = Split(rows=4, file=FileRef(path="four.parquet", sha256="0" * 64, size=0))
    evaluation = evaluate_on(split, always_3)
    matrix = np.zeros((10, 10), int)
    matrix[[1, 3, 7], 3] = 1, 1, 2
    np.testing.assert_array_equal(evaluation.confusion, matrix)
    assert (evaluation.correct, evaluation.total) == (1, 4)
