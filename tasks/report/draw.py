"""Stage: evaluations and insights → figures of the report."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from tasks.data.dataset import read_split
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

    Args:
        work: inputs and outputs of the stage.
        splits: all images; the figures show those of the test split, and findings.
        audit: findings about the splits.
        label_issues: labels that the last checkpoint contradicts.
        evaluations: of validation and test split, at each milestone.
        curves: Parquet file of batch accuracy and loss of each training segment.
        metrics: metrics of the last evaluation.
        network: settings of the network.
        layers: weights of the last checkpoint, and outputs for `settings.test_images`.
        excitation: input that excites each class most; None if switched off.
        attribution: attribution maps of the first errors; None if switched off.
        embedding: map of the test images; None if switched off.
        settings: settings of the figures.

    Raises:
        PipelineError: `settings.conv2_channels` names a channel that does not exist.
    """
    from tasks.report.figures import save  # imports matplotlib
    from tasks.report.figures.contents import FigureInputs, report_figures
    from tasks.report.figures.data import DataExamples
    from tasks.report.figures.report_figure import Predictions

    arrays = {
        split.file.name.removesuffix(".parquet"): read_split(work.input(split.file))
        for split in (splits.train, splits.validation, splits.test)
    }
    data = arrays["test"]

    def tensors(file: FileRef) -> dict[str, np.ndarray]:
        return load_file(work.input(file))

    names = list(splits.class_names)

    def predictions(evaluation: Evaluation) -> Predictions:
        table = read_predictions(work.input(evaluation.test.predictions))
        return Predictions(
            names=names,
            images=data.images,
            true=data.labels,
            predicted=table["predicted"].to_numpy(),
            probabilities=class_probabilities(table),
        )

    inputs = FigureInputs(
        data=DataExamples(
            names,
            arrays,
            pq.read_table(work.input(audit.file)),
            pq.read_table(work.input(label_issues.file)),
        ),
        curve=read_columns([work.input(curve) for curve in curves]) or NO_CURVE,
        evaluations=evaluations,
        predictions=[predictions(evaluation) for evaluation in evaluations],
        metrics=metrics,
        layers=layers,
        layer_arrays=tensors(layers.file),
        conv_strides=for_each(len(network.conv_filters), network.conv_strides),
        conv2_channels=settings.conv2_channels,
        excitation=tensors(excitation.file) if excitation else None,
        attribution=(attribution, tensors(attribution.file)) if attribution else None,
        embedding=(embedding.layer, read_columns([work.input(embedding.file)]))
        if embedding
        else None,
    )
    pictures = []
    for section, made in report_figures(inputs):
        file = f"{made.name}.png"
        save(made.figure, work.output(file))
        pictures.append(
            Picture(
                name=made.name,
                title=made.title,
                caption=made.caption,
                alt=made.alt,
                section=section,
                file=work.finished(file),
            )
        )
    return Pictures(pictures=tuple(pictures))


NO_CURVE = {name: np.array([]) for name in ("iteration", "accuracy", "loss")}
"""Learning curve without training."""


def read_columns(files: Sequence[Path]) -> dict[str, np.ndarray]:
    """Return the columns of Parquet files, one after the other; empty without files."""
    if not files:
        return {}
    table = pa.concat_tables([pq.read_table(file) for file in files])
    return {name: table[name].to_numpy() for name in table.column_names}
