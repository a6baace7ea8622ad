"""TensorFlow, imported quietly and told which processor to use."""

import functools
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Literal

from tasks.records import Device
from tasks.runtime.errors import PipelineError

NOISE = re.compile(
    rb"All log messages before absl::InitializeLog"
    rb"|[IWE]\d{4} .*(cudart_stub|cuda_platform|cpu_feature_guard|port|cuda_\w+|computation_placer)"
    rb"\.cc:\d+\]"
    rb"|^To enable the following instructions"
)
"""What TensorFlow 2.21 says at every start on a machine without a GPU."""


@contextmanager
def quiet_start() -> Iterator[None]:
    """Drop TensorFlow's start-up noise from standard error; everything else is passed on.

    The lines come from C++, before any logger can be asked to be silent.
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


@functools.cache
def load_tensorflow() -> ModuleType:
    """Import TensorFlow (5 to 9 s), make it deterministic, and let it take of a GPU's memory only
    what it needs.

    oneDNN's kernels are switched on: TensorFlow uses them by itself only on processors with
    certain vector instructions, and a training iteration takes less than half the time with
    them on one that has only AVX2 (11 instead of 26 ms, measured).
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    with quiet_start():
        import tensorflow

        gpus = tensorflow.config.list_physical_devices("GPU")  # the first look is noisy too
    for gpu in gpus:  # before anything is on one: afterwards TensorFlow refuses
        tensorflow.config.experimental.set_memory_growth(gpu, True)
    tensorflow.config.experimental.enable_op_determinism()
    return tensorflow  # type: ignore[no-any-return]


@contextmanager
def op_determinism(wanted: bool) -> Iterator[None]:
    """Run the block with TensorFlow's deterministic kernels, as everything here, or without.

    Kernels are chosen when a function runs for the first time. TensorFlow's public interface
    can only switch them on.
    """
    if wanted:
        yield
        return
    load_tensorflow()
    from tensorflow.python.framework.config import disable_op_determinism, enable_op_determinism

    disable_op_determinism()
    try:
        yield
    finally:
        enable_op_determinism()


def choose_device(wanted: Literal["auto", "cpu", "gpu"]) -> Device:
    """Choose the processor.

    Raises:
        PipelineError: a GPU is wanted and TensorFlow sees none.
    """
    config = load_tensorflow().config
    gpus = config.list_physical_devices("GPU")
    if wanted == "gpu" and not gpus:
        raise PipelineError(
            "--device gpu: TensorFlow sees no GPU; install the extra `gpu` and NVIDIA's driver,"
            " or use --device auto"
        )
    if gpus and wanted != "cpu":
        details = config.experimental.get_device_details(gpus[0])
        return Device(
            kind="GPU",
            name=details.get("device_name", gpus[0].name),
            reason="requested" if wanted == "gpu" else "TensorFlow sees a GPU",
        )
    return Device(
        kind="CPU",
        name=cpu_name(),
        reason="requested" if wanted == "cpu" else "TensorFlow sees no GPU",
    )


def cpu_name() -> str:
    """The processor's name and how many cores this process may use."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            names = (line.partition(":")[2] for line in file if line.startswith("model name"))
            name = next(names, "CPU").strip()
    except OSError:
        name = "CPU"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} core{'' if cores == 1 else 's'}"
