"""Placement of the training: processor, precision, XLA, and tensors on the processor."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from tasks.model.device import choose_device, load_tensorflow
from tasks.records import Device
from tasks.runtime.errors import PipelineError
from tasks.runtime.processor import has_bfloat16
from tasks.settings import NetworkSettings, TrainingSettings


def choose_placement(settings: TrainingSettings, network: NetworkSettings) -> Device:
    """Choose processor, precision and compiler for the training on this machine.

    Raises:
        PipelineError: a requested GPU is missing, the processor has no instructions for the
            precision, or XLA cannot compile the network.
    """
    device = choose_device(settings.device)
    if settings.precision == "bfloat16" and device.kind == "CPU" and not has_bfloat16():
        raise PipelineError(
            "--precision bfloat16: this processor has no instructions for it, and would be slower;"
            " use float32"
        )
    return device.model_copy(
        update={
            "precision": settings.precision,
            "xla": choose_xla(settings.xla, device.kind, network.pooling),
        }
    )


def choose_xla(
    setting: Literal["auto", "on", "off"], kind: Literal["CPU", "GPU"], pooling: tuple[str, ...]
) -> bool:
    """Return whether XLA compiles the update.

    `auto` uses XLA only on a GPU: on a CPU it compiles for half a minute, and the result is
    slower than oneDNN's kernels. XLA has no deterministic gradient of max-pooling.

    Args:
        setting: value of `--xla`.
        kind: processor.
        pooling: kinds of pooling in the network.

    Raises:
        PipelineError: the setting is `on` and the network has max-pooling.
    """
    if setting == "on" and "max" in pooling:
        raise PipelineError(
            "--xla on: XLA has no reproducible max-pooling; use --xla auto, or --pooling average or"
            " none"
        )
    return setting == "on" or (setting == "auto" and kind == "GPU" and "max" not in pooling)


def describe(device: Device) -> str:
    """Describe a device in one line, e.g. `GPU: NVIDIA L4 (requested), bfloat16, XLA`."""
    parts = [
        f"{device.kind}: {device.name} ({device.reason})",
        *(["bfloat16"] if device.precision == "bfloat16" else []),
        *(["XLA"] if device.xla else []),
    ]
    return ", ".join(parts)


@contextmanager
def placed_on(device: Device) -> Iterator[None]:
    """Create variables and run operations of the block on a device."""
    with load_tensorflow().device(f"/{device.kind}:0"):
        yield


def resident(array: np.ndarray, kind: Literal["CPU", "GPU"]) -> Any:
    """Copy bytes to the processor that gathers the batches.

    Args:
        array: uint8, any shape.
        kind: processor.

    Returns:
        A tensor of the same shape and values; its type is `resident_type(kind)`.
    """
    return load_tensorflow().constant(array.astype(resident_type(kind), copy=False))


def resident_type(kind: Literal["CPU", "GPU"]) -> type[np.generic]:
    """Return the type in which a processor stores bytes: float16 on a GPU, else uint8.

    TensorFlow cannot gather uint8 on a GPU: it would copy the whole array to the CPU for each
    batch. float16 represents all integers from 0 to 255 exactly.
    """
    return np.float16 if kind == "GPU" else np.uint8
