"""What the convolutional layers leave of an image: arithmetic on settings, before anything runs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tasks.settings import NetworkSettings

T = TypeVar("T")

MNIST_SIDE = 28
"""Height and width in pixels of MNIST's images; scikit-learn's digits are made as large."""


def for_each(layers: int, values: Sequence[T]) -> tuple[T, ...]:
    """One value for each layer: what a setting with a single value means."""
    return tuple(values) * layers if len(values) == 1 else tuple(values)


def known_side(source: str | None, digests: str) -> int | None:
    """Height and width of the images, where the settings say which ones they must be."""
    return MNIST_SIDE if source == "digits" or digests == "mnist" else None


def layer_sizes(
    network: "NetworkSettings", height: int, width: int
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Height and width of what comes out of each convolution, and out of the pooling after it.

    With zero padding, a stride rounds up; pooling leaves out what is not a whole square.
    """
    layers = len(network.conv_filters)
    sizes = []
    for stride, pool in zip(
        for_each(layers, network.conv_strides), for_each(layers, network.pooling), strict=True
    ):
        convolved = height, width = -(-height // stride), -(-width // stride)
        if pool != "none":
            height, width = height // 2, width // 2
        sizes.append((convolved, (height, width)))
    return sizes


def size_fault(network: "NetworkSettings", height: int, width: int) -> str | None:
    """Why a network cannot be built for images of this size; None if it can."""
    if (largest := max(network.conv_sizes)) > min(height, width):
        return (
            f"--conv-sizes: filters of {largest} × {largest} pixels are larger than the images of"
            f" {height} × {width}; use smaller ones"
        )
    for n, (_, left) in enumerate(layer_sizes(network, height, width), start=1):
        if min(left) == 0:
            return (
                f"--conv-filters: conv{n} and its pooling leave nothing of images of"
                f" {height} × {width} pixels; use fewer layers, or --pooling none"
            )
    return None
