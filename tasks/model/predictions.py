"""Predictions: class probabilities of images, as a table and as counts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.dataset import SplitArrays
from tasks.model.device import load_tensorflow
from tasks.model.network import build_network
from tasks.records import Shape
from tasks.runtime.console import track
from tasks.runtime.errors import PipelineError
from tasks.settings import NetworkSettings

if TYPE_CHECKING:
    import keras
    import pandas as pd

CLASSES = ("index", "label", "predicted")
"""Columns of a table of predictions without the probabilities."""

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
    classes = network.output_shape[-1]
    if (height, width, classes) != (shape.height, shape.width, shape.classes):
        raise PipelineError(
            f"{path}: a model for {height} × {width} pixels and {classes} classes; the images have"
            f" {shape.height} × {shape.width} and {shape.classes}: keep other data sets in another"
            " folder with --artifacts"
        )
    return network


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
        One row per image, in order: `index` int32 (row in the original file), `label` uint8,
        `predicted` uint8, and the probabilities `p0`, `p1`, … float32.
    """
    parts = []
    with track(label, len(data.images)) as update:
        for start in range(0, len(data.images), batch):
            part = data.images[start : start + batch]
            parts.append(classify(part))
            update(start + len(part), "")
    return to_frame(data.index, data.labels, np.concatenate(parts))


def to_frame(index: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> "pd.DataFrame":
    """Return the table of predictions that `predict` documents.

    Args:
        index: int32 [n], row in the original file.
        labels: uint8 [n].
        probabilities: float32 [n, classes].
    """
    import pandas as pd

    return pd.DataFrame(
        {
            "index": index,
            "label": labels,
            "predicted": probabilities.argmax(axis=1).astype(np.uint8),
            **{f"p{c}": probabilities[:, c] for c in range(probabilities.shape[1])},
        }
    )


def write_predictions(predictions: "pd.DataFrame", path: Path) -> None:
    """Write a table of predictions as Parquet; equal tables give equal bytes."""
    # Not `DataFrame.to_parquet`: it would write the version of pandas, and NaN as missing.
    table = pa.table({name: column.to_numpy() for name, column in predictions.items()})
    pq.write_table(table, path, compression="zstd")


def read_predictions(path: Path, columns: Sequence[str] | None = None) -> "pd.DataFrame":
    """Read a table of predictions.

    Args:
        path: a file of `write_predictions`.
        columns: columns to read; None for all.
    """
    # ParquetFile: `read_table` would take columns from the names of the folders, too.
    frame: pd.DataFrame = pq.ParquetFile(path).read(columns and list(columns)).to_pandas()
    return frame


@dataclass(frozen=True)
class Counts:
    """Numbers of right and wrong predictions."""

    correct: int
    total: int
    confusion: tuple[tuple[int, ...], ...]
    """Images by class: rows true, columns predicted."""


def count(predictions: "pd.DataFrame", classes: int) -> Counts:
    """Count right and wrong predictions.

    Args:
        predictions: with the columns `label` and `predicted`.
        classes: number of classes, whether or not each occurs.
    """
    from sklearn.metrics import confusion_matrix

    true, predicted = predictions["label"], predictions["predicted"]
    matrix = confusion_matrix(true, predicted, labels=range(classes)).tolist()
    return Counts(
        correct=int((predicted == true).sum()),
        total=len(predictions),
        confusion=tuple(map(tuple, matrix)),
    )
