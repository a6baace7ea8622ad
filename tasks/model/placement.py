"""What a network is trained on and how: processor, precision, replicas, XLA."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from tasks.model.device import choose_device, load_tensorflow
from tasks.model.precision import choose_precision
from tasks.model.replicas import choose_replicas
from tasks.records import Device
from tasks.runtime.errors import PipelineError
from tasks.settings import NetworkSettings, TrainingSettings


def choose_processing(settings: TrainingSettings, network: NetworkSettings) -> Device:
    """What a network is trained on here, and how.

    Raises:
        PipelineError: what is asked for is not there.
    """
    device = choose_device(settings.device)
    devices = len(load_tensorflow().config.list_logical_devices(device.kind))
    replicas = choose_replicas(settings.replicas, device.kind, devices, settings.batch_size)
    capability = compute_capability() if device.kind == "GPU" else None
    return device.model_copy(
        update={
            "precision": choose_precision(settings.precision, capability),
            "replicas": replicas,
            "xla": choose_xla(settings.xla, device.kind, replicas, network.pooling),
        }
    )


def compute_capability() -> tuple[int, int] | None:
    """The lowest of the GPUs' compute capabilities; None if one has none, or there is none."""
    config = load_tensorflow().config
    found = [
        config.experimental.get_device_details(gpu).get("compute_capability")
        for gpu in config.list_physical_devices("GPU")
    ]
    return min(found) if found and None not in found else None


def choose_xla(
    wanted: Literal["auto", "on", "off"], kind: str, replicas: int, pooling: tuple[str, ...]
) -> bool:
    """Whether the update is compiled by XLA.

    By itself only on one GPU: on a CPU compiling takes half a minute, and what comes out is slower
    than oneDNN's kernels. The gradient of max-pooling has no deterministic implementation in XLA.

    Raises:
        PipelineError: it is wanted for max-pooling or several replicas.
    """
    if wanted == "on" and replicas > 1:
        raise PipelineError("--xla on: not for several replicas; use --xla auto, or --replicas 1")
    if wanted == "on" and "max" in pooling:
        raise PipelineError(
            "--xla on: XLA has no reproducible max-pooling; use --xla auto, or --pooling average or"
            " none"
        )
    possible = kind == "GPU" and replicas == 1 and "max" not in pooling
    return wanted == "on" or (wanted == "auto" and possible)


def in_words(device: Device) -> str:
    """What is trained on, e.g. `GPU: NVIDIA L4 (asked for), mixed precision, XLA`."""
    parts = [
        f"{device.kind}: {device.name} ({device.reason})",
        *(["mixed precision"] if device.precision == "mixed_float16" else []),
        *([f"{device.replicas} replicas"] if device.replicas > 1 else []),
        *(["XLA"] if device.xla else []),
    ]
    return ", ".join(parts)


@contextmanager
def placed_on(device: Device) -> Iterator[None]:
    """Put what is made in the block on the device, or on as many as there are replicas."""
    tf = load_tensorflow()
    names = [f"/{device.kind}:{n}" for n in range(device.replicas)]
    with tf.device(names[0]):  # data too, and what is done with a batch as a whole
        if device.replicas == 1:
            yield
        else:
            with mirrored(*names).scope():
                yield


@functools.cache
def mirrored(*names: str) -> Any:
    """The strategy that keeps a copy of each variable on each of some devices.

    One for the whole process, since a network goes on with the strategy that it was made with.
    """
    distribute = load_tensorflow().distribute
    # Gradients go to one device and back: for a network of this size that is little, and the
    # default, collective operations, fails when several networks are trained one after the other
    # in a process.
    return distribute.MirroredStrategy(
        list(names), cross_device_ops=distribute.ReductionToOneDevice()
    )


def resident(array: np.ndarray, kind: Literal["CPU", "GPU"]) -> Any:
    """A tensor of bytes that stays on the processor that batches are gathered on.

    Args:
        array: uint8.
        kind: of processor.

    Returns:
        A tensor of the same shape and values, of the processor's `resident_type`.
    """
    return load_tensorflow().constant(array.astype(resident_type(kind), copy=False))


def resident_type(kind: Literal["CPU", "GPU"]) -> type[np.generic]:
    """As what bytes are kept: as float16 on a GPU, which holds them exactly, since TensorFlow
    cannot gather bytes there and would send all of them to the CPU for each batch."""
    return np.float16 if kind == "GPU" else np.uint8
