"""Figures of the report in their order on the page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.records import DATA_SECTION, Attribution, Evaluation, LayerOutputs, Metrics
from tasks.report.figures.convolution import convolution_figure
from tasks.report.figures.data import DataExamples, finding_figures, label_issues_figure
from tasks.report.figures.images import (
    confident_errors_figure,
    confused_pairs_figure,
    errors_figure,
    first_images_figure,
    sample_image_figure,
    unsure_correct_figure,
)
from tasks.report.figures.insight import (
    attributions_figure,
    exciting_inputs_figure,
    map_figure,
)
from tasks.report.figures.layers import flow_figure, outputs_figure, weights_figure
from tasks.report.figures.report_figure import Predictions, ReportFigure
from tasks.report.figures.scores import (
    calibration_figure,
    class_scores_figure,
    confusion_matrix_figure,
    learning_curve_figure,
)
from tasks.runtime.errors import PipelineError

Arrays = Mapping[str, np.ndarray]
"""Arrays by name."""


@dataclass(frozen=True)
class FigureInputs:
    """Arrays and records that the figures show."""

    data: DataExamples
    """Images that something is found about."""
    curve: Arrays
    """Iteration, accuracy and loss of the measured batches."""
    evaluations: Sequence[Evaluation]
    """Evaluation of the test split at each milestone."""
    predictions: Sequence[Predictions]
    """Predictions at each milestone."""
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
    """Yield each figure of the report after the heading of its section.

    Raises:
        PipelineError: `conv2_channels` names a channel that does not exist.
    """
    last = inputs.predictions[-1]
    names, metrics = last.names, inputs.metrics

    section = DATA_SECTION
    yield section, first_images_figure(last.images, last.true, names)
    yield from ((section, figure) for figure in finding_figures(inputs.data))
    if inputs.data.label_issues.num_rows:
        yield section, label_issues_figure(inputs.data)

    section = "Training"
    curve = (inputs.curve["iteration"], inputs.curve["accuracy"], inputs.curve["loss"])
    yield section, learning_curve_figure(curve, inputs.evaluations)
    for evaluation, predictions in zip(inputs.evaluations, inputs.predictions, strict=True):
        yield section, errors_figure(predictions, evaluation.iteration)

    section = "Errors"
    yield section, confident_errors_figure(last)
    yield section, unsure_correct_figure(last)
    yield section, confusion_matrix_figure(np.array(inputs.evaluations[-1].confusion), names)
    yield section, class_scores_figure(metrics.classes, names)
    yield section, confused_pairs_figure(last, metrics.confused)

    section = "Confidence"
    yield section, calibration_figure(metrics)

    yield from (("Filters", figure) for figure in filter_figures(inputs))

    for position, row in enumerate(inputs.layers.test_images):
        section = f"Layer outputs for test image {row}"
        outputs = [
            (layer, inputs.layer_arrays[f"{layer}/outputs"][position])
            for layer in inputs.layers.layers
        ]
        yield section, sample_image_figure(last, row)
        for layer, output in outputs:
            if output.ndim == 3:
                yield section, outputs_figure(last, row, layer, output)
        yield section, flow_figure(last, row, outputs)

    section = "Insights"
    if inputs.excitation:
        images, logits, probabilities = (
            inputs.excitation[name] for name in ("images", "logits", "probabilities")
        )
        yield section, exciting_inputs_figure(images, logits, probabilities, names)
    if inputs.attribution:
        yield section, attributions_figure(last, *inputs.attribution)
    if inputs.embedding:
        layer, columns = inputs.embedding
        places = np.stack([columns["x"], columns["y"]], axis=1)
        yield (
            section,
            map_figure(
                places, columns["label"], columns["predicted"], names, layer, len(last.images)
            ),
        )


def filter_figures(inputs: FigureInputs) -> Iterator[ReportFigure]:
    """Yield the figures of the convolutional layers' weights, after how they are used.

    Raises:
        PipelineError: `conv2_channels` names a channel that does not exist.
    """
    if inputs.conv_strides:
        weights, stride = inputs.layer_arrays["conv1/weights"], inputs.conv_strides[0]
        for row in inputs.layers.test_images:
            yield convolution_figure(inputs.predictions[-1], row, weights, stride)
    for layer, channels in (("conv1", (0,)), ("conv2", inputs.conv2_channels)):
        for channel, weights in channels_of(layer, channels, inputs.layer_arrays):
            yield weights_figure(layer, weights, channel)


def channels_of(
    layer: str, channels: tuple[int, ...], arrays: Arrays
) -> list[tuple[int, np.ndarray]]:
    """Return each channel to show with the weights of the layer; none without such a layer.

    Raises:
        PipelineError: a channel does not exist.
    """
    weights = arrays.get(f"{layer}/weights")
    if weights is None:
        return []
    available = weights.shape[2]
    if beyond := [channel for channel in channels if channel >= available]:
        raise PipelineError(
            f"--conv2-channels {beyond[0]}: conv2 has {available} input channels, numbered from 0"
        )
    return [(channel, weights) for channel in channels]
