"""Tests of the choice of device, precision and XLA, with simulated GPUs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tasks.model.device import load_tensorflow
from tasks.model.placement import choose_placement, choose_xla, describe, resident
from tasks.records import Device
from tasks.runtime.errors import PipelineError
from tasks.settings import NetworkSettings, TrainingSettings

TURING = {"device_name": "Tesla T4"}
PASCAL = {"device_name": "GeForce GTX 1080"}


@pytest.mark.parametrize(
    ("setting", "kind", "pooling", "expected"),
    [
        ("auto", "CPU", ("average",), False),
        ("auto", "GPU", ("average",), True),
        ("auto", "GPU", ("none", "max"), False),
        ("on", "CPU", ("average", "none"), True),
        ("off", "GPU", ("average",), False),
    ],
)
def test_xla_is_chosen_by_setting_device_and_pooling(
    setting: Any, kind: Any, pooling: tuple[str, ...], expected: bool
) -> None:
    assert choose_xla(setting, kind, pooling) is expected


def test_xla_refuses_max_pooling() -> None:
    with pytest.raises(PipelineError, match=r"--xla on: .*max-pooling"):
        choose_xla("on", "GPU", ("average", "max"))


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return the list of simulated GPUs, empty at first; tests append details."""
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
    return choose_placement(TrainingSettings(**settings), NetworkSettings(pooling=(pooling,)))


@pytest.mark.tensorflow
def test_first_gpu_is_used_with_xla(gpus: list[dict[str, Any]]) -> None:
    gpus += [TURING, PASCAL]  # the first one is used
    assert chosen("average") == Device(
        kind="GPU",
        name="Tesla T4",
        reason="TensorFlow sees a GPU",
        xla=True,
    )
    requested = chosen("average", device="gpu", precision="bfloat16")
    assert describe(requested) == "GPU: Tesla T4 (requested), bfloat16, XLA"


@pytest.mark.tensorflow
def test_cpu_settings_do_not_depend_on_gpus(gpus: list[dict[str, Any]]) -> None:
    gpus += [TURING]
    device = chosen("average", device="cpu")
    assert (device.kind, device.reason) == ("CPU", "requested")
    assert (device.precision, device.xla) == ("float32", False)


@pytest.mark.tensorflow
def test_memory_of_every_gpu_grows_on_demand(
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
def test_resident_type_can_be_gathered_on_a_gpu() -> None:
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
