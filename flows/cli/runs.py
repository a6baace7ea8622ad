"""The commands `runs` and `compare` of flows/pipeline.py."""

from cyclopts import App

from flows.cli.common import ArtifactsOption
from tasks.engine import open_store
from tasks.runtime.errors import PipelineError


def register(app: App) -> None:
    """Add the commands to a command line."""

    @app.command
    def runs(*, artifacts: ArtifactsOption = None) -> int:
        """List all runs: when, settings that differ, accuracy, training time.

        Args:
            artifacts: Folder or URL of the results.
        """
        from tasks.report.report import clickable, write_index
        from tasks.report.runs import kept_numbers, listing, read_run

        store = open_store(artifacts)
        found = []
        for number in kept_numbers(store):
            try:
                found.append(read_run(store, number))
            except PipelineError as error:
                print(error)
        if not found:
            print("no run is kept yet: python flows/pipeline.py")
            return 0
        print("\n".join(listing(found)))
        write_index(store)
        print(f"page: {clickable(f'{store.address}/runs/index.html')}")
        return 0

    @app.command
    def compare(first: str, second: str = "latest", *, artifacts: ArtifactsOption = None) -> int:
        """Compare two runs: settings, learning curves, accuracy, and the images that differ.

        Args:
            first: Number or name of a run, as `runs` lists them, or `latest`.
            second: Another one.
            artifacts: Folder or URL of the results.
        """
        from tasks.report.compare import compare as compare_runs
        from tasks.report.compare import comparison_lines, write_comparison
        from tasks.report.report import clickable
        from tasks.report.runs import find_run

        store = open_store(artifacts)
        found = compare_runs(find_run(store, first), find_run(store, second))
        print("\n".join(comparison_lines(found)))
        print(f"page: {clickable(write_comparison(store, found))}")
        return 0
