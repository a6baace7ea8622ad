"""Score images with the champion.

python flows/predict.py --help
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Import this checkout's code, not a copy installed in the environment.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

    try:
        # Scoring by hand needs no Prefect; `score_batch` is for deployments.
        from flows.cli.predict import predict_main

        sys.exit(predict_main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except RuntimeError as error:
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        sys.exit(130)  # Python 3.11 wraps Ctrl-C while it makes a class

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from tasks.runtime.console import log
from tasks.runtime.errors import PipelineError
from tasks.scoring.score import problem_summary, score_files, summary_lines
from tasks.settings import ScoreSettings
from tasks.settings.run import DEFAULT_OUT
from tasks.words import escape_markdown


@flow(name="score-batch")
def score_batch(paths: list[str], settings: ScoreSettings = ScoreSettings()) -> int:
    """Score pictures with the champion, and write class probabilities as Parquet.

    Args:
        paths: pictures, IDX or Parquet files, or folders of pictures, as the worker sees them.
        settings: output files and options.

    Returns:
        Number of pictures scored.

    Raises:
        PipelineError: some files could not be read; the scores of the others are written.
    """
    result = score_files(paths, settings.model_copy(update={"out": settings.out or DEFAULT_OUT}))
    summary = [*summary_lines(result), *result.tally.mark_lines()]
    others = [*result.reports.notes, *result.problems]
    log.info("\n".join([*result.tally.lines(), *summary, *others]))
    create_markdown_artifact(
        key="scores",
        markdown="\n".join([*summary, "", *(f"- {escape_markdown(line)}" for line in others)]),
        description="Number of pictures scored, and files that were left out",
    )
    if result.problems:
        raise PipelineError(problem_summary(result))
    return result.images
