"""The command line of flows/predict.py."""

import sys
from typing import Annotated

from cyclopts import App, Parameter

from flows.cli.common import fail, make_app, parse
from tasks.runtime.console import print_log_lines
from tasks.settings import ScoreSettings


def predict(arguments: list[str]) -> int:
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
        """
        from tasks.scoring.score import complaint, lines, score

        print_log_lines()
        scored = score(paths, settings)
        print("\n".join(lines(scored)))
        if not scored.faults:
            return 0
        print("\n".join(scored.faults), file=sys.stderr)
        return fail(complaint(scored), 1)

    return app
