"""Images scored with the champion.

python flows/predict.py --help
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    # This checkout's code, wherever the environment's own copy lies.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

    # Scoring by hand needs no Prefect; `score_batch` is for deployments.
    from flows.cli.predict import predict

    sys.exit(predict(sys.argv[1:]))

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from tasks.runtime.console import log
from tasks.runtime.errors import PipelineError
from tasks.runtime.hooks import publish_failure_reason
from tasks.scoring.score import complaint, lines, score
from tasks.settings import ScoreSettings


@flow(name="score-batch", on_failure=[publish_failure_reason], on_crashed=[publish_failure_reason])
def score_batch(paths: list[str], settings: ScoreSettings = ScoreSettings()) -> int:
    """Score images with the champion, and write class probabilities as Parquet.

    Args:
        paths: PNG, IDX or Parquet files, or folders of PNG files, as the worker sees them.
        settings: where to write, and how.

    Returns:
        How many images were scored.

    Raises:
        PipelineError: some files were no good; what could be scored is written.
    """
    scored = score(paths, settings)
    said = lines(scored)
    log.info("\n".join([*said, *scored.faults]))
    create_markdown_artifact(
        key="scores",
        markdown="\n".join([*said, "", *(f"- {fault}" for fault in scored.faults)]),
        description="How many images were scored, and what was left out",
    )
    if scored.faults:
        raise PipelineError(complaint(scored))
    return scored.images
