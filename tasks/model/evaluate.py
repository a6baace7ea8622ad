"""Stage: checkpoint × split → predictions and metrics."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.dataset import read_split
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.checkpoint import LIBRARIES, read_tensors, set_weights
from tasks.model.compiled import borrowed
from tasks.model.device import load_tensorflow
from tasks.model.network import build_network
from tasks.records import Checkpoint, Evaluation, Shape, Split
from tasks.runtime.console import log, track
from tasks.settings import EvaluationSettings, NetworkSettings

if TYPE_CHECKING:
    import keras


Classifier = Callable[[np.ndarray], np.ndarray]
"""From images, uint8 [n, height, width], to class probabilities, float32 [n, classes]; each row
adds up to 1."""


def compile_classifier(network: "keras.Model", height: int, width: int) -> Classifier:
    """A network that gives logits for images in [0, 1], ready to be asked about bytes."""
    tf = load_tensorflow()
    pixels = tf.TensorSpec([None, height, width, 1], tf.uint8)

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
    """A network to put weights into, and what asks it."""
    model = build_network(network, shape, seed=0)
    return model, compile_classifier(model, shape.height, shape.width)


def predict(
    classify: Classifier, images: np.ndarray, batch: int, label: str = "evaluating"
) -> np.ndarray:
    """Class probabilities, batch by batch.

    Args:
        classify: asks the network.
        images: uint8 [n, height, width].
        batch: images at a time.
        label: what progress is shown under.

    Returns:
        float32 [n, classes]; each row adds up to 1.
    """
    parts = []
    with track(label, len(images)) as update:
        for start in range(0, len(images), batch):
            part = images[start : start + batch]
            parts.append(classify(part))
            update(start + len(part), "")
    return np.concatenate(parts)


def to_table(index: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> pa.Table:
    """Predictions as an Arrow table.

    Args:
        index: int32 [n], row in the original file.
        labels: uint8 [n].
        probabilities: float32 [n, classes].

    Returns:
        Columns `index`, `label`, `predicted`, `p0`, `p1`, …
    """
    columns = {
        "index": index,
        "label": labels,
        "predicted": probabilities.argmax(axis=1).astype(np.uint8),
    }
    for c in range(probabilities.shape[1]):
        columns[f"p{c}"] = np.ascontiguousarray(probabilities[:, c])
    return pa.table(columns)


@stage(libraries=(*LIBRARIES, "pyarrow", "scikit-learn"), label="evaluate-{iteration}")
def evaluate(
    work: Workspace,
    split: Split,
    shape: Shape,
    checkpoint: Checkpoint,
    network: NetworkSettings,
    settings: EvaluationSettings,
    iteration: int,
) -> Evaluation:
    """Classify every image of a split.

    The iteration is the checkpoint's; it is named so that the run can be called by it before
    there is a checkpoint.
    """
    from sklearn.metrics import confusion_matrix

    load_tensorflow()
    data = read_split(work.input(split.file))
    with borrowed(make_classifier, network, shape) as (model, classify):
        set_weights(model, read_tensors(work.input(checkpoint.file)))
        probabilities = predict(classify, data.images, settings.evaluation_batch)
    table = to_table(data.index, data.labels, probabilities)
    pq.write_table(table, work.output("predictions.parquet"), compression="zstd")

    predicted = table["predicted"].to_numpy()
    matrix = confusion_matrix(data.labels, predicted, labels=range(shape.classes)).tolist()
    correct = int((predicted == data.labels).sum())
    name = split.file.name.removesuffix(".parquet").capitalize()
    log.info(f"Accuracy on {name}-Set: {correct / split.rows:.1%} ({correct} / {split.rows})")
    metrics = {
        "iteration": iteration,
        "correct": correct,
        "total": split.rows,
        "accuracy": correct / split.rows,
        "confusion_matrix": matrix,
    }
    work.output("metrics.json").write_text(json.dumps(metrics, indent=1))
    return Evaluation(
        iteration=iteration,
        correct=correct,
        total=split.rows,
        confusion=matrix,
        predictions=work.finished("predictions.parquet"),
        metrics=work.finished("metrics.json"),
    )
