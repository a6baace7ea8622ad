"""The command line of flows/predict.py."""

import sys
from typing import Annotated

from cyclopts import App, Parameter

from flows.cli.common import fail, make_app, parse
from tasks.runtime.console import print_log_lines
from tasks.settings import ScoreSettings
from tasks.settings.run import DEFAULT_OUT


def predict_main(arguments: list[str]) -> int:
    """Run `python flows/predict.py` and return its exit code."""
    return parse(predict_app(), arguments)


def predict_app() -> App:
    """Return the command line of `python flows/predict.py`."""
    app = make_app("predict.py")

    @app.default
    def run(
        paths: Annotated[list[str], Parameter(consume_multiple=True)],
        /,
        *,
        settings: Annotated[ScoreSettings, Parameter(name="*")] = ScoreSettings(),
    ) -> int:
        """Say which class the champion sees in pictures, and how sure it is.

        Args:
            paths: Pictures (PNG, JPEG, WebP, BMP, TIFF, GIF), folders of them, IDX files (gzipped
                or not), or Parquet files.
            settings: Output files and options.
        """
        from tasks.scoring.score import problem_summary, score_files, summary_lines

        print_log_lines()
        out = settings.out or (None if sys.stdout.isatty() else DEFAULT_OUT)
        result = score_files(paths, settings.model_copy(update={"out": out}))
        print("\n".join([*result.tally.lines(), *summary_lines(result)]))
        if lines := [*result.reports.notes, *result.problems]:
            print("\n".join(lines), file=sys.stderr)
        return fail(problem_summary(result), 1) if result.problems else 0

    return app
