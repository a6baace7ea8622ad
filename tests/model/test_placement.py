"""What is trained on and how; GPUs are made up here, since there may be none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tasks.model.device import load_tensorflow
from tasks.model.placement import choose_processing, choose_xla, in_words, resident
from tasks.records import Device
from tasks.runtime.errors import PipelineError
from tasks.settings import NetworkSettings, TrainingSettings

TURING = {"device_name": "Tesla T4", "compute_capability": (7, 5)}
PASCAL = {"device_name": "GeForce GTX 1080", "compute_capability": (6, 1)}


@pytest.mark.parametrize(
    ("wanted", "kind", "replicas", "pooling", "expected"),
    [
        ("auto", "CPU", 1, ("average",), False),
        ("auto", "GPU", 1, ("average",), True),
        ("auto", "GPU", 1, ("none", "max"), False),
        ("auto", "GPU", 2, ("average",), False),
        ("on", "CPU", 1, ("average", "none"), True),
        ("off", "GPU", 1, ("average",), False),
    ],
)
def test_when_xla_compiles(
    wanted: Any, kind: str, replicas: int, pooling: tuple[str, ...], expected: bool
) -> None:
    assert choose_xla(wanted, kind, replicas, pooling) is expected


@pytest.mark.parametrize(
    ("replicas", "pooling", "message"),
    [(2, ("none",), "several replicas"), (1, ("average", "max"), "max-pooling")],
)
def test_xla_where_it_cannot_be_is_refused(
    replicas: int, pooling: tuple[str, ...], message: str
) -> None:
    with pytest.raises(PipelineError, match=f"--xla on: .*{message}"):
        choose_xla("on", "GPU", replicas, pooling)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What TensorFlow says of its GPUs, to be filled in."""
    details: list[dict[str, Any]] = []
    config = load_tensorflow().config
    real = config.list_physical_devices, config.list_logical_devices

    def pretend(list_devices: Any) -> Any:
        return lambda kind=None: (
            [SimpleNamespace(name=f"/GPU:{n}", number=n) for n in range(len(details))]
            if kind == "GPU"
            else list_devices(kind)
        )

    monkeypatch.setattr(config, "list_physical_devices", pretend(real[0]))
    monkeypatch.setattr(config, "list_logical_devices", pretend(real[1]))
    monkeypatch.setattr(config.experimental, "get_device_details", lambda gpu: details[gpu.number])
    return details


def chosen(pooling: str = "max", **settings: Any) -> Device:
    return choose_processing(TrainingSettings(**settings), NetworkSettings(pooling=(pooling,)))


@pytest.mark.tensorflow
def test_a_gpu_is_taken_with_what_it_is_good_at(gpus: list[dict[str, Any]]) -> None:
    gpus += [TURING, TURING]
    assert chosen("average") == Device(
        kind="GPU",
        name="Tesla T4",
        reason="TensorFlow sees a GPU",
        precision="mixed_float16",
        replicas=1,
        xla=True,
    )
    both = chosen(device="gpu", replicas="auto")
    assert (both.reason, both.replicas, both.xla) == ("requested", 2, False)
    assert in_words(both) == "GPU: Tesla T4 (requested), mixed precision, 2 replicas"
    assert chosen(precision="float32").precision == "float32"
    gpus[1] = PASCAL
    assert chosen().precision == "float32"  # as slow as the slowest
    gpus[1] = {"device_name": "of another maker"}
    assert chosen().precision == "float32"


@pytest.mark.tensorflow
def test_the_cpu_is_as_it_was_whatever_gpus_there_are(gpus: list[dict[str, Any]]) -> None:
    gpus += [TURING]
    device = chosen(device="cpu", replicas="auto")
    assert (device.kind, device.reason) == ("CPU", "requested")
    assert (device.precision, device.replicas, device.xla) == ("float32", 1, False)


@pytest.mark.tensorflow
def test_memory_of_a_gpu_is_taken_as_needed_from_the_start(
    gpus: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus += [TURING, PASCAL]
    grows = []
    monkeypatch.setattr(
        load_tensorflow().config.experimental,
        "set_memory_growth",
        lambda gpu, on: grows.append((gpu.number, on)),
    )
    load_tensorflow.__wrapped__()
    assert grows == [(0, True), (1, True)]


@pytest.mark.tensorflow
def test_bytes_are_kept_as_what_can_be_gathered_on_a_gpu() -> None:
    from tensorflow.python.framework.kernels import get_registered_kernels_for_op

    values = np.arange(256, dtype=np.uint8)
    on_cpu, on_gpu = resident(values, "CPU"), resident(values, "GPU")
    assert on_cpu.dtype == np.uint8
    np.testing.assert_array_equal(on_gpu.numpy().astype(np.uint8), values)
    if not load_tensorflow().test.is_built_with_cuda():
        pytest.skip("TensorFlow is built without CUDA")
    gatherable = {
        kind
        for kernel in get_registered_kernels_for_op("GatherV2").kernel
        if kernel.device_type == "GPU"
        for constraint in kernel.constraint
        if constraint.name == "Tparams"
        for kind in constraint.allowed_values.list.type
    }
    assert on_gpu.dtype.as_datatype_enum in gatherable
    assert on_cpu.dtype.as_datatype_enum not in gatherable
