"""Figures of the report in their order on the page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.records import Attribution, Evaluation, LayerOutputs, Metrics
from tasks.report.figures import images, insight, layers, scores
from tasks.report.figures.data import DataExamples, finding_figures, label_issues_figure
from tasks.report.figures.report_figure import Predictions, ReportFigure
from tasks.runtime.errors import PipelineError

Arrays = Mapping[str, NDArray[Any]]
"""Arrays by name."""


@dataclass(frozen=True)
class FigureInputs:
    """Arrays and records that the figures show."""

    data: DataExamples
    """Images that something is found about."""
    curve: Arrays
    """Iteration, accuracy and loss of the measured batches."""
    evaluations: Sequence[Evaluation]
    """Evaluations of validation and test split at each milestone."""
    predictions: Sequence[Predictions]
    """Predictions for the test split at each milestone."""
    metrics: Metrics
    """Metrics of the last evaluation."""
    layers: LayerOutputs
    layer_arrays: Arrays
    """Weights and outputs of the layers."""
    conv_strides: Sequence[int]
    """Stride of each convolutional layer, in pixels."""
    conv2_channels: tuple[int, ...]
    """Input channels of conv2 whose filters are shown."""
    excitation: Arrays | None
    """Images, logits and probabilities; None if switched off."""
    attribution: tuple[Attribution, Arrays] | None
    """Images and maps; None if switched off."""
    embedding: tuple[str, Arrays] | None
    """Name of the layer, and the columns of the map; None if switched off."""


def report_figures(inputs: FigureInputs) -> Iterator[tuple[str, ReportFigure]]:
    """Yield each figure of the report after the name of its chapter.

    Raises:
        PipelineError: `conv2_channels` names a channel that does not exist.
    """
    last, arrays = inputs.predictions[-1], inputs.layer_arrays
    yield "works", images.first_images(last)
    rows = inputs.layers.test_images
    if inputs.conv_strides and rows:
        yield (
            "works",
            layers.convolution(last, rows[0], arrays["conv1/weights"], inputs.conv_strides[0]),
        )
    for position, row in enumerate(rows):
        outputs = [(name, arrays[f"{name}/outputs"][position]) for name in inputs.layers.layers]
        yield "works", layers.flow(last, row, outputs)

    yield "learned", scores.learning_curve(inputs.curve, inputs.evaluations)
    for evaluation, predictions in zip(inputs.evaluations, inputs.predictions, strict=True):
        yield "milestones", images.errors(predictions, evaluation.iteration)

    yield (
        "matrix",
        scores.confusion_matrix(np.array(inputs.evaluations[-1].test.confusion), last.names),
    )
    yield "wrong", images.confident_errors(last)
    yield "wrong", images.confused_pairs(last, inputs.metrics.confused)

    yield from (("filters", figure) for figure in filter_figures(inputs))
    yield from (("sees", figure) for figure in insight_figures(inputs))

    yield from (("data", figure) for figure in finding_figures(inputs.data))
    if inputs.data.label_issues.num_rows:
        yield "data", label_issues_figure(inputs.data)
    yield "record", scores.calibration(inputs.metrics)


def filter_figures(inputs: FigureInputs) -> Iterator[ReportFigure]:
    """Yield the figures of the weights of the first two convolutional layers.

    Raises:
        PipelineError: `conv2_channels` names a channel that does not exist.
    """
    for layer, channels in (("conv1", (0,)), ("conv2", inputs.conv2_channels)):
        weights = inputs.layer_arrays.get(f"{layer}/weights")
        if weights is None:
            continue
        available = weights.shape[2]
        if beyond := [channel for channel in channels if channel >= available]:
            raise PipelineError(
                f"--conv2-channels {beyond[0]}: conv2 has {available} input channels, numbered"
                " from 0"
            )
        for channel in channels:
            yield layers.weights(layer, weights, channel)


def insight_figures(inputs: FigureInputs) -> Iterator[ReportFigure]:
    """Yield the figures of the insights that are not switched off."""
    last = inputs.predictions[-1]
    if inputs.excitation:
        arrays = inputs.excitation
        yield insight.exciting_inputs(
            arrays["images"], arrays["logits"], arrays["probabilities"], last.names
        )
    if inputs.attribution:
        yield insight.attributions(last, *inputs.attribution)
    if inputs.embedding:
        layer, columns = inputs.embedding
        yield insight.similarity_map(columns, last.names, layer, len(last.images))
