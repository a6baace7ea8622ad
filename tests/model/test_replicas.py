"""Two replicas, on two logical CPU devices, train like one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tasks.model.replicas import choose_replicas
from tasks.runtime.errors import PipelineError


@pytest.mark.parametrize(
    ("wanted", "kind", "devices", "batch", "expected"),
    [
        (1, "CPU", 1, 64, 1),
        (1, "GPU", 4, 64, 1),
        (2, "GPU", 4, 64, 2),
        (2, "CPU", 2, 64, 2),
        ("auto", "CPU", 2, 64, 1),
        ("auto", "GPU", 1, 64, 1),
        ("auto", "GPU", 4, 64, 4),
        ("auto", "GPU", 3, 64, 2),
        ("auto", "GPU", 3, 7, 1),
    ],
)
def test_how_many_replicas(wanted: Any, kind: str, devices: int, batch: int, expected: int) -> None:
    assert choose_replicas(wanted, kind, devices, batch) == expected


@pytest.mark.parametrize(
    ("wanted", "kind", "devices", "batch", "message"),
    [
        (2, "CPU", 1, 64, "--replicas 2: TensorFlow sees 1 CPU; each"),
        (4, "GPU", 2, 64, "--replicas 4: TensorFlow sees 2 GPUs; each"),
        (3, "GPU", 4, 64, "--replicas 3: a batch of 64 images cannot be split into 3 equal parts"),
    ],
)
def test_replicas_that_cannot_be_are_refused(
    wanted: int, kind: str, devices: int, batch: int, message: str
) -> None:
    with pytest.raises(PipelineError, match=message):
        choose_replicas(wanted, kind, devices, batch)


SCRIPT = """
import json
import keras
import numpy as np
from tasks.data.dataset import batch_indices
from tasks.model.checkpoint import get_state, make_optimizer, set_state
from tasks.model.device import load_tensorflow
from tasks.model.network import build_network
from tasks.model.placement import choose_processing, placed_on, resident
from tasks.model.replicas import on_replicas, replicate
from tasks.model.trainer import make_train_steps
from tasks.records import Shape
from tasks.settings import NetworkSettings, TrainingSettings

# Logical devices can be made only before TensorFlow's first use: hence a process of our own.
tf = load_tensorflow()
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
draw = np.random.default_rng(0)
images = draw.integers(0, 256, (120, 8, 8), np.uint8)
labels = draw.integers(0, 3, 120).astype(np.uint8)


def train(replicas, network):
    settings = TrainingSettings(
        batch_size=32, learning_rate=1e-3, shift=1, rotation=20, device="cpu", replicas=replicas
    )
    device = choose_processing(settings, network)
    with placed_on(device):
        model = build_network(network, Shape(height=8, width=8, classes=3), seed=1)
        start = get_state(model, make_optimizer(model, settings), 0)
        if replicas > 1:
            model = replicate(model)
        adam = make_optimizer(model, settings)
        set_state(model, adam, start)
        steps = make_train_steps(model, adam, settings, device)
        data = resident(images[..., np.newaxis], "CPU"), resident(labels, "CPU")
        _, loss = steps(batch_indices(0, 120, 32, 0, 4), 0, *data)
        return start, get_state(model, adam, 4), float(loss), model


def furthest(one, other):
    return max(float(np.abs(one[n].astype(float) - other[n].astype(float)).max()) for n in one)


found = {}
for name, settings in {"plain": {}, "all": {"normalisation": True, "dropout": 0.5}}.items():
    network = NetworkSettings(conv_filters=(4,), conv_sizes=(3,), dense=(16,), **settings)
    start, one, loss, _ = train(1, network)
    _, two, loss_of_two, model = train(2, network)
    copies = [variable.value.values for variable in model.weights]
    found[name] = {
        "loss": [loss, loss_of_two],
        "same tensors": one.keys() == two.keys(),
        "moved": furthest({n: a for n, a in start.items() if n.startswith("weights")}, one),
        "difference": furthest(one, two),
        "devices": sorted({copy.device[-5:] for pair in copies for copy in pair}),
        "copies apart": max(float(np.abs(a.numpy() - b.numpy()).max()) for a, b in copies),
    }

# The gradient of the second replica overflows, that of the first does not.
device = choose_processing(TrainingSettings(device="cpu", replicas=2), NetworkSettings())
with placed_on(device):
    weight = keras.Variable(1.0)
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.5, epsilon=1e-12))
    optimizer.build([weight])
    update = tf.function(
        on_replicas(lambda x, y: [tf.reduce_mean(x)], lambda g: optimizer.apply(g, [weight]))
    )
    for last in (np.inf, 1.0):
        update(tf.constant([1.0, 1.0, 1.0, last]), tf.zeros([4]))
        found[f"after {last}"] = {
            "weights": [float(copy.numpy()) for copy in weight.value.values],
            "scale": float(optimizer.dynamic_scale.numpy()),
            "updates": int(optimizer.iterations.numpy()),
        }

with tf.device("/CPU:1"):
    computed = tf.function(lambda x: x + tf.ones([2]))
    there = [tf.constant(1.0), computed(1.0)]
    with placed_on(choose_processing(TrainingSettings(device="cpu"), NetworkSettings())):
        here = [tf.constant(1.0), computed(1.0)]
found["placed"] = [[tensor.device[-5:] for tensor in tensors] for tensors in (there, here)]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(python: Callable[..., subprocess.CompletedProcess[str]]) -> dict[str, Any]:
    """What the script found out."""
    result: dict[str, Any] = json.loads(python(SCRIPT).stdout)
    return result


@pytest.mark.tensorflow
@pytest.mark.parametrize("network", ["plain", "all"])
def test_two_replicas_train_like_one_but_for_rounding(found: dict[str, Any], network: str) -> None:
    """Also with moved images, dropout and normalisation, which depend on the whole batch."""
    result = found[network]
    assert result["devices"] == ["CPU:0", "CPU:1"]
    assert result["same tensors"]
    assert result["moved"] > 1e-3
    assert result["difference"] < 1e-6
    assert result["copies apart"] == 0
    assert result["loss"][0] == pytest.approx(result["loss"][1], rel=1e-5)


@pytest.mark.tensorflow
def test_an_update_that_overflows_on_one_replica_is_left_out_on_all(found: dict[str, Any]) -> None:
    assert found["after inf"] == {"weights": [1, 1], "scale": 2**14, "updates": 0}
    after = found["after 1.0"]
    assert after["updates"] == 1
    assert after["weights"] == pytest.approx([0.5, 0.5], abs=0.01)


@pytest.mark.tensorflow
def test_what_is_made_and_computed_lies_on_the_device(found: dict[str, Any]) -> None:
    assert found["placed"] == [["CPU:1", "CPU:1"], ["CPU:0", "CPU:0"]]
