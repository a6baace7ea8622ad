"""Tests of precision, recall, confused pairs and calibration, with missing values."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.engine.digests import sha256
from tasks.engine.models import FileRef
from tasks.engine.store import Store
from tasks.model.metrics import (
    BINS,
    class_metrics,
    confidence_bins,
    confused_pairs,
    expected_calibration_error,
    measure,
)
from tasks.records import ClassMetrics, ConfidenceBin, ConfusedPair, Metrics

TRUE = np.array([0, 0, 0, 0, 1, 1, 2, 2], np.uint8)
PREDICTED = np.array([0, 0, 0, 1, 1, 0, 0, 1], np.uint8)


def test_class_metrics_follow_their_definitions() -> None:
    first, second, third, fourth, fifth = class_metrics(TRUE, PREDICTED, 5)
    assert first == ClassMetrics(support=4, precision=3 / 5, recall=3 / 4, f1=2 / 3)
    assert second == ClassMetrics(support=2, precision=1 / 3, recall=1 / 2, f1=2 / 5)
    assert third == ClassMetrics(support=2, precision=None, recall=0, f1=0), "never predicted"
    nothing = ClassMetrics(support=0, precision=None, recall=None, f1=None)
    assert fourth == fifth == nothing, "neither present nor predicted"


def test_predicted_class_without_images_has_precision_0() -> None:
    _, second = class_metrics(np.array([0, 0]), np.array([0, 1]), 2)
    assert second == ClassMetrics(support=0, precision=0, recall=None, f1=0)


def test_confused_pairs_are_sorted_by_count_then_class() -> None:
    true = np.array([2, 2, 1, 1, 0, 0, 3], np.uint8)
    predicted = np.array([1, 1, 2, 2, 3, 0, 3], np.uint8)
    assert confused_pairs(true, predicted) == (
        ConfusedPair(true=1, predicted=2, count=2),
        ConfusedPair(true=2, predicted=1, count=2),
        ConfusedPair(true=0, predicted=3, count=1),
    )
    assert confused_pairs(true, true) == ()


def test_bins_exclude_their_lower_and_include_their_upper_edge() -> None:
    edges = np.linspace(0, 1, BINS + 1)
    bins = confidence_bins(edges, np.ones(BINS + 1, bool))
    assert [b.count for b in bins] == [2, *[1] * (BINS - 1)], (
        "0 and the first edge; then (low, high]"
    )
    confidence = np.random.default_rng(0).random(500).astype(np.float32)
    right = np.random.default_rng(1).random(500) < confidence
    for b in confidence_bins(confidence, right):
        here = (confidence > b.low) & (confidence <= b.high)
        assert (b.count, b.correct) == (here.sum(), right[here].sum())
        assert b.confidence == pytest.approx(confidence[here].mean())
        assert b.low < (b.confidence or 0) <= b.high


def test_calibration_error_of_four_predictions() -> None:
    right = np.array([True, False, True, True])
    bins = confidence_bins(np.array([0.95, 0.99, 0.5, 0.35], np.float64), right)
    # (0.95, 0.99): one of two correct; each of the others is alone and correct.
    expected = (2 * (0.97 - 0.5) + (1 - 0.5) + (1 - 0.35)) / 4
    assert expected_calibration_error(bins) == pytest.approx(expected)
    perfect = confidence_bins(np.ones(5), np.ones(5, bool))
    assert expected_calibration_error(perfect) == 0


def test_non_finite_confidences_are_left_out() -> None:
    bins = confidence_bins(np.full(4, np.nan), np.ones(4, bool))
    assert bins[0] == ConfidenceBin(low=0, high=1 / 15, count=0, correct=0, confidence=None)
    assert sum(b.count for b in bins) == 0
    assert expected_calibration_error(bins) == 0


def test_stage_reads_predictions_and_returns_json_values(store: Store) -> None:
    probabilities = np.array([[0.9, 0.1, 0], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]], np.float32)
    columns = {"label": np.array([0, 1, 1], np.uint8), "predicted": np.array([0, 1, 0], np.uint8)}
    columns |= {f"p{c}": np.ascontiguousarray(probabilities[:, c]) for c in range(3)}
    path = store.root / "predictions.parquet"
    pq.write_table(pa.table(columns), path)
    file = FileRef(path=path.name, sha256=sha256(path), size=path.stat().st_size)
    with store.workspace("measure", "0" * 64) as work:
        found = measure.function(work, file, 3)
    assert [m.support for m in found.classes] == [1, 2, 0]
    assert found.confused == (ConfusedPair(true=1, predicted=0, count=1),)
    assert sum(b.count for b in found.bins) == 3
    assert found.calibration_error == pytest.approx((0.1 + 0.3 + 0.6) / 3, abs=1e-6)
    assert Metrics.model_validate_json(found.model_dump_json()) == found
