"""Settings → the network, as a Keras model."""

from typing import TYPE_CHECKING

import numpy as np

from tasks.errors import PipelineError
from tasks.records import Shape
from tasks.settings import NetworkSettings

if TYPE_CHECKING:
    import keras


def check_size(settings: NetworkSettings, shape: Shape) -> None:
    """Refuse a network that these images are too small for.

    Raises:
        PipelineError: pooling would leave nothing of the image.
    """
    halvings = len(settings.conv_filters)
    if min(shape.height, shape.width) >> halvings == 0:
        raise PipelineError(
            f"--conv-filters: {halvings} layers halve an image of"
            f" {shape.height} × {shape.width} pixels down to nothing; use fewer"
        )


def build_network(settings: NetworkSettings, shape: Shape, seed: int) -> "keras.Sequential":
    """The network, with its weights as they are before training.

    Max-pooling comes before ReLU: the result is the same as after it, for a quarter of
    the work.

    Args:
        settings: layers and initial values.
        shape: size of the images and number of classes.
        seed: of the initial weights.

    Returns:
        A model from float32 [n, height, width, 1] in [0, 1] to logits float32 [n, classes].
        Its layers are called conv1, pool1, relu1, …, flatten, fc1, …, the last one the logits.
    """
    import keras
    from keras import layers

    check_size(settings, shape)
    weighted = len(settings.conv_filters) + len(settings.dense) + 1
    seeds = iter(np.random.SeedSequence(seed).generate_state(weighted))

    def initial_values() -> dict[str, keras.initializers.Initializer]:
        return {
            "kernel_initializer": keras.initializers.TruncatedNormal(
                stddev=settings.initial_sigma, seed=int(next(seeds))
            ),
            "bias_initializer": keras.initializers.Constant(settings.initial_bias),
        }

    network = keras.Sequential(name="mnist")
    network.add(keras.Input((shape.height, shape.width, 1), name="image"))
    for n, (filters, size) in enumerate(
        zip(settings.conv_filters, settings.conv_sizes, strict=True), start=1
    ):
        network.add(
            layers.Conv2D(filters, size, padding="same", name=f"conv{n}", **initial_values())
        )
        network.add(layers.MaxPooling2D(2, name=f"pool{n}"))
        network.add(layers.ReLU(name=f"relu{n}"))
    network.add(layers.Flatten(name="flatten"))
    for n, neurons in enumerate(settings.dense, start=1):
        network.add(layers.Dense(neurons, activation="relu", name=f"fc{n}", **initial_values()))
    n = len(settings.dense) + 1
    network.add(layers.Dense(shape.classes, name=f"fc{n}", **initial_values()))
    return network
