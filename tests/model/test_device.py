"""Tests of the choice of device, and of the start of TensorFlow without log noise."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tasks.model import device
from tasks.model.device import (
    choose_device,
    describe,
    fix_environment,
    load_tensorflow,
    quiet_start,
    resident,
)
from tasks.records import Device
from tasks.runtime.errors import PipelineError
from tasks.settings import TrainingSettings

Python = Callable[..., subprocess.CompletedProcess[str]]
tensorflow = pytest.mark.tensorflow

NOISE = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1712345678.123456   1234 port.cc:153] oneDNN custom operations are on.
I0000 00:00:1712345678.123456   1234 cpu_feature_guard.cc:227] This TensorFlow binary is optimized
To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow with
I0000 00:00:1712345678.123456   1234 cudart_stub.cc:31] Could not find cuda drivers
E0000 00:00:1712345678.123456   1234 cuda_platform.cc:52] failed call to cuInit: INTERNAL
"""


def chosen(**settings: Any) -> Device:
    return choose_device(TrainingSettings(**settings))


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


@pytest.fixture
def no_gpu() -> None:
    if load_tensorflow().config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")


@tensorflow
@pytest.mark.usefixtures("no_gpu")
def test_missing_gpu_is_refused_in_one_line() -> None:
    with pytest.raises(PipelineError) as caught:
        chosen(device="gpu")
    assert str(caught.value) == (
        "--device gpu: TensorFlow sees no GPU; install the extra `gpu` and NVIDIA's driver,"
        " or use --device auto"
    )


@tensorflow
@pytest.mark.usefixtures("no_gpu")
def test_auto_chooses_the_cpu_and_gives_the_reason() -> None:
    found = chosen()
    assert (found.kind, found.reason) == ("CPU", "TensorFlow sees no GPU")


@tensorflow
def test_cpu_can_be_requested(gpus: list[dict[str, Any]]) -> None:
    gpus += [{"device_name": "Tesla T4"}]
    found = chosen(device="cpu")
    assert (found.kind, found.reason, found.precision) == ("CPU", "requested", "float32")
    assert found.name.endswith(f"{len(os.sched_getaffinity(0))} cores")


@tensorflow
def test_first_gpu_is_used(gpus: list[dict[str, Any]]) -> None:
    gpus += [{"device_name": "Tesla T4"}, {"device_name": "GeForce GTX 1080"}]
    assert chosen() == Device(kind="GPU", name="Tesla T4", reason="TensorFlow sees a GPU")
    requested = chosen(device="gpu", precision="bfloat16")
    assert describe(requested) == "GPU: Tesla T4 (requested), bfloat16"


@tensorflow
def test_memory_of_every_gpu_grows_on_demand(
    gpus: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus += [{}, {}]
    grows = []
    monkeypatch.setattr(
        load_tensorflow().config.experimental,
        "set_memory_growth",
        lambda gpu, on: grows.append((gpu.number, on)),
    )
    load_tensorflow.__wrapped__()
    assert grows == [(0, True), (1, True)]


@tensorflow
def test_processor_without_bfloat16_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_bfloat16", lambda: False)
    with pytest.raises(PipelineError, match="--precision bfloat16: this processor has no"):
        chosen(precision="bfloat16", device="cpu")


@tensorflow
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


@tensorflow
def test_tensorflow_starts_without_output(python: Python) -> None:
    done = python(
        "from tasks.model.device import choose_device, load_tensorflow\n"
        "from tasks.settings import TrainingSettings\n"
        "tf = load_tensorflow()\n"
        "tf.function(lambda x: tf.matmul(x, x))(tf.ones([8, 8]))\n"
        "print(choose_device(TrainingSettings()).kind)"
    )
    assert done.stdout.strip() in ("CPU", "GPU")
    assert done.stderr == ""


def test_stages_are_imported_without_tensorflow(python: Python) -> None:
    """A run with all stages cached must not wait for the import."""
    modules = ("train", "evaluate", "insights.layer_outputs", "export")
    imports = "".join(f"import tasks.model.{name}\n" for name in modules)
    done = python(
        f"{imports}import sys\nprint([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    )
    assert done.stdout.strip() == "[]"


def test_start_up_noise_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_start():
        os.write(2, NOISE.encode())
    assert capfd.readouterr().err == ""


def test_other_warnings_are_printed(capfd: pytest.CaptureFixture[str]) -> None:
    lines = (
        "W0000 00:00:1712345678.123456   1234 gpu_device.cc:2342] Cannot dlopen some GPU libraries",
        "E0000 00:00:1712345678.123456   1234 status.cc:10] out of memory",
        "Illegal instruction",
    )
    before, *after = NOISE.splitlines(keepends=True)
    with quiet_start():
        os.write(2, before.encode())
        os.write(2, "".join(f"{line}\n" for line in lines).encode())
        os.write(2, "".join(after).encode())
        os.write(2, b"no newline at the end")
    assert capfd.readouterr().err.splitlines() == [*lines, "no newline at the end"]


def test_python_warning_during_the_start_is_printed(python: Python) -> None:
    done = python(
        "import warnings\n"
        "from tasks.model.device import quiet_start\n"
        "with quiet_start():\n"
        "    warnings.warn('NumPy is too old')\n"
    )
    assert "UserWarning: NumPy is too old" in done.stderr


def test_output_before_a_failure_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImportError), quiet_start():
        os.write(2, b"libcudnn.so.9: cannot open shared object file\n")
        raise ImportError
    os.write(2, b"and then\n")
    assert capfd.readouterr().err.splitlines() == [
        "libcudnn.so.9: cannot open shared object file",
        "and then",
    ]


def test_variables_that_change_results_are_fixed() -> None:
    environment = {
        "HOME": "/home/me",
        "KERAS_BACKEND": "jax",
        "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "TF_NUM_INTRAOP_THREADS": "2",
        "XLA_FLAGS": "--xla_cpu_enable_fast_math=true",
    }
    fix_environment(environment)
    assert environment == {
        "HOME": "/home/me",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "1",
        "TF_ENABLE_ONEDNN_OPTS": "1",
        "TF_NUM_INTRAOP_THREADS": "2",
    }


DIGEST = """
import hashlib, keras
from tasks.model.device import load_tensorflow
load_tensorflow()
from tasks.model.network import build_network
from tasks.records import Shape
from tasks.settings import NetworkSettings
model = build_network(NetworkSettings(), Shape(height=28, width=28, classes=10), 0)
content = b"".join(weights.tobytes() for weights in model.get_weights())
print(keras.config.floatx(), hashlib.sha256(content).hexdigest())
"""


@tensorflow
def test_keras_json_of_the_user_does_not_change_weights(python: Python, tmp_path: Path) -> None:
    plain = python(DIGEST).stdout
    (tmp_path / "keras.json").write_text('{"floatx": "float64", "epsilon": 0.1}')
    script = (
        f"import os; os.environ.update(KERAS_HOME={str(tmp_path)!r},"
        f" TF_ENABLE_ONEDNN_OPTS='0', KERAS_BACKEND='jax')\n{DIGEST.replace(', keras', '')}"
    ).replace("print(", "import keras; print(")
    assert python(script).stdout == plain
