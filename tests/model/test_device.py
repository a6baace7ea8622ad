"""Tests of the choice of device, and of the start of TensorFlow without log noise."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.model.device import choose_device, fix_environment, load_tensorflow, quiet_start
from tasks.runtime.errors import PipelineError

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


@pytest.fixture
def no_gpu() -> None:
    if load_tensorflow().config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")


@tensorflow
@pytest.mark.usefixtures("no_gpu")
def test_missing_gpu_is_refused_in_one_line() -> None:
    with pytest.raises(PipelineError) as caught:
        choose_device("gpu")
    assert str(caught.value) == (
        "--device gpu: TensorFlow sees no GPU; install the extra `gpu` and NVIDIA's driver,"
        " or use --device auto"
    )


@tensorflow
@pytest.mark.usefixtures("no_gpu")
def test_auto_chooses_the_cpu_and_gives_the_reason() -> None:
    device = choose_device("auto")
    assert device.kind == "CPU"
    assert device.reason == "TensorFlow sees no GPU"


@tensorflow
def test_cpu_can_be_requested() -> None:
    device = choose_device("cpu")
    assert (device.kind, device.reason) == ("CPU", "requested")
    assert device.name.endswith(f"{len(os.sched_getaffinity(0))} cores")


@tensorflow
def test_tensorflow_starts_without_output(python: Python) -> None:
    done = python(
        "from tasks.model.device import choose_device, load_tensorflow\n"
        "tf = load_tensorflow()\n"
        "tf.function(lambda x: tf.matmul(x, x))(tf.ones([8, 8]))\n"
        "print(choose_device('auto').kind)"
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
