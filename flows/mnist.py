"""The stages of the main job in their order: what is computed from what.

Nothing here knows of Prefect: what a call of a stage comes to is for the `Run` to say.
"""

from tasks.data.convert import convert
from tasks.data.download import download
from tasks.model.attribute import attribute
from tasks.model.embed import embed
from tasks.model.evaluate import evaluate
from tasks.model.excite import excite
from tasks.model.export import export
from tasks.model.layers import layer_outputs
from tasks.model.train import initialise, train
from tasks.records import Checkpoint, Download, Segment, Splits
from tasks.report.draw import draw
from tasks.report.metrics import measure
from tasks.report.results import Results
from tasks.settings import Settings
from tasks.stage import Run
from tasks.study.trial import Trial, summarise_trial


def prepare_data(run: Run, settings: Settings) -> tuple[Download, Splits]:
    """From the sources to the three splits."""
    downloaded = download(run, settings.download)
    return downloaded, convert(run, downloaded.files, settings.convert)


def train_to(
    run: Run, settings: Settings, splits: Splits, checkpoint: Checkpoint, iterations: int
) -> Segment:
    """From a checkpoint to one with so many iterations in all."""
    return train(
        run,
        splits.train,
        splits.shape,
        checkpoint,
        settings.network,
        settings.training,
        iterations,
        settings.cycle,
    )


def compute_results(run: Run, settings: Settings) -> Results:
    """From the sources to the pictures, each milestone trained on from the one before."""
    downloaded, splits = prepare_data(run, settings)
    test, shape = splits.test, splits.shape

    checkpoint = initialise(run, shape, settings.network, settings.training.seed)
    segments = []
    evaluations = [
        evaluate(run, test, shape, checkpoint, settings.network, settings.evaluation, iteration=0)
    ]
    for iterations in settings.schedule.stops[1:]:
        segment = train_to(run, settings, splits, checkpoint, iterations)
        checkpoint = segment.checkpoint
        segments.append(segment)
        evaluations.append(
            evaluate(
                run, test, shape, checkpoint, settings.network, settings.evaluation, iterations
            )
        )

    model = export(run, shape, checkpoint, settings.network)
    metrics = measure(run, evaluations[-1].predictions, shape.classes)
    layers = layer_outputs(
        run, test, shape, checkpoint, settings.network, settings.figures.test_images
    )
    wanted, predictions = settings.figures.insights, evaluations[-1].predictions
    excitation = excite(run, shape, checkpoint, settings.network) if "excite" in wanted else None
    attribution = (
        attribute(run, test, shape, checkpoint, settings.network, predictions)
        if "attribute" in wanted
        else None
    )
    embedding = (
        embed(run, test, shape, checkpoint, settings.network, predictions)
        if "embed" in wanted
        else None
    )
    pictures = draw(
        run,
        test,
        shape,
        tuple(evaluations),
        tuple(segment.curve for segment in segments),
        metrics,
        layers,
        excitation,
        attribution,
        embedding,
        settings.figures,
    )

    return Results(
        downloaded, splits, tuple(segments), tuple(evaluations), metrics, model, pictures
    )


def variant_made_of() -> dict[str, str]:
    """What the results of `train_and_score` depend on besides its arguments; see `made_of`."""
    stages = (download, convert, initialise, train, evaluate)
    return {name: value for stage in stages for name, value in stage.made_of().items()}


def train_and_score(run: Run, settings: Settings, weights_seed: int) -> Trial:
    """The short way for studies: from the sources to two accuracies, without looks and pictures.

    Args:
        run: where results are kept.
        settings: `schedule.stops` says after which iterations training pauses; what comes later
            goes on from there.
        weights_seed: of the initial weights; the seed in the settings orders the images.
    """
    splits = prepare_data(run, settings)[1]
    shape = splits.shape
    checkpoint = initialise(run, shape, settings.network, weights_seed)
    segments = []
    for iterations in settings.schedule.stops[1:]:
        segment = train_to(run, settings, splits, checkpoint, iterations)
        checkpoint = segment.checkpoint
        segments.append(segment)
    validation, test = (
        evaluate(
            run,
            split,
            shape,
            checkpoint,
            settings.network,
            settings.evaluation,
            checkpoint.iteration,
        )
        for split in (splits.validation, splits.test)
    )
    return summarise_trial(run.store, tuple(segments), checkpoint.file.sha256, validation, test)
