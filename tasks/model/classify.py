"""Stage: exported model × split → predictions; and the same for images from anywhere."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.dataset import read_split
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.checkpoint import LIBRARIES
from tasks.model.device import load_tensorflow
from tasks.model.evaluate import Classifier, compile_classifier, predict
from tasks.records import Classification, Model, Shape, Split
from tasks.runtime.errors import PipelineError
from tasks.settings import EvaluationSettings

if TYPE_CHECKING:
    import keras


def load_network(path: Path, shape: Shape) -> "keras.Model":
    """An exported model.

    Args:
        path: a `.keras` file that gives logits for images in [0, 1].
        shape: of the images that it will be asked about.

    Raises:
        PipelineError: the model is for other images, or for another number of classes.
    """
    load_tensorflow()
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
    return network


def load_classifier(path: Path, shape: Shape) -> Classifier:
    """An exported model, ready to be asked; see `load_network`."""
    return compile_classifier(load_network(path, shape), shape.height, shape.width)


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
    probabilities = predict(ask, data.images, settings.evaluation_batch, "classifying")
    predicted = probabilities.argmax(axis=1).astype(np.uint8)
    table = pa.table({"index": data.index, "label": data.labels, "predicted": predicted})
    pq.write_table(table, work.output("predictions.parquet"), compression="zstd")
    matrix = confusion_matrix(data.labels, predicted, labels=range(shape.classes)).tolist()
    return Classification(
        correct=int((predicted == data.labels).sum()),
        total=split.rows,
        confusion=matrix,
        predictions=work.finished("predictions.parquet"),
    )
