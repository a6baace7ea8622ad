"""Stage: evaluations and insights → figures of the report."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from tasks.data.dataset import SplitArrays, read_split
from tasks.engine.models import FileRef
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.geometry import for_each
from tasks.model.prediction_table import class_probabilities, read_predictions
from tasks.records import (
    Attribution,
    Audit,
    Embedding,
    Evaluation,
    Excitation,
    LabelIssues,
    LayerOutputs,
    Metrics,
    Picture,
    Pictures,
    Splits,
)
from tasks.settings import FigureSettings, NetworkSettings

if TYPE_CHECKING:
    from tasks.report.figures.report_figure import Predictions, ReportFigure


@stage()
def draw(
    work: Workspace,
    splits: Splits,
    audit: Audit,
    label_issues: LabelIssues,
    evaluations: tuple[Evaluation, ...],
    curves: tuple[FileRef, ...],
    metrics: Metrics,
    network: NetworkSettings,
    layers: LayerOutputs,
    excitation: Excitation | None,
    attribution: Attribution | None,
    embedding: Embedding | None,
    settings: FigureSettings,
) -> Pictures:
    """Draw the figures of the report, in the order of the page.

    Raises:
        PipelineError: `settings.conv2_channels` names a channel that does not exist.
    """
    from tasks.report.figures import images, insight, scores  # imports matplotlib
    from tasks.report.figures import layers as layer_figures
    from tasks.report.figures.data import DataExamples, data_figures

    arrays = {
        split.file.name.removesuffix(".parquet"): read_split(work.input(split.file))
        for split in (splits.train, splits.validation, splits.test)
    }
    names = list(splits.class_names)
    pictures: list[Picture] = []

    def tensors(file: FileRef) -> dict[str, np.ndarray]:
        return load_file(work.input(file))

    def predictions(evaluation: Evaluation) -> "Predictions":
        return predictions_of(work.input(evaluation.test.predictions), names, arrays["test"])

    def add(section: str, *figures: "ReportFigure") -> None:
        pictures.extend(write_picture(work, section, made) for made in figures)

    last, outputs = predictions(evaluations[-1]), tensors(layers.file)
    add("works", images.first_images(last))
    strides = for_each(len(network.conv_filters), network.conv_strides)
    add("works", *layer_figures.images_in_layers(last, layers, outputs, strides))
    curve = read_columns([work.input(curve) for curve in curves]) or NO_CURVE
    add("learned", scores.learning_curve(curve, evaluations))
    for evaluation in evaluations:
        add("milestones", images.errors(predictions(evaluation), evaluation.iteration))
    matrix = np.array(evaluations[-1].test.confusion)
    add("matrix", scores.confusion_matrix(matrix, names))
    add("wrong", images.confident_errors(last), images.confused_pairs(last, metrics.confused))
    add("filters", *layer_figures.filters(outputs, settings.conv2_channels))
    if excitation:
        add("sees", insight.exciting_inputs(tensors(excitation.file), names))
    if attribution:
        add("sees", insight.attributions(last, attribution, tensors(attribution.file)))
    if embedding:
        places = read_columns([work.input(embedding.file)])
        layer, total = embedding.layer, len(last.images)
        add("sees", insight.similarity_map(places, names, layer, total))
    tables = (pq.read_table(work.input(found.file)) for found in (audit, label_issues))
    add("data", *data_figures(DataExamples(names, arrays, *tables)))
    add("record", scores.calibration(metrics))
    return Pictures(pictures=tuple(pictures))


def predictions_of(path: Path, names: list[str], data: SplitArrays) -> "Predictions":
    """Return a split with the predictions in a file; see `Classification.predictions`."""
    from tasks.report.figures.report_figure import Predictions

    table = read_predictions(path)
    predicted, probabilities = table["predicted"].to_numpy(), class_probabilities(table)
    return Predictions(names, data.images, data.labels, predicted, probabilities)


def write_picture(work: Workspace, section: str, made: "ReportFigure") -> Picture:
    """Write a figure as PNG, and return its record."""
    from tasks.report.figures import save

    file = f"{made.name}.png"
    save(made.figure, work.output(file))
    texts = {name: getattr(made, name) for name in ("name", "title", "caption", "alt")}
    return Picture(**texts, section=section, file=work.finished(file))


NO_CURVE = {name: np.array([]) for name in ("iteration", "accuracy", "loss")}
"""Learning curve without training."""


def read_columns(files: Sequence[Path]) -> dict[str, np.ndarray]:
    """Return the columns of Parquet files, one after the other; empty without files."""
    if not files:
        return {}
    table = pa.concat_tables([pq.read_table(file) for file in files])
    return {name: table[name].to_numpy() for name in table.column_names}
