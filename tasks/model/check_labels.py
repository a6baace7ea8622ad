"""Stage: network × splits → labels that the network contradicts with confidence."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.dataset import read_split
from tasks.engine.models import FileRef
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.checkpoint import read_tensors, set_weights
from tasks.model.compiled import reuse_compiled
from tasks.model.device import load_tensorflow
from tasks.model.prediction_table import class_probabilities, read_predictions
from tasks.model.predictions import make_classifier, predict
from tasks.records import LabelCheck, LabelIssues, Network, Splits
from tasks.runtime.console import log
from tasks.settings import EvaluationSettings

if TYPE_CHECKING:
    import pandas as pd

SURE = 0.5
"""Smallest probability of a class that is suggested: more than of all others together."""


def mean_self_confidence(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return for each class the mean probability that its images are given of being in it.

    Args:
        labels: uint8 [n].
        probabilities: float32 [n, classes].

    Returns:
        float64 [classes]; infinite for a class without images.
    """
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, own, minlength=classes)
    means: np.ndarray = np.divide(sums, counts, out=np.full(classes, np.inf), where=counts > 0)
    return means


def suggest_labels(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the class that each image is confidently counted in, by confident learning.

    An image is counted in the most probable of the classes whose probability reaches the mean
    self-confidence of the class: C. G. Northcutt, L. Jiang, I. L. Chuang, "Confident learning:
    estimating uncertainty in dataset labels", JAIR 70 (2021), equations 1 and 2. It must reach
    `SURE`, too: the thresholds of a network that has learned little mean nothing.

    Args:
        labels: uint8 [n].
        probabilities: float32 [n, classes].

    Returns:
        int64 [n]; -1 for an image that is counted in no class.
    """
    thresholds = np.maximum(mean_self_confidence(labels, probabilities), SURE)
    reached = np.where(probabilities >= thresholds, probabilities, -1.0)
    best = reached.argmax(axis=1)
    return np.where(reached.max(axis=1) >= 0, best, -1)


def doubtful_labels(split: str, predictions: "pd.DataFrame") -> "pd.DataFrame":
    """Return the images of a split that are confidently counted in another class than labelled.

    Args:
        split: name of the split.
        predictions: see `prediction_table.to_frame`.

    Returns:
        Columns as in `LabelIssues.file`.
    """
    import pandas as pd

    labels = predictions["label"].to_numpy()
    probabilities = class_probabilities(predictions)
    suggested = suggest_labels(labels, probabilities)
    rows = np.flatnonzero((suggested >= 0) & (suggested != labels))
    return pd.DataFrame(
        {
            "split": np.full(len(rows), split, object),
            "index": predictions["index"].to_numpy()[rows],
            "label": labels[rows],
            "suggested": suggested[rows].astype(np.uint8),
            "label_probability": probabilities[rows, labels[rows]],
            "suggested_probability": probabilities[rows, suggested[rows]],
        }
    )


SCHEMA = pa.schema(
    [
        pa.field("split", pa.string()),
        pa.field("index", pa.int32()),
        pa.field("label", pa.uint8()),
        pa.field("suggested", pa.uint8()),
        pa.field("label_probability", pa.float32()),
        pa.field("suggested_probability", pa.float32()),
    ]
)


@stage()
def check_labels(
    work: Workspace,
    splits: Splits,
    network: Network,
    settings: EvaluationSettings,
    validation: FileRef,
    test: FileRef,
) -> LabelIssues:
    """Find labels that the network contradicts with confidence: candidates for wrong labels.

    The network has seen the training images with their labels, and may have learned wrong labels
    by heart: among these, fewer wrong labels are found than there are.
    """
    import pandas as pd

    load_tensorflow()
    with reuse_compiled(make_classifier, network.layers, network.shape) as (model, classify):
        set_weights(model, read_tensors(work.input(network.checkpoint)))
        data = read_split(work.input(splits.train.file))
        trained = predict(classify, data, settings.evaluation_batch, "checking train")
    predictions = {
        "train": trained,
        "validation": read_predictions(work.input(validation)),
        "test": read_predictions(work.input(test)),
    }
    tables, checks = [], []
    for name, table in predictions.items():
        tables.append(doubtful_labels(name, table))
        checks.append(
            LabelCheck(
                name=name,
                images=len(table),
                correct=int((table["label"] == table["predicted"]).sum()),
                doubtful=len(tables[-1]),
            )
        )
    found = pd.concat(tables, ignore_index=True)
    margin = found["label_probability"] - found["suggested_probability"]
    found = found.iloc[np.argsort(margin.to_numpy(), kind="stable")]
    table = pa.Table.from_pandas(found, SCHEMA, preserve_index=False).replace_schema_metadata()
    pq.write_table(table, work.output("label-issues.parquet"), compression="zstd")
    if len(found):
        log.info(
            f"data: the network contradicts {len(found):,} of"
            f" {sum(check.images for check in checks):,} labels with confidence; see the report"
        )
    return LabelIssues(splits=tuple(checks), file=work.finished("label-issues.parquet"))
