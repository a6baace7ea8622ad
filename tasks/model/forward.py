"""The forward pass of training: the network's, with less work."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.model.device import load_tensorflow

if TYPE_CHECKING:
    import keras

PLACES = 1
"""Distinguishes the seed of the places from other seeds."""


def forward(network: "keras.Sequential", images: Any, places: Any = None) -> Any:
    """Return `network(images, training=True)`, within rounding, with less work.

    Adding a bias to all outputs of a filter raises their maximum by the same amount. So the bias
    of a convolution before max-pooling is added after the pooling: to a quarter of the outputs,
    with a gradient that sums a quarter of the terms. An iteration of the tutorial's network takes
    3 to 8 % less processor time (benchmarks/NOTES.md).

    Args:
        network: from `build_network`.
        images: float32 [n, height, width, 1].
        places: int32 [layers, 2], 0 or 1 down and across: which of four outputs of each of the
            `sampled_layers` stands for their maximum; None for max-pooling.

    Returns:
        Logits, float32 [n, classes].
    """
    from keras import layers

    tf = load_tensorflow()
    cast, bias_add = tf.cast, tf.nn.bias_add
    sampled = {} if places is None else sampled_layers(network)
    x, bias = images, None
    for layer, following in zip(network.layers, [*network.layers[1:], None], strict=True):
        if layer in sampled:
            x = convolve_at(x, layer, places[list(sampled).index(layer)])
        elif layer in sampled.values():
            continue
        elif (
            isinstance(layer, layers.Conv2D)
            and layer.use_bias
            and isinstance(following, layers.MaxPooling2D)
        ):
            x, kernel, bias = (cast(v, layer.compute_dtype) for v in (x, layer.kernel, layer.bias))
            x = layer.convolution_op(x, kernel)
        elif bias is not None:
            x, bias = bias_add(layer(x), bias), None
        else:
            x = layer(x, training=True)
    return x


def convolve_at(images: Any, layer: "keras.layers.Conv2D", place: Any) -> Any:
    """Return one of each 2 × 2 outputs of a convolutional layer.

    Args:
        images: float tensor [n, height, width, channels].
        layer: with "same" padding.
        place: int32 [2]: 0 or 1 down, and 0 or 1 across.

    Returns:
        As large as after max-pooling, for a quarter of the work of the convolution.
    """
    tf = load_tensorflow()
    stride, (size, _) = layer.strides[0], layer.kernel_size
    images = tf.cast(images, layer.compute_dtype)
    sides = images.shape[1:3]
    counts = [-(-side // stride) for side in sides]
    missing = [
        max((n - 1) * stride + size - side, 0) for n, side in zip(counts, sides, strict=True)
    ]
    around = [(0, 0), *((m // 2, m - m // 2) for m in missing), (0, 0)]
    seen = [(n // 2 - 1) * 2 * stride + size for n in counts]
    start = tf.concat([[0], place * stride, [0]], axis=0)
    part = tf.slice(tf.pad(images, around), start, [-1, *seen, -1])
    part.set_shape([images.shape[0], *seen, images.shape[3]])
    outputs = tf.nn.conv2d(part, tf.cast(layer.kernel, part.dtype), 2 * stride, "VALID")
    if not layer.use_bias:
        return outputs
    return tf.nn.bias_add(outputs, tf.cast(layer.bias, part.dtype))


def sampled_layers(
    network: "keras.Sequential",
) -> "dict[keras.layers.Layer, keras.layers.Layer]":
    """Return the convolutional layers with max-pooling, but the first layer, and their poolings.

    The first layer takes little time, and the accuracy suffers if its outputs are sampled.
    """
    from keras import layers

    first, *others = [layer for layer in network.layers if isinstance(layer, layers.Conv2D)]
    convolution, found = first, {}
    for layer in network.layers:
        if isinstance(layer, layers.Conv2D):
            convolution = layer
        elif isinstance(layer, layers.MaxPooling2D) and convolution in others:
            found[convolution] = layer
    return found


def choose_places(layers: int, iteration: Any, seed: int) -> Any:
    """Draw the places of an iteration, int32 [layers, 2]; see `forward`.

    Args:
        layers: number of `sampled_layers`.
        iteration: int64 scalar tensor.
        seed: of the training.
    """
    tf = load_tensorflow()
    key = int(np.random.SeedSequence((seed, PLACES)).generate_state(1)[0])
    return tf.random.stateless_uniform([layers, 2], [key, iteration], 0, 2, tf.int32)
