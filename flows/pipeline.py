"""MNIST from download to report: the main job, top to bottom.

python flows/pipeline.py --help
"""

import sys

if __name__ == "__main__":
    # Options are read before Prefect is imported: what is wrong with them is said at once,
    # and the project's settings for Prefect are in place by then.
    from flows.cli import pipeline

    sys.exit(pipeline(sys.argv[1:]))

from prefect import flow

from tasks.console import log
from tasks.data.convert import convert
from tasks.data.download import download
from tasks.model.evaluate import evaluate
from tasks.model.export import export
from tasks.model.layers import layer_outputs
from tasks.model.train import initialise, train
from tasks.report.draw import draw
from tasks.report.publish import publish
from tasks.report.report import Results, closing_lines, summarise, write_report
from tasks.report.summary import Summary
from tasks.settings import Settings
from tasks.stage import Run
from tasks.store import Store, default_root


@flow(name="mnist-pipeline")
def mnist_pipeline(settings: Settings = Settings()) -> Summary:
    """Download, convert, train, evaluate and report; what is unchanged is skipped.

    Args:
        settings: every knob, with the tutorial's values as defaults.

    Returns:
        The run in numbers, as in `artifacts/latest/report/metrics.json`.
    """
    store = Store(settings.artifacts or default_root())
    store.prepare()
    run = Run(store, refresh=settings.refresh)

    downloaded = download(run, settings.download)
    splits = convert(run, downloaded.files, settings.convert)
    test, shape = splits.test, splits.shape

    checkpoint = initialise(run, shape, settings.network, settings.training.seed)
    segments = []
    evaluations = [evaluate(run, test, shape, checkpoint, settings.network, settings.evaluation)]
    for iterations in settings.schedule.stops[1:]:
        segment = train(
            run,
            splits.train,
            shape,
            checkpoint,
            settings.network,
            settings.training,
            iterations,
        )
        checkpoint = segment.checkpoint
        segments.append(segment)
        evaluations.append(
            evaluate(run, test, shape, checkpoint, settings.network, settings.evaluation)
        )

    model = export(run, shape, checkpoint, settings.network)
    layers = layer_outputs(
        run, test, shape, checkpoint, settings.network, settings.figures.test_images
    )
    pictures = draw(
        run,
        test,
        shape,
        tuple(evaluations),
        tuple(segment.curve for segment in segments),
        layers,
        settings.figures,
    )

    results = Results(downloaded, splits, tuple(segments), tuple(evaluations), model, pictures)
    summary = summarise(run, settings, results)
    page = write_report(store, summary, results)
    publish(summary)
    log.info(closing_lines(summary))
    log.info(f"report: {page}")
    return summary
