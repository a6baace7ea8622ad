"""Classifiers: a network as a function from images to class probabilities."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.data.dataset import SplitArrays
from tasks.model.device import load_tensorflow
from tasks.model.network import build_network
from tasks.model.prediction_table import to_frame
from tasks.records import Shape
from tasks.runtime.console import track
from tasks.runtime.errors import PipelineError
from tasks.settings import NetworkSettings

if TYPE_CHECKING:
    import keras
    import pandas as pd

Classifier = Callable[[np.ndarray], np.ndarray]
"""Function from images, uint8 [n, height, width], to class probabilities, float32 [n, classes];
each row adds up to 1."""


def compile_classifier(network: "keras.Model", shape: Shape) -> Classifier:
    """Compile a network that returns logits into a classifier of images.

    Args:
        network: from float32 [n, height, width, 1] in [0, 1] to logits.
        shape: of the images.
    """
    tf = load_tensorflow()
    pixels = tf.TensorSpec([None, shape.height, shape.width, 1], tf.uint8)

    @tf.function(input_signature=[pixels])  # type: ignore[untyped-decorator]
    def probabilities(images: Any) -> Any:
        return tf.nn.softmax(network(tf.cast(images, tf.float32) / 255.0))

    # Traced once: TensorFlow would warn of one trace for each network that is evaluated.
    probabilities = probabilities.get_concrete_function()

    def classify(images: np.ndarray) -> np.ndarray:
        result: np.ndarray = probabilities(tf.constant(images[..., np.newaxis])).numpy()
        return result

    return classify


def make_classifier(
    network: NetworkSettings, shape: Shape
) -> "tuple[keras.Sequential, Classifier]":
    """Return a network whose weights are still to be set, and its classifier."""
    model = build_network(network, shape, seed=0)
    return model, compile_classifier(model, shape)


def load_network(path: Path, shape: Shape) -> "keras.Model":
    """Load an exported model.

    Args:
        path: a `.keras` file; the model returns logits for images in [0, 1].
        shape: expected size of the images and number of classes.

    Raises:
        PipelineError: the model is for images of another size, or for other classes.
    """
    load_tensorflow()
    import keras

    network = keras.models.load_model(path, compile=False)
    _, height, width, _ = network.input_shape
    check_shape(path, (height, width, network.output_shape[-1]), shape)
    return network


def check_shape(path: Path, found: tuple[int, int, int], shape: Shape) -> None:
    """Check that an exported model is for these images.

    Args:
        path: of the model.
        found: height and width of the model's images, and its number of classes.
        shape: expected ones.

    Raises:
        PipelineError: they differ.
    """
    height, width, classes = found
    if found != (shape.height, shape.width, shape.classes):
        raise PipelineError(
            f"{path}: a model for {height} × {width} pixels and {classes} classes; the images have"
            f" {shape.height} × {shape.width} and {shape.classes}: keep other data sets in another"
            " folder with --artifacts"
        )


def load_classifier(path: Path, shape: Shape) -> Classifier:
    """Load and compile an exported model; see `load_network`."""
    return compile_classifier(load_network(path, shape), shape)


def predict(classify: Classifier, data: SplitArrays, batch: int, label: str) -> "pd.DataFrame":
    """Predict the classes of a split, batch by batch.

    Args:
        classify: classifier of images of this size.
        data: images, labels and rows.
        batch: images per call of the classifier.
        label: title of the progress bar.

    Returns:
        Table of predictions, one row per image, in order.
    """
    parts = []
    with track(label, len(data.images)) as update:
        for start in range(0, len(data.images), batch):
            part = data.images[start : start + batch]
            parts.append(classify(part))
            update(start + len(part), "")
    return to_frame(data.index, data.labels, np.concatenate(parts))
