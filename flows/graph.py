"""The stages of the main job in their order.

Nothing here knows of Prefect: the executor decides what a call of a stage does.
"""

from dataclasses import dataclass
from typing import Literal

from tasks.data.audit import audit
from tasks.data.convert import convert
from tasks.data.download import download
from tasks.data.drawn import add_drawn
from tasks.data.drop import drop
from tasks.engine.models import FileRef
from tasks.engine.stage import Executor
from tasks.model.check_labels import check_labels
from tasks.model.evaluate import evaluate
from tasks.model.export import export
from tasks.model.insights.attribute import attribute
from tasks.model.insights.embed import embed
from tasks.model.insights.excite import excite
from tasks.model.insights.layer_outputs import layer_outputs
from tasks.model.metrics import measure
from tasks.model.probe import probe
from tasks.model.train import initialise, train
from tasks.records import (
    Attribution,
    Audit,
    Checkpoint,
    Download,
    Embedding,
    Evaluation,
    Excitation,
    LabelIssues,
    LayerOutputs,
    LiveNetwork,
    Metrics,
    Pictures,
    Results,
    Segment,
    Shape,
    Split,
    Splits,
)
from tasks.report.draw import draw
from tasks.report.live.pack import pack_live
from tasks.settings import NetworkSettings, Settings
from tasks.study.result import RunResult, summarise_run


@dataclass(frozen=True)
class PreparedData:
    """The data set before training."""

    download: Download
    converted: Splits
    """All images."""
    audit: Audit
    """Findings about all images."""
    splits: Splits
    """The images to train on and to test with."""


def prepare_data(executor: Executor, settings: Settings) -> PreparedData:
    """Download the data set, convert it, look at it, and drop what the settings say."""
    downloaded = download(executor, settings=settings.download)
    converted = convert(executor, files=downloaded.files, settings=settings.convert)
    found = audit(executor, splits=converted)
    splits = converted
    if settings.audit.drop:
        splits = drop(executor, splits=converted, audit=found, settings=settings.audit)
    return PreparedData(downloaded, converted, found, splits)


def training_images(
    executor: Executor, settings: Settings, downloaded: Download, splits: Splits
) -> Split:
    """Return the images to train on: the training split, with drawn digits if that is MNIST's."""
    if not settings.training.drawn:
        return splits.train
    return add_drawn(
        executor,
        files=downloaded.files,
        split=splits.train,
        share=settings.training.drawn,
        seed=settings.training.seed,
    )


def train_to(
    executor: Executor,
    settings: Settings,
    images: Split,
    shape: Shape,
    checkpoint: Checkpoint,
    iterations: int,
) -> Segment:
    """Train from a checkpoint to a total number of iterations."""
    return train(
        executor,
        split=images,
        shape=shape,
        checkpoint=checkpoint,
        network=settings.network,
        training=settings.training,
        iterations=iterations,
        cycle=settings.cycle,
    )


def evaluate_on(
    executor: Executor,
    settings: Settings,
    splits: Splits,
    split: Split,
    checkpoint: Checkpoint,
    *,
    iteration: int,
    what: Literal["evaluate", "validate"] = "evaluate",
) -> Evaluation:
    """Classify the images of a split with the network of a checkpoint."""
    return evaluate(
        executor,
        split=split,
        shape=splits.shape,
        checkpoint=checkpoint,
        network=settings.network,
        settings=settings.evaluation,
        iteration=iteration,
        class_names=splits.class_names,
        what=what,
    )


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network, and the way there."""

    network: NetworkSettings
    """Its layers."""
    checkpoint: Checkpoint
    """The last one."""
    segments: tuple[Segment, ...]
    evaluations: tuple[Evaluation, ...]
    """Of the test split, one for each milestone, before training included."""
    validations: tuple[Evaluation, ...]
    """The same of the validation split."""

    @property
    def predictions(self) -> FileRef:
        """The last predictions for the test split."""
        return self.evaluations[-1].predictions


def train_to_milestones(
    executor: Executor, settings: Settings, images: Split, splits: Splits
) -> TrainedNetwork:
    """Train from one milestone to the next, and evaluate test and validation split at each."""
    network = settings.network

    def evaluate_at(checkpoint: Checkpoint, iteration: int) -> Evaluation:
        return evaluate_on(executor, settings, splits, splits.test, checkpoint, iteration=iteration)

    def validate_at(checkpoint: Checkpoint, iteration: int) -> Evaluation:
        return evaluate_on(
            *(executor, settings, splits, splits.validation, checkpoint),
            iteration=iteration,
            what="validate",
        )

    checkpoint = initialise(
        executor, shape=splits.shape, network=network, seed=settings.training.seed
    )
    segments, evaluations = [], [evaluate_at(checkpoint, 0)]
    validations = [validate_at(checkpoint, 0)]
    for iterations in settings.schedule.stops[1:]:
        segment = train_to(executor, settings, images, splits.shape, checkpoint, iterations)
        checkpoint = segment.checkpoint
        segments.append(segment)
        evaluations.append(evaluate_at(checkpoint, iterations))
        validations.append(validate_at(checkpoint, iterations))
    return TrainedNetwork(
        network, checkpoint, tuple(segments), tuple(evaluations), tuple(validations)
    )


@dataclass(frozen=True)
class Insights:
    """What the network computes, and why; `None` where it is not asked for."""

    layers: LayerOutputs
    live: LiveNetwork
    excitation: Excitation | None
    attribution: Attribution | None
    embedding: Embedding | None


def look_into_network(
    executor: Executor, settings: Settings, splits: Splits, training: TrainedNetwork
) -> Insights:
    """Run the stages that look into the trained network."""
    test, shape, network = splits.test, splits.shape, training.network
    checkpoint, predictions = training.checkpoint, training.predictions
    excitation = attribution = embedding = None
    layers = layer_outputs(
        executor,
        split=test,
        shape=shape,
        checkpoint=checkpoint,
        network=network,
        test_images=settings.figures.test_images,
    )
    live = pack_live(
        executor,
        split=test,
        shape=shape,
        class_names=splits.class_names,
        checkpoint=checkpoint,
        network=network,
        predictions=predictions,
    )
    if "excite" in settings.figures.insights:
        excitation = excite(executor, shape=shape, checkpoint=checkpoint, network=network)
    if "attribute" in settings.figures.insights:
        attribution = attribute(
            executor,
            split=test,
            shape=shape,
            checkpoint=checkpoint,
            network=network,
            predictions=predictions,
        )
    if "embed" in settings.figures.insights:
        embedding = embed(
            executor,
            split=test,
            shape=shape,
            checkpoint=checkpoint,
            network=network,
            predictions=predictions,
        )
    return Insights(layers, live, excitation, attribution, embedding)


def draw_figures(
    executor: Executor,
    settings: Settings,
    data: PreparedData,
    training: TrainedNetwork,
    metrics: Metrics,
    label_issues: LabelIssues,
    insights: Insights,
) -> Pictures:
    """Draw all figures of the report."""
    return draw(
        executor,
        splits=data.converted,
        audit=data.audit,
        label_issues=label_issues,
        evaluations=training.evaluations,
        validations=training.validations,
        curves=tuple(segment.curve for segment in training.segments),
        metrics=metrics,
        network=training.network,
        layers=insights.layers,
        excitation=insights.excitation,
        attribution=insights.attribution,
        embedding=insights.embedding,
        settings=settings.figures,
    )


def compute_results(
    executor: Executor, settings: Settings, data: PreparedData | None = None
) -> Results:
    """Run all stages from download to figures; with `data`, those after `prepare_data`."""
    data = data or prepare_data(executor, settings)
    splits = data.splits
    images = training_images(executor, settings, data.download, splits)
    training = train_to_milestones(executor, settings, images, splits)
    network, checkpoint = training.network, training.checkpoint
    predictions = training.predictions
    model = export(executor, shape=splits.shape, checkpoint=checkpoint, network=network)
    metrics = measure(executor, predictions=predictions, classes=splits.shape.classes)
    label_issues = check_labels(
        executor,
        splits=splits,
        checkpoint=checkpoint,
        network=network,
        settings=settings.evaluation,
        predictions=predictions,
    )
    insights = look_into_network(executor, settings, splits, training)
    pictures = draw_figures(
        executor,
        settings,
        data=data,
        training=training,
        metrics=metrics,
        label_issues=label_issues,
        insights=insights,
    )
    return Results(
        download=data.download,
        splits=splits,
        audit=data.audit,
        network=training.network,
        segments=training.segments,
        evaluations=training.evaluations,
        validations=training.validations,
        images=images,
        metrics=metrics,
        label_issues=label_issues,
        model=model,
        live=insights.live,
        pictures=pictures,
    )


def variant_dependencies() -> dict[str, str]:
    """Return the dependencies of `train_and_score`; see `Stage.dependencies`."""
    stages = (download, convert, audit, drop, add_drawn, initialise, probe, train, evaluate)
    return {name: value for stage in stages for name, value in stage.dependencies().items()}


def train_and_score(
    executor: Executor, settings: Settings, weights_seed: int, probes: bool = False
) -> RunResult:
    """Run the stages that a study needs: from download to validation and test accuracy.

    Args:
        executor: runs the stages.
        settings: `schedule.stops` are the iterations after which training pauses, and the
            validation split is evaluated.
        weights_seed: seed of the initial weights; the seed in the settings orders the images.
        probes: whether outputs and gradients before training, and the accuracy on the training
            images after it, are computed, too.
    """
    data = prepare_data(executor, settings)
    splits, network = data.splits, settings.network
    images = training_images(executor, settings, data.download, splits)

    def evaluate_at(split: Split, checkpoint: Checkpoint) -> Evaluation:
        return evaluate_on(
            *(executor, settings, splits, split, checkpoint),
            iteration=checkpoint.iteration,
            what="validate" if split is splits.validation else "evaluate",
        )

    checkpoint = initialise(executor, shape=splits.shape, network=network, seed=weights_seed)
    probed = None
    if probes:
        probed = probe(
            executor,
            split=splits.validation,
            shape=splits.shape,
            checkpoint=checkpoint,
            network=network,
        )
    segments, validations = [], []
    for iterations in settings.schedule.stops[1:]:
        segment = train_to(executor, settings, images, splits.shape, checkpoint, iterations)
        checkpoint = segment.checkpoint
        segments.append(segment)
        validations.append(evaluate_at(splits.validation, checkpoint))
    if not segments:
        validations.append(evaluate_at(splits.validation, checkpoint))
    test = evaluate_at(splits.test, checkpoint)
    fitted = evaluate_at(images, checkpoint) if probes else None
    return summarise_run(executor.store, checkpoint, segments, validations, test, probed, fitted)
