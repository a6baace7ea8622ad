"""TensorFlow without its start-up messages, and where and how precisely it trains."""

import functools
import os
import re
import sys
import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Literal

import numpy as np

from tasks.records import Device
from tasks.runtime import threads
from tasks.runtime.errors import PipelineError
from tasks.runtime.processor import has_bfloat16
from tasks.settings import TrainingSettings

Kind = Literal["CPU", "GPU"]
Precision = Literal["float32", "bfloat16"]

NOISE = re.compile(
    rb"All log messages before absl::InitializeLog"
    rb"|[IWE]\d{4} .*(cudart_stub|cuda_platform|cpu_feature_guard|port|cuda_\w+|computation_placer)"
    rb"\.cc:\d+\]"
    rb"|^To enable the following instructions"
)
"""Messages of TensorFlow 2.21 at every start on a machine without a GPU."""


@contextmanager
def quiet_start() -> Iterator[None]:
    """Drop TensorFlow's start-up messages from standard error, and pass on everything else.

    The messages come from C++ before logging can be configured.
    """
    with tempfile.TemporaryFile() as caught:
        sys.stderr.flush()
        original = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(original, 2)
            os.close(original)
            caught.seek(0)
            for line in caught:
                if not NOISE.search(line):
                    os.write(2, line)


CHANGES_RESULTS = ("TF_", "KERAS_", "XLA_", "ONEDNN_", "DNNL_", "MKL_", "NVIDIA_TF32_")
"""Prefixes of environment variables that can change computed bytes."""

ALLOWED = frozenset(threads.VARIABLES)
"""Variables with such a prefix that are part of stage keys."""

FIXED = {"TF_ENABLE_ONEDNN_OPTS": "1", "TF_CPP_MIN_LOG_LEVEL": "1", "KERAS_BACKEND": "tensorflow"}


def fix_environment(environment: MutableMapping[str, str]) -> None:
    """Set or remove the environment variables that change TensorFlow's and Keras's results.

    The same key must give the same bytes, whatever the user's environment is.
    """
    for name in list(environment):
        if name.startswith(CHANGES_RESULTS) and name not in ALLOWED:
            del environment[name]
    environment.update(FIXED)


@functools.cache
def load_tensorflow() -> ModuleType:
    """Import TensorFlow (5 to 9 s) with deterministic operations and GPU memory on demand.

    oneDNN's kernels are enabled: by default, TensorFlow uses them only on processors with certain
    vector instructions. On one with AVX2 alone, they cut the time of a training iteration from 26
    to 11 ms (measured).
    """
    fix_environment(os.environ)
    with quiet_start():
        import tensorflow
        from keras import config

        gpus = tensorflow.config.list_physical_devices("GPU")  # prints messages, too
    # `keras.json` of the user may say otherwise.
    config.set_floatx("float32")
    config.set_epsilon(1e-7)
    config.set_image_data_format("channels_last")
    for gpu in gpus:  # TensorFlow refuses once a GPU is in use
        tensorflow.config.experimental.set_memory_growth(gpu, True)
    tensorflow.config.experimental.enable_op_determinism()
    return tensorflow  # type: ignore[no-any-return]


@contextmanager
def op_determinism(enabled: bool) -> Iterator[None]:
    """Run the block with or without TensorFlow's deterministic kernels; they are on elsewhere.

    TensorFlow chooses kernels when a function first runs. Its public API cannot disable
    determinism.

    Args:
        enabled: whether kernels are deterministic.
    """
    if enabled:
        yield
        return
    load_tensorflow()
    from tensorflow.python.framework.config import disable_op_determinism, enable_op_determinism

    disable_op_determinism()
    try:
        yield
    finally:
        enable_op_determinism()


def choose_device(settings: TrainingSettings) -> Device:
    """Choose processor and precision for the training on this machine.

    Raises:
        PipelineError: a requested GPU is missing, or the processor has no instructions for the
            precision.
    """
    config = load_tensorflow().config
    gpus = config.list_physical_devices("GPU")
    if settings.device == "gpu" and not gpus:
        raise PipelineError(
            "--device gpu: TensorFlow sees no GPU; install the extra `gpu` and NVIDIA's driver,"
            " or use --device auto"
        )
    if gpus and settings.device != "cpu":
        details = config.experimental.get_device_details(gpus[0])
        return Device(
            kind="GPU",
            name=details.get("device_name", gpus[0].name),
            reason="requested" if settings.device == "gpu" else "TensorFlow sees a GPU",
            precision=settings.precision,
        )
    if settings.precision == "bfloat16" and not has_bfloat16():
        raise PipelineError(
            "--precision bfloat16: this processor has no instructions for it, and would be slower;"
            " use float32"
        )
    return Device(
        kind="CPU",
        name=cpu_name(),
        reason="requested" if settings.device == "cpu" else "TensorFlow sees no GPU",
        precision=settings.precision,
    )


def describe(device: Device) -> str:
    """Describe a device in one line, e.g. `GPU: NVIDIA L4 (requested), bfloat16`."""
    precision = ", bfloat16" if device.precision == "bfloat16" else ""
    return f"{device.kind}: {device.name} ({device.reason}){precision}"


@contextmanager
def layers_in(precision: Precision) -> Iterator[None]:
    """Build the layers of the block with a precision.

    With bfloat16, layers compute in bfloat16 and store their weights in float32; logits, loss and
    optimizer stay in float32. A bfloat16 has the exponent of a float32, so the loss needs no scale.
    """
    from keras import config

    before = config.dtype_policy()
    config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    try:
        yield
    finally:
        config.set_dtype_policy(before)


def resident(array: np.ndarray, kind: Kind) -> Any:
    """Copy bytes, uint8, to the processor that gathers the batches; see `resident_type`."""
    return load_tensorflow().constant(array.astype(resident_type(kind), copy=False))


def resident_type(kind: Kind) -> type[np.generic]:
    """Return the type in which a processor stores bytes: float16 on a GPU, else uint8.

    TensorFlow cannot gather uint8 on a GPU: it would copy the whole array to the CPU for each
    batch. float16 represents all integers from 0 to 255 exactly.
    """
    return np.float16 if kind == "GPU" else np.uint8


def cpu_name() -> str:
    """Return the name of the processor and the number of cores available to this process."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            names = (line.partition(":")[2] for line in file if line.startswith("model name"))
            name = next(names, "CPU").strip()
    except OSError:
        name = "CPU"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # Not `plural` of words.py, an edit of which would then train again.
    return f"{name}, {cores} core{'' if cores == 1 else 's'}"
