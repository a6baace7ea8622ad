"""A network as an ONNX graph: from grey values to class probabilities.

Keras writes ONNX with tf2onnx: the nodes of each export have other names, so equal weights give
other bytes, and there are half as many nodes again. The few kinds of layers are therefore written
one by one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras
    import onnx

OPSET = 17
IR_VERSION = 8
"""Versions of ONNX 1.12 (2022): old enough for runtimes of small machines."""

ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}

TO_NCHW = (0, 3, 1, 2)
TO_NHWC = (0, 2, 3, 1)
"""Orders of dimensions. ONNX keeps channels before height and width, Keras behind them."""


@dataclass
class Graph:
    """Nodes and weights of an ONNX graph under construction. Tensors are known by name."""

    nodes: "list[onnx.NodeProto]" = field(default_factory=list)
    weights: "list[onnx.TensorProto]" = field(default_factory=list)
    flattened: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Keras's height, width and channels of tensors that were flattened in ONNX's order."""

    def add(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add a node, and return the name of its output."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, values: Any) -> str:
        """Add an array, and return its name."""
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def variables(self, layer: "keras.Layer", *names: str) -> list[str]:
        """Add variables of a layer, and return their names."""
        return [self.constant(f"{layer.name}/{n}", getattr(layer, n).numpy()) for n in names]


def write_onnx(network: "keras.Sequential", path: Path, temperature: float = 1.0) -> None:
    """Write a network as ONNX; equal weights give equal bytes. See `to_onnx`."""
    path.write_bytes(to_onnx(network, temperature).SerializeToString(deterministic=True))


def to_onnx(network: "keras.Sequential", temperature: float = 1.0) -> "onnx.ModelProto":
    """Return a network as an ONNX model.

    Args:
        network: from float32 [n, height, width, 1] in [0, 1] to logits; its last layer with
            weights makes them.
        temperature: that logits are divided by.

    Returns:
        A model from `image` uint8 [n, height, width], grey values, to `probabilities` float32
        [n, classes] and `features` float32 [n, neurons], the input of the last layer with weights.

    Raises:
        NotImplementedError: the network has a layer of another kind.
    """
    from onnx import TensorProto, helper

    _, height, width, _ = network.input_shape
    last = next(layer for layer in reversed(network.layers) if layer.weights)
    graph = Graph()
    grey = graph.add("Cast", ["image"], "grey", to=TensorProto.FLOAT)
    scaled = graph.add("Div", [grey, graph.constant("white", np.float32(255))], "scaled")
    channel = graph.constant("channel", np.array([1]))
    output = graph.add("Unsqueeze", [scaled, channel], "pixels")
    for layer in network.layers:
        write = WRITERS.get(type(layer).__name__)
        if write is None:
            raise NotImplementedError(f"{layer.name}: no ONNX for {type(layer).__name__}")
        if layer is last:
            graph.add("Identity", [in_keras_order(graph, output)], "features")
        output = write(graph, layer, output)
    divisor = graph.constant("temperature", np.float32(temperature))
    graph.add("Softmax", [graph.add("Div", [output, divisor], "scores")], "probabilities", axis=-1)
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            network.name,
            [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", height, width])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
                for name, size in (
                    ("probabilities", network.output_shape[-1]),
                    ("features", last.input.shape[-1]),
                )
            ],
            graph.weights,
        ),
        producer_name="mnist-pipeline",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )


def convolution(graph: Graph, layer: "keras.Layer", source: str) -> str:
    """Add a convolution."""
    kernel = graph.constant(f"{layer.name}/kernel", layer.kernel.numpy().transpose(3, 2, 0, 1))
    bias = graph.variables(layer, "bias") if layer.use_bias else []
    where = window(layer, layer.kernel_size)
    return activated(graph, layer, graph.add("Conv", [source, kernel, *bias], layer.name, **where))


def max_pooling(graph: Graph, layer: "keras.Layer", source: str) -> str:
    """Add max-pooling."""
    return graph.add("MaxPool", [source], layer.name, **window(layer, layer.pool_size))


def average_pooling(graph: Graph, layer: "keras.Layer", source: str) -> str:
    """Add average-pooling."""
    return graph.add("AveragePool", [source], layer.name, **window(layer, layer.pool_size))


def window(layer: "keras.Layer", size: tuple[int, ...]) -> dict[str, list[int]]:
    """Return size, steps and zero padding of a layer's window as ONNX's attributes."""
    before, after = [], []
    for extent, of, step, out in zip(
        size, layer.input.shape[1:3], layer.strides, layer.output.shape[1:3], strict=True
    ):
        missing = max(0, (out - 1) * step + extent - of) if layer.padding == "same" else 0
        before.append(missing // 2)
        after.append(missing - missing // 2)
    return {"kernel_shape": [*size], "strides": [*layer.strides], "pads": [*before, *after]}


def normalisation(graph: Graph, layer: "keras.Layer", source: str) -> str:
    """Add batch normalisation with the running means of training."""
    values = graph.variables(layer, "gamma", "beta", "moving_mean", "moving_variance")
    return graph.add(
        "BatchNormalization", [source, *values], layer.name, epsilon=float(layer.epsilon)
    )


def flattening(graph: Graph, layer: "keras.Layer", source: str) -> str:
    """Add flattening; what follows has to mind the order of dimensions."""
    name = graph.add("Flatten", [source], layer.name)
    graph.flattened[name] = tuple(layer.input.shape[1:])
    return name


def in_keras_order(graph: Graph, source: str) -> str:
    """Return a flattened tensor with its values in Keras's order."""
    if source not in graph.flattened:
        return source
    order = [int(i) for i in rows_in_onnx_order(graph.flattened[source]).argsort()]
    return graph.add("Gather", [source, graph.constant("order", order)], f"{source}/keras", axis=1)


def rows_in_onnx_order(shape: tuple[int, ...]) -> np.ndarray:
    """Return the places of flattened values in Keras, in the order that ONNX has them."""
    rows: np.ndarray = np.arange(np.prod(shape)).reshape(shape).transpose(2, 0, 1).ravel()
    return rows


def dense(graph: Graph, layer: "keras.Layer", source: str) -> str:
    """Add a fully-connected layer."""
    kernel = layer.kernel.numpy()
    if source in graph.flattened:
        kernel = kernel[rows_in_onnx_order(graph.flattened[source])]
    values = [graph.constant(f"{layer.name}/kernel", kernel)]
    values += graph.variables(layer, "bias") if layer.use_bias else []
    return activated(graph, layer, graph.add("Gemm", [source, *values], layer.name))


def activation(graph: Graph, layer: "keras.Layer", source: str) -> str:
    """Add an activation that is a layer of its own."""
    return graph.add(ACTIVATIONS[layer.activation.__name__], [source], layer.name)


def activated(graph: Graph, layer: "keras.Layer", source: str) -> str:
    """Add the activation that is part of a layer, if it has one."""
    name = layer.activation.__name__
    if name == "linear":
        return source
    return graph.add(ACTIVATIONS[name], [source], f"{layer.name}/{name}")


def dropout(_graph: Graph, _layer: "keras.Layer", source: str) -> str:
    """Leave dropout out: it does nothing outside training."""
    return source


WRITERS: "dict[str, Callable[[Graph, keras.Layer, str], str]]" = {
    "Activation": activation,
    "AveragePooling2D": average_pooling,
    "BatchNormalization": normalisation,
    "Conv2D": convolution,
    "Dense": dense,
    "Dropout": dropout,
    "Flatten": flattening,
    "MaxPooling2D": max_pooling,
}
"""For each kind of layer, a function that adds it and returns the name of its output."""
