"""MNIST from download to report.

python flows/pipeline.py --help
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    # This checkout's code, wherever the environment's own copy lies.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

    try:
        # Options are read before Prefect is imported, which takes seconds.
        from flows.cli.pipeline import pipeline_main

        sys.exit(pipeline_main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except RuntimeError as error:
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        sys.exit(130)  # Python 3.11 wraps Ctrl-C while it makes a class

from prefect import flow

from flows.graph import PreparedData, compute_results
from tasks.engine import PrefectExecutor, open_store
from tasks.records import Results
from tasks.report.artifacts import publish_run
from tasks.report.report import closing_lines, next_step, summarise, write_report
from tasks.report.summary import Summary
from tasks.runtime.console import log
from tasks.runtime.server import ui_location
from tasks.runtime.threads import use_threads
from tasks.settings import Settings


@flow(name="mnist-pipeline", flow_run_name="{settings.title}")
def mnist_pipeline(settings: Settings = Settings()) -> Summary:
    """Download, convert, train, evaluate and report; skip unchanged stages.

    Args:
        settings: all settings, with the tutorial's values as defaults.

    Returns:
        The numbers of the run, as in `artifacts/latest/report/metrics.json`.
    """
    return run_pipeline(settings)


def run_pipeline(settings: Settings) -> Summary:
    """Run all stages and the report."""
    use_threads(settings.threads)
    store = open_store(settings.artifacts)
    with store.in_use():
        executor = PrefectExecutor(store, frozenset(settings.refresh))
        _, summary = train_and_report(executor, settings)
    return summary


def train_and_report(
    executor: PrefectExecutor, settings: Settings, data: PreparedData | None = None
) -> tuple[Results, Summary]:
    """Run all stages, then write the report and its artifacts; see `compute_results`."""
    results = compute_results(executor, settings, data)
    summary = summarise(executor.store, executor.outcomes, settings, results)
    page = write_report(executor.store, summary, settings, results)
    publish_run(executor.store, summary, results, page)
    log.info(closing_lines(summary))
    log.info(ui_location())
    log.info(next_step(summary, page))
    return results, summary
