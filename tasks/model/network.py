"""Settings → the network, as a Keras model."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.geometry import for_each, size_problem
from tasks.records import Shape
from tasks.runtime.errors import PipelineError
from tasks.settings import NetworkSettings

if TYPE_CHECKING:
    import keras


def check_size(settings: NetworkSettings, shape: Shape) -> None:
    """Reject a network that needs larger images.

    Raises:
        PipelineError: a filter is larger than the image, or nothing of the image is left.
    """
    if fault := size_problem(settings, shape.height, shape.width):
        raise PipelineError(fault)


def build_network(settings: NetworkSettings, shape: Shape, seed: int) -> "keras.Sequential":
    """Build the network with its initial weights.

    By default, max-pooling comes before ReLU: the result is the same as after it, for a quarter
    of the work.

    Args:
        settings: layers and initializers.
        shape: size of the images and number of classes.
        seed: for the initial weights and dropout.

    Returns:
        A model from float32 [n, height, width, 1] in [0, 1] to logits float32 [n, classes].
        Its layers are named conv1, pool1, relu1, conv2, …, flatten, fc1, …; the last one with
        weights returns the logits.

    Raises:
        PipelineError: the images are too small.
    """
    import keras

    check_size(settings, shape)
    network = keras.Sequential(name="mnist")
    network.add(keras.Input((shape.height, shape.width, 1), name="image"))
    for layer in make_layers(settings, shape.classes, seed):
        network.add(layer)
    return network


def make_layers(
    settings: NetworkSettings, classes: int, seed: int
) -> "Iterator[keras.layers.Layer]":
    """Yield the layers in order."""
    from keras import layers

    convolutions, dense = len(settings.conv_filters), (*settings.dense, classes)
    seeds = np.random.SeedSequence(seed).generate_state(convolutions + 2 * len(dense))

    for n, filters in enumerate(settings.conv_filters, start=1):
        yield layers.Conv2D(
            filters,
            for_each(convolutions, settings.conv_sizes)[n - 1],
            for_each(convolutions, settings.conv_strides)[n - 1],
            padding="same",
            use_bias=not settings.normalisation,  # normalisation has its own
            name=f"conv{n}",
            **initial_values(settings, seeds[n - 1]),
        )
        yield from after_convolution(settings, n)
    yield layers.Flatten(name="flatten")
    for n, neurons in enumerate(dense, start=1):
        last = n == len(dense)
        yield layers.Dense(
            neurons,
            activation=None if last or settings.normalisation else settings.activation,
            use_bias=last or not settings.normalisation,
            dtype="float32" if last else None,  # with bfloat16, too
            name=f"fc{n}",
            **initial_values(settings, seeds[convolutions + n - 1]),
        )
        if not last:
            yield from after_dense(settings, n, int(seeds[convolutions + len(dense) + n - 1]))
    if settings.logits_activation != "none":
        yield layers.Activation(
            settings.logits_activation, dtype="float32", name=settings.logits_activation
        )


def initial_values(settings: NetworkSettings, seed: int) -> dict[str, Any]:
    """Return the initializers of a layer as keyword arguments."""
    from keras.initializers import Constant, HeNormal, TruncatedNormal

    kernel = (
        HeNormal(seed=int(seed))
        if settings.initial_weights == "he"
        else TruncatedNormal(stddev=settings.initial_sigma, seed=int(seed))
    )
    return {
        "kernel_initializer": kernel,
        "bias_initializer": Constant(settings.initial_bias),
    }


def after_convolution(settings: NetworkSettings, n: int) -> "list[keras.layers.Layer]":
    """Return pooling, normalisation and activation of convolutional layer n, from 1."""
    from keras import layers

    kind = for_each(len(settings.conv_filters), settings.pooling)[n - 1]
    pools = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}
    pool = [] if kind == "none" else [pools[kind](2, name=f"pool{n}")]
    normalise = [layers.BatchNormalization(name=f"norm{n}")] if settings.normalisation else []
    activate = [
        *normalise,
        layers.Activation(settings.activation, name=f"{settings.activation}{n}"),
    ]
    return [*activate, *pool] if settings.activation_first else [*pool, *activate]


def after_dense(settings: NetworkSettings, n: int, seed: int) -> "list[keras.layers.Layer]":
    """Return normalisation, activation and dropout after fully-connected layer n, from 1.

    Without normalisation, the activation is part of the layer itself.
    """
    from keras import layers

    after: list[keras.layers.Layer] = []
    if settings.normalisation:
        after.append(layers.BatchNormalization(name=f"fc{n}_norm"))
        after.append(layers.Activation(settings.activation, name=f"fc{n}_{settings.activation}"))
    if settings.dropout:
        after.append(layers.Dropout(settings.dropout, seed=seed, name=f"fc{n}_dropout"))
    return after
