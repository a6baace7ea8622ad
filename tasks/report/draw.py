"""Stage: evaluations and layer outputs → the pictures of the report."""

import numpy as np
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from tasks.data.dataset import class_names, read_split
from tasks.records import Evaluation, LayerOutputs, Pictures, Shape, Split
from tasks.settings import FigureSettings
from tasks.stage import stage
from tasks.store import FileRef, Workspace


@stage(libraries=("matplotlib", "pillow", "numpy", "safetensors"))
def draw(
    work: Workspace,
    split: Split,
    shape: Shape,
    evaluations: tuple[Evaluation, ...],
    curves: tuple[FileRef, ...],
    layers: LayerOutputs,
    settings: FigureSettings,
) -> Pictures:
    """Draw every picture of the report.

    Args:
        work: inputs and outputs.
        split: the test split.
        shape: of its images, and the number of classes.
        evaluations: of the test split, at each milestone.
        curves: what training reported, segment by segment.
        layers: weights of the last checkpoint, outputs for `settings.test_images`.
        settings: what to show.

    Raises:
        PipelineError: a channel is asked for that the layer does not have.
    """
    from tasks.report import pictures  # and with it matplotlib

    data = read_split(work.input(split.file))
    names = class_names(shape.classes)
    book = pictures.Sketchbook(work)

    pictures.draw_first_images(book, data.images, data.labels, names)
    pictures.draw_learning_curve(book, [work.input(curve) for curve in curves], evaluations)
    for evaluation in evaluations:
        predicted = pq.read_table(work.input(evaluation.predictions))["predicted"].to_numpy()
        pictures.draw_errors(book, data.images, data.labels, predicted, names, evaluation.iteration)
    pictures.draw_confusion(book, np.array(evaluations[-1].confusion), names)

    tensors = load_file(work.input(layers.file))
    pictures.draw_weights(book, tensors, settings.conv2_channels)
    pictures.draw_outputs(book, tensors, data.images, data.labels, names, layers.test_images)
    return Pictures(pictures=tuple(book.pictures))
