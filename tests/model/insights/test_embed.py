"""Tests of the map of test images."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.arrays import normal

from tasks.engine.store import Store
from tasks.model.insights.embed import SAMPLE, embed, map_points, sample
from tasks.model.train import initialise
from tasks.records import Classification, Splits
from tasks.settings import NetworkSettings

if TYPE_CHECKING:
    RunStage = Callable[..., Any]

pytestmark = pytest.mark.tensorflow


def test_sample_prefers_errors() -> None:
    true = np.zeros(10_000, np.uint8)
    for errors, shown in ((0, 0), (118, 118), (9_000, 750)):
        predicted = (np.arange(10_000) % 10_000 < errors).astype(np.uint8)
        rows = sample(true, predicted)
        assert len(rows) == len(set(rows)) == SAMPLE
        assert (np.diff(rows) > 0).all()
        assert predicted[rows].sum() >= shown
        if errors <= SAMPLE // 2:
            assert predicted[rows].sum() == errors
    assert np.array_equal(sample(true[:297], true[:297]), np.arange(297)), (
        "small data sets are mapped completely"
    )


def clusters() -> np.ndarray:
    """Three groups of forty points in twenty dimensions."""
    rng = np.random.default_rng(0)
    middles = 4 * rng.normal(size=(3, 20))
    return np.concatenate([m + rng.normal(size=(40, 20)) for m in middles]).astype(np.float32)


def test_clusters_stay_together_on_the_map() -> None:
    places = map_points(clusters())
    assert places.shape == (120, 2) and places.dtype == np.float32
    np.testing.assert_array_equal(places, np.round(places, 2))
    distance = np.linalg.norm(places[:, np.newaxis] - places, axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (distance.argmin(axis=1) // 40 == np.arange(120) // 40).all()


def test_map_does_not_depend_on_process_threads_or_scale(python: Callable[..., Any]) -> None:
    script = (
        "import json, os, sys; os.environ['OMP_NUM_THREADS'] = '1'\n"
        "import numpy as np; from tasks.model.insights.embed import map_points\n"
        "print(map_points(np.array(json.loads(sys.argv[1]), np.float32)).tolist())"
    )
    points = clusters()
    places = map_points(points)
    assert json.loads(python(script, json.dumps(points.tolist())).stdout) == places.tolist()
    assert np.array_equal(map_points(points * 1024), places)


@pytest.mark.parametrize("points", [np.zeros((50, 4)), np.ones((3, 4)), normal(7, 4)])
def test_indistinguishable_points_are_all_mapped_to_the_origin(points: np.ndarray) -> None:
    assert not map_points(points.astype(np.float32)).any()


def test_map_of_non_finite_values_is_nan() -> None:
    points = normal(50, 4)
    points[3, 2] = np.inf
    assert np.isnan(map_points(points)).all()


@pytest.mark.parametrize(("dense", "layer"), [((16,), "fc1"), ((16, 12), "fc2"), ((), "conv2")])
def test_last_hidden_layer_is_mapped(
    root: Store,
    run_stage: RunStage,
    splits: Splits,
    evaluation: Classification,
    dense: tuple[int, ...],
    layer: str,
) -> None:
    network = NetworkSettings(conv_filters=(4, 6), conv_sizes=(3, 5), dense=dense)
    checkpoint = run_stage(initialise, network, splits.shape, seed=1)
    record = run_stage(embed, splits.test, checkpoint, evaluation.predictions)
    assert (record.layer, record.rows) == (layer, 297)
    table = pq.read_table(root.path(record.file))
    assert table.column_names == ["index", "label", "predicted", "x", "y"]
    assert table["index"].to_pylist() == list(range(297))
    predictions = pq.read_table(root.path(evaluation.predictions))
    for name in ("label", "predicted"):
        assert table[name].equals(predictions[name])
