"""MNIST from download to report: the main job, top to bottom.

python flows/pipeline.py --help
"""

import sys

if __name__ == "__main__":
    # Options are read before Prefect is imported: what is wrong with them is said at once,
    # and the project's settings for Prefect are in place by then.
    from flows.pipeline_cli import pipeline

    sys.exit(pipeline(sys.argv[1:]))

from prefect import flow

from flows.deployed import leave_reason
from flows.mnist import compute_results
from flows.server import where_to_look
from tasks.cluster import task_runner
from tasks.console import log
from tasks.report.publish import publish
from tasks.report.report import closing_lines, summarise, write_report
from tasks.report.results import Results
from tasks.report.summary import Summary
from tasks.settings import Settings
from tasks.stage import Run
from tasks.store import open_store
from tasks.threads import use_threads


@flow(name="mnist-pipeline", on_failure=[leave_reason], on_crashed=[leave_reason])
def mnist_pipeline(settings: Settings = Settings()) -> Summary:
    """Download, convert, train, evaluate and report; what is unchanged is skipped.

    Args:
        settings: every knob, with the tutorial's values as defaults.

    Returns:
        The run in numbers, as in `artifacts/latest/report/metrics.json`.
    """
    use_threads(settings.threads)
    store = open_store(settings.artifacts)
    store.prepare()
    with task_runner(settings) as runner:
        run = Run(store, refresh=frozenset(settings.refresh), runner=runner)
        return train_and_report(run, settings)[1]


def train_and_report(run: Run, settings: Settings) -> tuple[Results, Summary]:
    """What a flow run does in which a network is trained."""
    results = compute_results(run, settings)
    summary = summarise(run, settings, results)
    page = write_report(run.store, summary, results)
    publish(run.store, summary, results)
    log.info(closing_lines(summary))
    log.info(where_to_look())
    log.info(f"report: {page}")
    return results, summary
