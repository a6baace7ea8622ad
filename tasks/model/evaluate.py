"""Stages: network × held-out splits → evaluation; exported model × split → classification."""

from typing import TYPE_CHECKING

from tasks.data.dataset import read_split
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.checkpoint import read_tensors, set_weights
from tasks.model.compiled import reuse_compiled
from tasks.model.device import load_tensorflow
from tasks.model.prediction_table import CLASSES, count, write_predictions
from tasks.model.predictions import Classifier, load_classifier, make_classifier, predict
from tasks.records import Classification, Evaluation, Model, Network, Shape, Split
from tasks.runtime.console import log
from tasks.settings import EvaluationSettings

if TYPE_CHECKING:
    import pandas as pd


@stage(label="evaluate-{iteration}")
def evaluate(
    work: Workspace,
    validation: Split,
    test: Split,
    network: Network,
    settings: EvaluationSettings,
    class_names: tuple[str, ...],
    iteration: int,
) -> Evaluation:
    """Classify every image of the validation split and of the test split.

    Args:
        work: inputs and outputs.
        validation: images and labels to choose settings by.
        test: images and labels to report.
        network: the network that classifies.
        settings: images per batch.
        class_names: in the order of the labels.
        iteration: the network's; an argument because the label of the run needs it before the
            network exists.
    """
    load_tensorflow()
    with reuse_compiled(make_classifier, network.layers, network.shape) as (model, classifier):
        set_weights(model, read_tensors(work.input(network.checkpoint)))
        tables = {
            name: classify_split(work, classifier, split, settings, f"evaluating {name}")
            for name, split in (("validation", validation), ("test", test))
        }
    found = {}
    for name, table in tables.items():
        file = "predictions.parquet" if name == "test" else f"{name}-predictions.parquet"
        write_predictions(table, work.output(file), class_names)
        found[name] = summarise(work, table, network.shape, file)
        accuracy = f"{found[name].correct / found[name].total:.1%}"
        counts = f"({found[name].correct} / {found[name].total})"
        log.info(f"Accuracy on {name.capitalize()}-Set: {accuracy} {counts}")
    return Evaluation(iteration=iteration, **found)


@stage()
def classify(
    work: Workspace, split: Split, shape: Shape, model: Model, settings: EvaluationSettings
) -> Classification:
    """Classify every image of a split with an exported model.

    The key contains the digest of the model file: a challenger promoted to champion is a hit, and
    a champion is classified again when the split has changed.
    """
    classifier = load_classifier(work.input(model.file), shape)
    predictions = classify_split(work, classifier, split, settings, "classifying")
    write_predictions(predictions[list(CLASSES)], work.output("predictions.parquet"))
    return summarise(work, predictions, shape, "predictions.parquet")


def classify_split(
    work: Workspace, classifier: Classifier, split: Split, settings: EvaluationSettings, label: str
) -> "pd.DataFrame":
    """Return the table of predictions for a split."""
    return predict(classifier, read_split(work.input(split.file)), settings.evaluation_batch, label)


def summarise(
    work: Workspace, predictions: "pd.DataFrame", shape: Shape, file: str
) -> Classification:
    """Return the record of predictions that have been written to a file."""
    counts = count(predictions, shape.classes)
    return Classification(
        correct=counts.correct,
        total=counts.total,
        confusion=counts.confusion,
        predictions=work.finished(file),
    )
