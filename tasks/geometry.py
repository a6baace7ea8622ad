"""Sizes of the outputs of convolutional layers: arithmetic on plain tuples."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")

MNIST_SIDE = 28
"""Height and width of MNIST's images in pixels; scikit-learn's digits are scaled to the same."""


class ConvolutionalLayers(Protocol):
    """Convolutional layers: tuples with one value for each layer, or one for all."""

    @property
    def conv_filters(self) -> tuple[int, ...]:
        """Filters of each layer."""

    @property
    def conv_sizes(self) -> tuple[int, ...]:
        """Width and height of the filters, in pixels."""

    @property
    def conv_strides(self) -> tuple[int, ...]:
        """Steps of the filters, in pixels."""

    @property
    def pooling(self) -> tuple[str, ...]:
        """`max`, `average` or `none`."""


def for_each(layers: int, values: Sequence[T]) -> tuple[T, ...]:
    """Return one value for each layer, from one for all or one for each."""
    return tuple(values) * layers if len(values) == 1 else tuple(values)[:layers]


def known_side(source: str | None, digests: str, image_size: int | None) -> int | None:
    """Return height and width of the images if the settings determine them."""
    return image_size or (MNIST_SIDE if source == "digits" or digests == "mnist" else None)


def layer_sizes(
    network: ConvolutionalLayers, height: int, width: int
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return height and width after each convolution, and after the pooling behind it.

    With zero padding, a stride rounds up; pooling drops an odd last row and column.

    Args:
        network: the layers.
        height: of the images, in pixels.
        width: of the images, in pixels.
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


def size_problem(network: ConvolutionalLayers, height: int, width: int) -> str | None:
    """Return why a network cannot be built for images of this size, or None if it can."""
    if network.conv_filters and (largest := max(network.conv_sizes)) > min(height, width):
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
