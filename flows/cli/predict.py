"""The command line of flows/predict.py."""

import sys
from typing import Annotated

from cyclopts import App, Parameter

from flows.cli.common import fail, make_app, parse
from tasks.runtime.console import print_log_lines
from tasks.settings import ScoreSettings


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
        """Score images with the champion, and write class probabilities as Parquet.

        Args:
            paths: PNG, IDX (gzipped or not) or Parquet files, or folders of PNG files.
            settings: Output file and options.
        """
        from tasks.scoring.score import problem_summary, score, summary_lines

        print_log_lines()
        result = score(paths, settings)
        print("\n".join(summary_lines(result)))
        if not result.problems:
            return 0
        print("\n".join(result.problems), file=sys.stderr)
        return fail(problem_summary(result), 1)

    return app
