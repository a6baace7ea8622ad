"""The stages of the main job in their order.

Nothing here knows of Prefect: the executor decides what a call of a stage does.
"""

from dataclasses import dataclass

from tasks.data.audit import audit
from tasks.data.convert import convert
from tasks.data.download import download
from tasks.data.drawn import add_drawn
from tasks.data.drop import drop
from tasks.engine.stage import Executor
from tasks.model.calibrate import calibrate
from tasks.model.check_labels import check_labels
from tasks.model.evaluate import evaluate
from tasks.model.export import export
from tasks.model.insights.attribute import attribute
from tasks.model.insights.embed import embed
from tasks.model.insights.excite import excite
from tasks.model.insights.layer_outputs import layer_outputs
from tasks.model.metrics import measure
from tasks.model.train import initialise, train
from tasks.records import (
    Audit,
    Download,
    Evaluation,
    LayerOutputs,
    Network,
    Results,
    Segment,
    Split,
    Splits,
)
from tasks.report.draw import draw
from tasks.report.live.pack import pack_live
from tasks.settings import Settings
from tasks.study.run import RunResult, summarise_run


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


def training_images(executor: Executor, settings: Settings, data: PreparedData) -> Split:
    """Return the images to train on: the training split, with drawn digits if that is MNIST's."""
    if not settings.drawn:
        return data.splits.train
    return add_drawn(
        executor,
        files=data.download.files,
        split=data.splits.train,
        share=settings.drawn,
        seed=settings.training.seed,
    )


def train_to(
    executor: Executor, settings: Settings, images: Split, network: Network, iterations: int
) -> Segment:
    """Train a network up to a total number of iterations."""
    return train(
        executor,
        split=images,
        network=network,
        training=settings.training,
        iterations=iterations,
        cycle=settings.cycle,
    )


def evaluate_on(
    executor: Executor, settings: Settings, splits: Splits, network: Network, iteration: int
) -> Evaluation:
    """Classify the images that the network is not trained on."""
    return evaluate(
        executor,
        validation=splits.validation,
        test=splits.test,
        network=network,
        settings=settings.evaluation,
        class_names=splits.class_names,
        iteration=iteration,
    )


def train_to_milestones(
    executor: Executor, settings: Settings, images: Split, splits: Splits
) -> tuple[Network, tuple[Segment, ...], tuple[Evaluation, ...]]:
    """Train from one milestone to the next, and evaluate at each, from before training on."""
    seed = settings.training.seed
    network = initialise(executor, layers=settings.network, shape=splits.shape, seed=seed)
    segments, evaluations = [], []
    for iterations in settings.schedule.stops:
        if iterations:
            segments.append(train_to(executor, settings, images, network, iterations))
            network = segments[-1].network
        evaluations.append(evaluate_on(executor, settings, splits, network, iterations))
    return network, tuple(segments), tuple(evaluations)


def compute_results(
    executor: Executor, settings: Settings, data: PreparedData | None = None
) -> Results:
    """Run all stages from download to figures; with `data`, those after `prepare_data`."""
    data = data or prepare_data(executor, settings)
    splits, wanted = data.splits, settings.figures.insights
    images = training_images(executor, settings, data)
    network, segments, evaluations = train_to_milestones(executor, settings, images, splits)
    *_, last = evaluations
    predictions = last.test.predictions
    model = export(executor, network=network)
    metrics = measure(executor, predictions=predictions, classes=splits.shape.classes)
    label_issues = check_labels(
        executor,
        splits=splits,
        network=network,
        settings=settings.evaluation,
        validation=last.validation.predictions,
        test=predictions,
    )
    layers: LayerOutputs = layer_outputs(
        executor, split=splits.test, network=network, test_images=settings.figures.test_images
    )
    seen = (splits.test, network, predictions)
    calibration = calibrate(
        executor,
        train=splits.train,
        validation=splits.validation,
        shape=splits.shape,
        model=model,
    )
    live = pack_live(executor, *seen, class_names=splits.class_names, calibration=calibration)
    pictures = draw(
        executor,
        splits=data.converted,
        audit=data.audit,
        label_issues=label_issues,
        evaluations=evaluations,
        curves=tuple(segment.curve for segment in segments),
        metrics=metrics,
        network=settings.network,
        layers=layers,
        excitation=excite(executor, network=network) if "excite" in wanted else None,
        attribution=attribute(executor, *seen) if "attribute" in wanted else None,
        embedding=embed(executor, *seen) if "embed" in wanted else None,
        settings=settings.figures,
    )
    return Results(
        download=data.download,
        splits=splits,
        audit=data.audit,
        network=settings.network,
        segments=segments,
        evaluations=evaluations,
        metrics=metrics,
        label_issues=label_issues,
        model=model,
        live=live,
        pictures=pictures,
        images=images,
    )


def variant_dependencies() -> dict[str, str]:
    """Return the dependencies of `train_and_score`; see `Stage.dependencies`."""
    stages = (download, convert, audit, drop, add_drawn, initialise, train, evaluate)
    return {name: value for stage in stages for name, value in stage.dependencies().items()}


def train_and_score(executor: Executor, settings: Settings, weights_seed: int) -> RunResult:
    """Run the stages that a study needs: from download to validation and test accuracy.

    Args:
        executor: runs the stages.
        settings: settings of the run.
        weights_seed: seed of the initial weights; the seed in the settings orders the images.
    """
    data = prepare_data(executor, settings)
    images, splits = training_images(executor, settings, data), data.splits
    network = initialise(executor, layers=settings.network, shape=splits.shape, seed=weights_seed)
    segments = []
    for iterations in settings.schedule.stops[1:]:
        segments.append(train_to(executor, settings, images, network, iterations))
        network = segments[-1].network
    evaluation = evaluate_on(executor, settings, splits, network, network.iteration)
    return summarise_run(network, segments, evaluation)
