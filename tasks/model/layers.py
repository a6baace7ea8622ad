"""Stage: checkpoint × a few images → the weights and outputs of its convolutional layers."""

import numpy as np

from tasks.data.dataset import read_split
from tasks.errors import PipelineError
from tasks.model.checkpoint import LIBRARIES, restore_network, write_tensors
from tasks.model.device import load_tensorflow
from tasks.model.network import block_ends
from tasks.records import Checkpoint, LayerOutputs, Shape, Split
from tasks.settings import NetworkSettings
from tasks.stage import stage
from tasks.store import Workspace


def check_rows(rows: tuple[int, ...], images: int) -> None:
    """Refuse images that are not in the test split.

    Raises:
        PipelineError: a row is beyond the end.
    """
    if beyond := [row for row in rows if row >= images]:
        raise PipelineError(
            f"--test-images {beyond[0]}: the test split has {images} images, numbered from 0"
        )


@stage(libraries=LIBRARIES)
def layer_outputs(
    work: Workspace,
    split: Split,
    shape: Shape,
    checkpoint: Checkpoint,
    network: NetworkSettings,
    test_images: tuple[int, ...],
) -> LayerOutputs:
    """Look into the network.

    Raises:
        PipelineError: an image is asked for that the split does not have.
    """
    check_rows(test_images, split.rows)
    tf = load_tensorflow()
    import keras

    model = restore_network(work.input(checkpoint.file), network, shape)
    ends = dict(enumerate(block_ends(network), start=1))
    looking_in = keras.Model(
        model.inputs, {n: model.get_layer(end).output for n, end in ends.items()}
    )
    images = read_split(work.input(split.file)).images[list(test_images)]
    outputs = looking_in(tf.cast(images[..., np.newaxis], tf.float32) / 255.0)

    tensors = {}
    for n, output in outputs.items():
        tensors[f"conv{n}/weights"] = np.asarray(model.get_layer(f"conv{n}").kernel)
        tensors[f"conv{n}/outputs"] = np.asarray(output)
    write_tensors(tensors, work.output("layers.safetensors"))
    return LayerOutputs(file=work.finished("layers.safetensors"), test_images=test_images)
