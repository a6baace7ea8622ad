"""Scheduled retraining: the main job as challenger, compared with the champion.

python flows/retrain.py --help
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    # This checkout's code, wherever the environment's own copy lies.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

    # Options are read before Prefect is imported, which takes seconds.
    from flows.cli.retrain import retrain

    sys.exit(retrain(sys.argv[1:]))

from datetime import datetime

from prefect import flow, runtime

from flows.pipeline import train_and_report
from tasks.champion.artifacts import closing_lines, publish_decision
from tasks.champion.promotion import promote_if_not_worse, user
from tasks.champion.registry import Champions
from tasks.champion.rule import Decision
from tasks.data.download import may_change
from tasks.engine.executors import PrefectExecutor
from tasks.engine.store import open_store
from tasks.runtime.console import log
from tasks.runtime.hooks import publish_failure_reason
from tasks.runtime.threads import use_threads
from tasks.settings import RetrainSettings, Settings
from tasks.settings.runners import task_runner

TIMEOUT_SECONDS = 6 * 3600
"""Training takes minutes; a run of hours hangs, and stands in the way of the next."""


@flow(
    name="scheduled-retraining",
    timeout_seconds=TIMEOUT_SECONDS,
    on_failure=[publish_failure_reason],
    on_crashed=[publish_failure_reason],
)
def scheduled_retraining(
    settings: Settings = Settings(), retrain: RetrainSettings = RetrainSettings()
) -> Decision:
    """Train a challenger on the data as it is now; it replaces the champion if it is not worse.

    What is unchanged is skipped: if the data, the code and the seed are, so is everything.

    Args:
        settings: how the challenger is trained.
        retrain: when it becomes the champion.
    """
    use_threads(settings.threads)
    store = open_store(settings.artifacts)
    Champions(store)  # where none can be kept, the run ends here
    # The day that it was to start, however late it does, and the same when it is tried again.
    settings = with_seed(settings, retrain, runtime.flow_run.scheduled_start_time)
    settings = with_new_download(settings)
    with store.in_use(), task_runner(settings) as runner:
        executor = PrefectExecutor(store, frozenset(settings.refresh), runner)
        results, summary = train_and_report(executor, settings)
        outcome = promote_if_not_worse(executor, results, summary, settings, retrain, by=who())
    publish_decision(outcome, retrain)
    log.info(closing_lines(outcome))
    return outcome.decision


def with_seed(settings: Settings, retrain: RetrainSettings, scheduled: datetime) -> Settings:
    """Return the settings with the seed of the seed policy.

    Args:
        settings: with the seed for the policy `fixed`.
        retrain: names the policy.
        scheduled: when the run was to start, UTC.
    """
    if retrain.seed_policy == "fixed":
        return settings
    training = settings.training.model_copy(update={"seed": int(f"{scheduled:%Y%m%d}")})
    log.info(f"seed {training.seed}, from the day that the run is scheduled for")
    return settings.model_copy(update={"training": training})


def with_new_download(settings: Settings) -> Settings:
    """Return settings that run `download` again if the source may hold other files than before.

    Later stages run again only if the files have changed.
    """
    if not may_change(settings.download):
        return settings
    return settings.model_copy(update={"refresh": (*settings.refresh, "download")})


def who() -> str:
    """Who promotes a model in this flow run."""
    name = runtime.deployment.name
    return f"flow run {runtime.flow_run.name} ({f'deployment {name}' if name else user()})"
