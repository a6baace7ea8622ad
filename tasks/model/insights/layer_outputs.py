"""Stage: network × a few images → the weights and outputs of its layers."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.data.dataset import read_split
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.checkpoint import restore_network, write_tensors
from tasks.model.device import load_tensorflow
from tasks.records import LayerOutputs, Network, Split
from tasks.runtime.errors import PipelineError
from tasks.settings import FigureSettings

if TYPE_CHECKING:
    import keras


def layer_tensors(network: "keras.Sequential") -> dict[str, Any]:
    """Return the symbolic output of each convolutional and fully-connected layer.

    The output is taken after the pooling, normalisation, activation and dropout that follow the
    layer, but before flattening.

    Returns:
        Tensors by name of the layer, in order; the last one is the logits.
    """
    from keras import layers

    tensors: dict[str, Any] = {}
    name = ""
    for layer in network.layers:
        if isinstance(layer, (layers.Conv2D, layers.Dense)):
            name = layer.name
            tensors[name] = layer.output
        elif name and len(layer.output.shape) == len(tensors[name].shape):
            tensors[name] = layer.output
    return tensors


def rows_to_show(rows: tuple[int, ...], images: int) -> tuple[int, ...]:
    """Return the images to show: of the default ones, those that the test split has.

    Args:
        rows: images that were asked for.
        images: number of images in the test split.

    Raises:
        PipelineError: a row is not below `images`, and is none of the default ones.
    """
    if rows == FigureSettings().test_images:
        return tuple(row for row in rows if row < images)
    if beyond := [row for row in rows if row >= images]:
        raise PipelineError(
            f"--test-images {beyond[0]}: the test split has {images} images, numbered from 0"
        )
    return rows


@stage()
def layer_outputs(
    work: Workspace,
    split: Split,
    network: Network,
    test_images: tuple[int, ...],
) -> LayerOutputs:
    """Compute the outputs of all layers for some test images.

    Raises:
        PipelineError: a row is not in the split.
    """
    rows = rows_to_show(test_images, split.rows)
    tf = load_tensorflow()
    import keras

    model = restore_network(network, work.input(network.checkpoint))
    symbolic = layer_tensors(model)
    images = read_split(work.input(split.file)).images[list(rows)]
    outputs = keras.Model(model.inputs[0], symbolic)(
        tf.cast(images[..., np.newaxis], tf.float32) / 255.0
    )

    tensors = {}
    for name in symbolic:
        tensors[f"{name}/outputs"] = np.asarray(outputs[name])
        if (kernel := model.get_layer(name).kernel).ndim == 4:
            tensors[f"{name}/weights"] = np.asarray(kernel)
    write_tensors(tensors, work.output("layers.safetensors"))
    return LayerOutputs(
        file=work.finished("layers.safetensors"), layers=tuple(symbolic), test_images=rows
    )
