"""What a network costs: counted from its settings, without building it."""

from math import prod

from tasks.engine.models import Record
from tasks.geometry import for_each, layer_sizes
from tasks.records import Shape
from tasks.settings import NetworkSettings


class Costs(Record):
    """Of a network."""

    parameters: int
    """All numbers that are kept of it, as Keras counts them."""
    multiply_adds: int
    """Multiplications that are added up, to classify one image."""
    activations: int
    """Values that go through the activation, for one image."""


def count_costs(network: NetworkSettings, shape: Shape) -> Costs:
    """The costs of a network that can be built for images of this shape.

    A convolution takes a filter's size times its channels of multiply-adds for each of its
    outputs, a fully-connected layer inputs times neurons. Pooling, biases and activations
    multiply nothing.
    """
    layers = len(network.conv_filters)
    parameters = multiply_adds = activations = 0
    # Normalisation has a scale, a shift and two running means instead of the bias.
    kept_beside = 4 if network.normalisation else 1
    channels = 1
    sizes = layer_sizes(network, shape.height, shape.width)
    filters_and_sizes = zip(network.conv_filters, for_each(layers, network.conv_sizes), strict=True)
    for (filters, side), (convolved, pooled) in zip(filters_and_sizes, sizes, strict=True):
        weights = side * side * channels * filters
        parameters += weights + kept_beside * filters
        multiply_adds += weights * prod(convolved)
        activations += filters * prod(convolved if network.activation_first else pooled)
        channels = filters
    inputs = channels * prod(sizes[-1][1])
    for neurons in network.dense:
        parameters += inputs * neurons + kept_beside * neurons
        multiply_adds += inputs * neurons
        activations += neurons
        inputs = neurons
    parameters += inputs * shape.classes + shape.classes
    multiply_adds += inputs * shape.classes
    activations += shape.classes if network.logits_activation != "none" else 0
    return Costs(parameters=parameters, multiply_adds=multiply_adds, activations=activations)
