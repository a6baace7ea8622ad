"""The command line of flows/pipeline.py."""

from typing import Annotated

from cyclopts import App, Parameter
from pydantic import NonNegativeFloat, NonNegativeInt

from flows.cli import ArtifactsOption, make_app, parse, run_to_exit_code, with_refresh_all
from tasks import housekeeping
from tasks.settings import Settings
from tasks.store import open_store
from tasks.threads import use_threads


def pipeline(arguments: list[str]) -> int:
    """`python flows/pipeline.py`: see there."""
    app = make_app("pipeline.py")
    app.command(cache_app())

    @app.default
    def run(
        *,
        settings: Annotated[Settings, Parameter(name="*")] = Settings(),
        status: bool = False,
    ) -> int:
        """Train the tutorial's network on MNIST and report on it; skip what is unchanged.

        Args:
            status: Run nothing; say for each stage whether it is up to date, or why it would run.
        """
        if status:
            return show_status(settings)

        def job() -> None:
            from flows.pipeline import mnist_pipeline
            from flows.server import server_for_this_run

            with server_for_this_run():
                mnist_pipeline(settings)

        return run_to_exit_code(job)

    return parse(app, with_refresh_all(arguments))


def show_status(settings: Settings) -> int:
    """Print a line per stage, without Prefect or TensorFlow."""
    from flows.mnist import compute_results
    from tasks.status import StatusRun

    use_threads(settings.threads)
    run = StatusRun(open_store(settings.artifacts), frozenset(settings.refresh))
    compute_results(run, settings)
    print("\n".join(run.lines()))
    return 0


def cache_app() -> App:
    """`cache ls | show KEY | prune`: what the artifact root holds, and what may go."""
    app = App(name="cache", help="What is kept, how large it is, from which settings.")

    @app.command
    def ls(*, artifacts: ArtifactsOption = None) -> int:
        """List what is kept, oldest first."""
        print("\n".join(housekeeping.listing(open_store(artifacts))))
        return 0

    @app.command
    def show(key: str, *, artifacts: ArtifactsOption = None) -> int:
        """Show one record.

        Args:
            key: The first digits of a key, as `ls` shows them.
        """
        print(housekeeping.describe(open_store(artifacts), key))
        return 0

    @app.command
    def prune(
        *,
        keep_latest: NonNegativeInt = 3,
        older_than: NonNegativeFloat = 30.0,
        dry_run: bool = False,
        artifacts: ArtifactsOption = None,
    ) -> int:
        """Remove old results, never those that `latest` needs or that a run is using.

        Args:
            keep_latest: Of each stage, keep this many of the most recently used.
            older_than: Remove only what has not been used for so many days.
            dry_run: Say what would go, and remove nothing.
        """
        store = open_store(artifacts)
        lines = housekeeping.prune(store, keep_latest, older_than, dry_run)
        print("\n".join(lines))
        return 0

    return app
