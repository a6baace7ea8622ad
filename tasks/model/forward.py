"""The network's forward pass in training, with less to do than Keras's own."""

from typing import TYPE_CHECKING, Any

from tasks.model.device import load_tensorflow

if TYPE_CHECKING:
    import keras


def forward(network: "keras.Sequential", images: Any) -> Any:
    """What `network(images, training=True)` gives, within rounding.

    Adding a bias to all outputs of a filter moves their maximum by as much. So the biases of
    convolutional layers that max-pooling follows are added after it, to a quarter of the
    outputs, and their gradients are sums of a quarter: 3 to 8 % less processor time for an
    iteration of the tutorial's network (benchmarks/NOTES.md).

    Args:
        network: from build_network.
        images: float32 [n, height, width, 1].

    Returns:
        Logits, float32 [n, classes].
    """
    from keras import layers

    bias_add = load_tensorflow().nn.bias_add
    x, bias = images, None
    for layer, following in zip(network.layers, [*network.layers[1:], None], strict=True):
        if (
            isinstance(layer, layers.Conv2D)
            and layer.use_bias
            and isinstance(following, layers.MaxPooling2D)
        ):
            x, bias = layer.convolution_op(x, layer.kernel), layer.bias
        elif bias is not None:
            x, bias = bias_add(layer(x), bias), None
        else:
            x = layer(x, training=True)
    return x
