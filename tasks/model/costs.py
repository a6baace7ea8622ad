"""Costs of a network, counted from its settings without building it."""

from math import prod

from tasks.engine.models import Record
from tasks.geometry import for_each, layer_sizes
from tasks.records import Shape
from tasks.settings import NetworkSettings


class Costs(Record):
    """Size and work of a network."""

    parameters: int
    """Number of parameters, as in Keras's `count_params`."""
    multiply_adds: int
    """Multiply-add operations to classify one image."""
    activations: int
    """Evaluations of the activation function for one image."""


def count_costs(network: NetworkSettings, shape: Shape) -> Costs:
    """Count the costs of a network that can be built for images of this shape.

    A convolution takes filter size × channels multiply-adds for each output, a fully-connected
    layer inputs × neurons. Pooling, biases and activations take none.
    """
    layers = len(network.conv_filters)
    parameters = multiply_adds = activations = 0
    # Normalisation has a scale, a shift and two running statistics instead of the bias.
    per_output = 4 if network.normalisation else 1
    channels = 1
    sizes = layer_sizes(network, shape.height, shape.width)
    filters_and_sizes = zip(network.conv_filters, for_each(layers, network.conv_sizes), strict=True)
    for (filters, side), (convolved, pooled) in zip(filters_and_sizes, sizes, strict=True):
        weights = side * side * channels * filters
        parameters += weights + per_output * filters
        multiply_adds += weights * prod(convolved)
        activations += filters * prod(convolved if network.activation_first else pooled)
        channels = filters
    inputs = channels * prod(sizes[-1][1] if sizes else (shape.height, shape.width))
    for neurons in network.dense:
        parameters += inputs * neurons + per_output * neurons
        multiply_adds += inputs * neurons
        activations += neurons
        inputs = neurons
    parameters += inputs * shape.classes + shape.classes
    multiply_adds += inputs * shape.classes
    activations += shape.classes if network.logits_activation != "none" else 0
    return Costs(parameters=parameters, multiply_adds=multiply_adds, activations=activations)
