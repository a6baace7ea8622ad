"""Stages: checkpoint × split → evaluation; exported model × split → classification."""

from tasks.data.dataset import read_split
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.model.checkpoint import LIBRARIES, read_tensors, set_weights
from tasks.model.compiled import reuse_compiled
from tasks.model.device import load_tensorflow
from tasks.model.prediction_table import CLASSES, count, write_predictions
from tasks.model.predictions import load_classifier, make_classifier, predict
from tasks.records import Checkpoint, Classification, Evaluation, Model, Shape, Split
from tasks.runtime.console import log
from tasks.settings import EvaluationSettings, NetworkSettings


@stage(libraries=(*LIBRARIES, "pandas", "pyarrow", "scikit-learn"), label="{what}-{iteration}")
def evaluate(
    work: Workspace,
    split: Split,
    shape: Shape,
    checkpoint: Checkpoint,
    network: NetworkSettings,
    settings: EvaluationSettings,
    iteration: int,
    class_names: tuple[str, ...],
    what: str,
) -> Evaluation:
    """Classify every image of a split with the network of a checkpoint.

    Args:
        work: inputs and outputs.
        split: images and labels.
        shape: size of the images and number of classes.
        checkpoint: weights of the network.
        network: layers.
        settings: images per batch.
        iteration: the checkpoint's; an argument because the label of the run needs it before the
            checkpoint exists.
        class_names: in the order of the labels.
        what: `evaluate` or `validate`: the label of the run is to say which split it is.
    """
    load_tensorflow()
    data = read_split(work.input(split.file))
    with reuse_compiled(make_classifier, network, shape) as (model, classify):
        set_weights(model, read_tensors(work.input(checkpoint.file)))
        predictions = predict(classify, data, settings.evaluation_batch, f"{what[:-1]}ing")
    write_predictions(predictions, work.output("predictions.parquet"), class_names)
    counts = count(predictions, shape.classes)
    name = split.file.name.removesuffix(".parquet").capitalize()
    accuracy = counts.correct / counts.total
    log.info(f"Accuracy on {name}-Set: {accuracy:.1%} ({counts.correct} / {counts.total})")
    return Evaluation(
        iteration=iteration,
        correct=counts.correct,
        total=counts.total,
        confusion=counts.confusion,
        predictions=work.finished("predictions.parquet"),
    )


@stage(libraries=(*LIBRARIES, "pandas", "pyarrow", "scikit-learn"))
def classify(
    work: Workspace, split: Split, shape: Shape, model: Model, settings: EvaluationSettings
) -> Classification:
    """Classify every image of a split with an exported model.

    The key contains the digest of the model file: a challenger promoted to champion is a hit, and
    a champion is classified again when the split has changed.
    """
    classifier = load_classifier(work.input(model.file), shape)
    data = read_split(work.input(split.file))
    predictions = predict(classifier, data, settings.evaluation_batch, "classifying")
    write_predictions(predictions[list(CLASSES)], work.output("predictions.parquet"))
    counts = count(predictions, shape.classes)
    return Classification(
        correct=counts.correct,
        total=counts.total,
        confusion=counts.confusion,
        predictions=work.finished("predictions.parquet"),
    )
