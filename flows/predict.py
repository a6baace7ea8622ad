"""Score images with the champion.

python flows/predict.py --help
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Import this checkout's code, not a copy installed in the environment.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

    # Scoring by hand needs no Prefect; `score_batch` is for deployments.
    from flows.cli.predict import predict_main

    sys.exit(predict_main(sys.argv[1:]))

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from tasks.runtime.console import log
from tasks.runtime.errors import PipelineError
from tasks.runtime.hooks import publish_failure_reason
from tasks.scoring.score import problem_summary, score, summary_lines
from tasks.settings import ScoreSettings


@flow(name="score-batch", on_failure=[publish_failure_reason], on_crashed=[publish_failure_reason])
def score_batch(paths: list[str], settings: ScoreSettings = ScoreSettings()) -> int:
    """Score images with the champion, and write class probabilities as Parquet.

    Args:
        paths: PNG, IDX or Parquet files, or folders of PNG files, as the worker sees them.
        settings: output file and options.

    Returns:
        Number of images scored.

    Raises:
        PipelineError: some files could not be read; the scores of the others are written.
    """
    result = score(paths, settings)
    summary = summary_lines(result)
    log.info("\n".join([*summary, *result.problems]))
    create_markdown_artifact(
        key="scores",
        markdown="\n".join([*summary, "", *(f"- {problem}" for problem in result.problems)]),
        description="Number of images scored, and files that were left out",
    )
    if result.problems:
        raise PipelineError(problem_summary(result))
    return result.images
