"""The command line of flows/pipeline.py."""

import webbrowser
from typing import Annotated

from cyclopts import App, Parameter
from pydantic import NonNegativeFloat, NonNegativeInt

from flows.cli.common import (
    ArtifactsOption,
    SettingsOption,
    call_flow,
    make_app,
    parse,
    run_to_exit_code,
)
from flows.cli.runs import register
from tasks.engine import LookupExecutor, NotCachedError, Store, open_store, prune
from tasks.engine.explain import leaves
from tasks.engine.layout import LATEST
from tasks.report.summary import keys_of_latest
from tasks.runtime.console import log
from tasks.runtime.server import HOW_TO_SEE_RUNS, server_is_configured
from tasks.runtime.threads import use_threads
from tasks.settings import Settings

NO_FLOW_RUN = "no flow run was needed"


def pipeline_main(arguments: list[str]) -> int:
    """Run `python flows/pipeline.py` and return its exit code."""
    return parse(pipeline_app(), arguments)


def pipeline_app() -> App:
    """Return the command line of `python flows/pipeline.py`."""
    app = make_app("pipeline.py")
    app.command(cache_app())
    register(app)

    @app.default
    def run(
        *,
        settings: SettingsOption = Settings(),
        status: bool = False,
        show: Annotated[bool, Parameter(name="--open")] = False,
    ) -> int:
        """Train the tutorial's network on MNIST and report on it; skip what is unchanged.

        Args:
            settings: All settings of the run.
            status: Run nothing; print for each stage whether it is up to date, or why it would run.
            show: Open the report in the browser at the end.
        """
        if status:
            return show_status(settings)
        code = run_unchanged_or_flow(settings)
        if show and code == 0:
            webbrowser.open(report_link(open_store(settings.artifacts)))
        return code

    return app


def show_status(settings: Settings) -> int:
    """Print a line per stage, without Prefect or TensorFlow."""
    from flows.graph import compute_results

    use_threads(settings.threads)
    executor = LookupExecutor(open_store(settings.artifacts), frozenset(settings.refresh))
    compute_results(executor, settings)
    print("\n".join(executor.lines()))
    return 0


def run_unchanged_or_flow(settings: Settings) -> int:
    """Run the flow, unless every stage is up to date and no server is configured."""

    def job() -> None:
        if settings.refresh or server_is_configured() or not report_unchanged(settings):
            from prefect import tags

            with tags(settings.preset, f"seed {settings.training.seed}"):
                call_flow("flows.pipeline:mnist_pipeline", settings)

    return run_to_exit_code(job)


def report_unchanged(settings: Settings) -> bool:
    """Write the report from cached results alone, without Prefect and its temporary server.

    Returns:
        False, and nothing is written, if a stage has to run.
    """
    from flows.graph import compute_results
    from tasks.report.report import closing_lines, next_step, summarise, write_report

    use_threads(settings.threads)
    store = open_store(settings.artifacts)
    with store.in_use():
        executor = LookupExecutor(store, cached_only=True)
        try:
            results = compute_results(executor, settings)
        except NotCachedError:
            return False
        summary = summarise(store, executor.outcomes, settings, results)
        page = write_report(store, summary, settings, results)
    for outcome in executor.outcomes:
        log.info(f"{outcome.name}: {outcome.state}")
    log.info(closing_lines(summary))
    log.info(f"{NO_FLOW_RUN}; {HOW_TO_SEE_RUNS}")
    log.info(next_step(summary, page))
    return True


def report_link(store: Store) -> str:
    """Return the address of the last report, as a browser opens it."""
    from tasks.report.report import clickable

    return clickable(f"{store.address}/{LATEST}/report/index.html")


def cache_app() -> App:
    """`cache ls | show KEY | prune`: list, show and remove cached results."""
    app = App(name="cache", help="What is kept, how large it is, from which settings.")

    @app.command
    def ls(*, artifacts: ArtifactsOption = None) -> int:
        """List the cached results, oldest first."""
        store = open_store(artifacts)
        defaults = {path[-1]: value for path, value in leaves(Settings().model_dump(mode="json"))}
        print("\n".join(prune.listing(store, defaults, keys_of_latest(store))))
        return 0

    @app.command
    def show(key: str, *, artifacts: ArtifactsOption = None) -> int:
        """Show one record.

        Args:
            key: The first digits of a key, as `ls` shows them.
            artifacts: Folder or URL of the results.
        """
        print(prune.show(open_store(artifacts), key))
        return 0

    @app.command(name="prune")
    def prune_cache(
        *,
        keep_latest: NonNegativeInt = 3,
        older_than: NonNegativeFloat = 30.0,
        dry_run: bool = False,
        artifacts: ArtifactsOption = None,
    ) -> int:
        """Remove old results, never those that `latest` needs or that a run is using.

        Args:
            keep_latest: Number of most recently used results to keep for each stage.
            older_than: Remove only results that have not been used for this number of days.
            dry_run: List what would be removed, and remove nothing.
            artifacts: Folder or URL of the results.
        """
        store = open_store(artifacts)
        lines = prune.prune(
            store,
            keys_of_latest(store),
            keep_latest=keep_latest,
            older_than=older_than,
            dry_run=dry_run,
        )
        print("\n".join(lines))
        return 0

    return app
