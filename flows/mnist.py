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
from tasks.report.draw import draw
from tasks.report.metrics import measure
from tasks.report.results import Results
from tasks.settings import Settings
from tasks.stage import Run


def compute_results(run: Run, settings: Settings) -> Results:
    """From the sources to the pictures, each milestone trained on from the one before."""
    downloaded = download(run, settings.download)
    splits = convert(run, downloaded.files, settings.convert)
    test, shape = splits.test, splits.shape

    checkpoint = initialise(run, shape, settings.network, settings.training.seed)
    segments = []
    evaluations = [
        evaluate(run, test, shape, checkpoint, settings.network, settings.evaluation, iteration=0)
    ]
    for iterations in settings.schedule.stops[1:]:
        segment = train(
            run,
            splits.train,
            shape,
            checkpoint,
            settings.network,
            settings.training,
            iterations,
            settings.cycle,
        )
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
