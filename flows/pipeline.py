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

from flows.mnist import compute_results
from flows.server import where_to_look
from tasks.console import log
from tasks.report.publish import publish
from tasks.report.report import closing_lines, summarise, write_report
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
    run = Run(store, refresh=frozenset(settings.refresh))

    results = compute_results(run, settings)
    summary = summarise(run, settings, results)
    page = write_report(store, summary, results)
    publish(store, summary, results)
    log.info(closing_lines(summary))
    log.info(where_to_look())
    log.info(f"report: {page}")
    return summary
