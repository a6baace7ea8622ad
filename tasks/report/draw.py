"""Stage: evaluations and looks into the network → the pictures of the report."""

import numpy as np
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from tasks.data.dataset import class_names, read_split
from tasks.engine.models import FileRef
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.records import (
    Attribution,
    Embedding,
    Evaluation,
    Excitation,
    LayerOutputs,
    Metrics,
    Pictures,
    Shape,
    Split,
)
from tasks.settings import FigureSettings


@stage(libraries=("matplotlib", "pillow", "numpy", "safetensors", "pyarrow"))
def draw(
    work: Workspace,
    split: Split,
    shape: Shape,
    evaluations: tuple[Evaluation, ...],
    curves: tuple[FileRef, ...],
    metrics: Metrics,
    layers: LayerOutputs,
    excitation: Excitation | None,
    attribution: Attribution | None,
    embedding: Embedding | None,
    settings: FigureSettings,
) -> Pictures:
    """Draw every picture of the report, in the order of the story.

    Args:
        work: inputs and outputs.
        split: the test split.
        shape: of its images, and the number of classes.
        evaluations: of the test split, at each milestone.
        curves: what training reported, segment by segment.
        metrics: of the last evaluation.
        layers: weights of the last checkpoint, outputs for `settings.test_images`.
        excitation, attribution, embedding: looks into the last checkpoint; None if not wanted.
        settings: what to show.

    Raises:
        PipelineError: a channel is asked for that the layer does not have.
    """
    from tasks.report.pictures import network, scores  # and with them matplotlib
    from tasks.report.pictures.book import Predicted, Sketchbook

    data = read_split(work.input(split.file))
    names = class_names(shape.classes)
    book = Sketchbook(work)

    def predicted_by(evaluation: Evaluation) -> Predicted:
        table = pq.read_table(work.input(evaluation.predictions))
        probabilities = np.stack([table[f"p{c}"].to_numpy() for c in range(shape.classes)], axis=1)
        return Predicted(
            names, data.images, data.labels, table["predicted"].to_numpy(), probabilities
        )

    book.section = "The data"
    scores.draw_first_images(book, data.images, data.labels, names)

    book.section = "How it learned"
    scores.draw_learning_curve(book, [work.input(curve) for curve in curves], evaluations)
    for evaluation in evaluations:
        scores.draw_errors(book, predicted_by(evaluation), evaluation.iteration)

    book.section = "What it gets wrong"
    last = predicted_by(evaluations[-1])
    scores.draw_confidences(book, last)
    scores.draw_confusion(book, np.array(evaluations[-1].confusion), names)
    scores.draw_class_scores(book, metrics, names)
    scores.draw_confused_pairs(book, metrics, last)

    book.section = "How sure it is"
    scores.draw_calibration(book, metrics)

    book.section = "Its filters"
    tensors = load_file(work.input(layers.file))
    network.draw_weights(book, tensors, settings.conv2_channels)
    network.draw_outputs(book, tensors, layers, last)

    book.section = "What it looks for"
    if excitation:
        network.draw_exciting_inputs(book, load_file(work.input(excitation.file)), names)
    if attribution:
        found = load_file(work.input(attribution.file))
        network.draw_attributions(book, found, attribution, last)
    if embedding:
        table = pq.read_table(work.input(embedding.file))
        network.draw_map(book, table, embedding, names, split.rows)
    return Pictures(pictures=tuple(book.pictures))
