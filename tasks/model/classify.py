"""Stage: exported model × split → predictions; and the same for images from anywhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.console import track
from tasks.data.dataset import read_split
from tasks.errors import PipelineError
from tasks.model.checkpoint import LIBRARIES
from tasks.model.device import load_tensorflow
from tasks.records import Classification, Model, Shape, Split
from tasks.settings import EvaluationSettings
from tasks.stage import stage
from tasks.store import Workspace

Classifier = Callable[[np.ndarray], np.ndarray]
"""From images, uint8 [n, height, width], to class probabilities, float32 [n, classes]."""


def load_classifier(path: Path, shape: Shape) -> Classifier:
    """A model file, ready to be asked.

    Args:
        path: a `.keras` file that gives logits for images in [0, 1].
        shape: of the images that it will be asked about.

    Raises:
        PipelineError: the model is for other images, or for another number of classes.
    """
    tf = load_tensorflow()
    import keras

    network = keras.models.load_model(path, compile=False)
    _, height, width, _ = network.input_shape
    classes = network.output_shape[-1]
    if (height, width, classes) != (shape.height, shape.width, shape.classes):
        raise PipelineError(
            f"{path}: a model for {height} × {width} pixels and {classes} classes; the images have"
            f" {shape.height} × {shape.width} and {shape.classes}: keep other data sets in another"
            " folder with --artifacts"
        )
    pixels = tf.TensorSpec([None, height, width], tf.uint8)

    @tf.function(input_signature=[pixels])  # type: ignore[untyped-decorator]
    def probabilities(images: Any) -> Any:
        return tf.nn.softmax(network(tf.cast(images[..., tf.newaxis], tf.float32) / 255.0))

    def classify_images(images: np.ndarray) -> np.ndarray:
        result: np.ndarray = probabilities(images).numpy()
        return result

    return classify_images


@stage(libraries=(*LIBRARIES, "pyarrow", "scikit-learn"))
def classify(
    work: Workspace, split: Split, shape: Shape, model: Model, settings: EvaluationSettings
) -> Classification:
    """Classify every image of a split with an exported model.

    The model counts by its bytes: a challenger that has become the champion is not asked again,
    and a champion is asked again when the split has changed.
    """
    from sklearn.metrics import confusion_matrix

    ask = load_classifier(work.input(model.file), shape)
    data = read_split(work.input(split.file))
    parts = []
    with track("classifying", split.rows) as update:
        for start in range(0, split.rows, settings.evaluation_batch):
            images = data.images[start : start + settings.evaluation_batch]
            parts.append(ask(images).argmax(axis=1).astype(np.uint8))
            update(start + len(images), "")
    predicted = np.concatenate(parts)
    table = pa.table({"index": data.index, "label": data.labels, "predicted": predicted})
    pq.write_table(table, work.output("predictions.parquet"), compression="zstd")
    matrix = confusion_matrix(data.labels, predicted, labels=range(shape.classes)).tolist()
    return Classification(
        correct=int((predicted == data.labels).sum()),
        total=split.rows,
        confusion=matrix,
        predictions=work.finished("predictions.parquet"),
    )
