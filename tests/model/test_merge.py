"""Tests of networks that are merged into one."""

from pathlib import Path

import numpy as np
import pytest
from helpers import tiny

from flows.graph import compute_results
from tasks.data.dataset import read_split
from tasks.engine.executors import LocalExecutor
from tasks.engine.store import Store
from tasks.model.checkpoint import get_state, restore_network, set_weights
from tasks.model.merge import merge_weights
from tasks.model.network import build_network
from tasks.model.optimizer import make_optimizer
from tasks.records import Shape
from tasks.settings import NetworkSettings, Settings, TrainingSettings

pytestmark = pytest.mark.tensorflow

SHAPE = Shape(height=12, width=10, classes=5)


@pytest.mark.parametrize(
    "layers",
    [
        {"conv_filters": (2, 3), "conv_sizes": (3, 5), "dense": (6,)},
        {"conv_filters": (3,), "conv_sizes": (3,), "dense": ()},
        {"conv_filters": (2, 3, 2), "conv_sizes": (3,), "dense": (6, 4), "normalisation": True},
        {"conv_filters": (2, 3), "conv_strides": (2, 1), "pooling": ("none", "average")},
        {"dense": (6, 4), "dropout": 0.5, "activation": "sigmoid"},
    ],
)
def test_merged_network_computes_the_mean_of_the_logits(layers: dict[str, object]) -> None:
    settings, random = NetworkSettings(**layers), np.random.default_rng(0)
    images = random.random((7, SHAPE.height, SHAPE.width, 1), dtype=np.float32)
    states, logits = [], []
    for seed in range(3):
        network = build_network(settings, SHAPE, seed)
        for variable in network.weights:
            if "seed_generator" not in variable.path:
                variable.assign(random.uniform(0.1, 0.5, variable.shape))
        states.append(get_state(network, make_optimizer(network, TrainingSettings()), 9))
        logits.append(np.asarray(network(images)))
    merged = build_network(settings.times(3), SHAPE, 0)
    set_weights(merged, merge_weights(states, settings))
    assert np.ptp([row.mean() for row in logits]) > 0.1, "the networks differ"
    np.testing.assert_allclose(merged(images), np.mean(logits, axis=0), rtol=1e-4)


def test_run_with_two_networks_exports_their_mean(tmp_path: Path) -> None:
    import onnxruntime
    from scipy.special import softmax

    store = Store(tmp_path / "root")
    source = tiny.write_source(tmp_path / "source")
    options = (*tiny.OPTIONS, "--insights", "none", "--source", str(source), "--networks", "2")
    settings = tiny.settings_of(*options)
    executor = LocalExecutor(store)
    with store.in_use():
        results = compute_results(executor, settings)
    (other,) = results.others
    assert {"train-network-2", "merge-networks"} <= {outcome.name for outcome in executor.outcomes}
    assert [e.iteration for e in results.evaluations] == [0, 1, 40]

    images = read_split(store.path(results.splits.test.file)).images
    logits = []
    for segment in (results.segments[-1], other):
        path = store.path(segment.checkpoint.file)
        network = restore_network(path, settings.network, results.splits.shape)
        logits.append(np.asarray(network(images[..., np.newaxis] / np.float32(255))))
    assert not np.allclose(*logits)
    session = onnxruntime.InferenceSession(store.path(results.model.onnx))
    (probabilities,) = session.run(["probabilities"], {"image": images})
    np.testing.assert_allclose(probabilities, softmax(np.mean(logits, 0), axis=1), atol=1e-5)


def test_networks_with_relu_on_the_logits_are_refused() -> None:
    with pytest.raises(ValueError, match="--networks: several networks need --logits-activation"):
        Settings.model_validate(
            {"schedule": {"networks": 2}, "network": {"logits_activation": "relu"}}
        )
