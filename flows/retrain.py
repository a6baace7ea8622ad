"""Scheduled retraining: train a challenger and compare it with the champion.

python flows/retrain.py --help
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Import this checkout's code, not a copy installed in the environment.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

    try:
        # Options are read before Prefect is imported, which takes seconds.
        from flows.cli.retrain import retrain_main

        sys.exit(retrain_main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except RuntimeError as error:
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        sys.exit(130)  # Python 3.11 wraps Ctrl-C while it makes a class

from datetime import datetime

from prefect import flow, runtime

from flows.graph import prepare_data
from flows.pipeline import train_and_report
from tasks.champion.artifacts import publish_decision
from tasks.champion.data import check_comparable, training_data
from tasks.champion.promotion import promote_if_not_worse
from tasks.champion.registry import Champions
from tasks.champion.rule import Decision
from tasks.data.download import may_change
from tasks.engine.executors import PrefectExecutor
from tasks.engine.store import open_store
from tasks.runtime.console import log
from tasks.runtime.environment import user_and_host
from tasks.runtime.threads import use_threads
from tasks.settings import RetrainSettings, Settings

TIMEOUT_SECONDS = 6 * 3600
"""Training takes minutes; a run of hours hangs and blocks the next one."""


@flow(name="scheduled-retraining", timeout_seconds=TIMEOUT_SECONDS)
def scheduled_retraining(
    settings: Settings = Settings(), retrain: RetrainSettings = RetrainSettings()
) -> Decision:
    """Train a challenger on the current data and promote it if it is not worse.

    Unchanged stages are skipped.

    Args:
        settings: settings of the challenger's training.
        retrain: limits of the promotion rule, and the seed policy.
    """
    use_threads(settings.threads)
    store = open_store(settings.artifacts)
    champion = Champions(store, retrain.champion).current()  # a damaged one ends the run here
    # The scheduled day, also if the run starts late or is retried.
    settings = with_seed(settings, retrain, runtime.flow_run.scheduled_start_time)
    settings = with_new_download(settings)
    with store.in_use():
        executor = PrefectExecutor(store, frozenset(settings.refresh))
        data = prepare_data(executor, settings)
        if champion:
            facts = training_data(store, data.download, data.splits)
            check_comparable(store, champion, facts, new_task=retrain.new_task)
        results, summary = train_and_report(executor, settings, data)
        promotion = promote_if_not_worse(
            executor, results, summary, settings, retrain, by=promoter()
        )
    publish_decision(promotion, retrain)
    decision, after = promotion.decision, promotion.after
    log.info(f"retraining: {decision.verdict}: {decision.reason}")
    log.info(f"champion: {after.id if after else 'none'}")
    return decision


def with_seed(settings: Settings, retrain: RetrainSettings, scheduled: datetime) -> Settings:
    """Return the settings with the seed of the seed policy, from the scheduled start (UTC)."""
    if retrain.seed_policy == "fixed":
        return settings
    training = settings.training.model_copy(update={"seed": int(f"{scheduled:%Y%m%d}")})
    log.info(f"seed {training.seed}, from the scheduled day")
    return settings.model_copy(update={"training": training})


def with_new_download(settings: Settings) -> Settings:
    """Return settings that run `download` again if the source may hold other files than before.

    Later stages run again only if the files have changed.
    """
    if not may_change(settings.download):
        return settings
    return settings.model_copy(update={"refresh": (*settings.refresh, "download")})


def promoter() -> str:
    """Return the name of this flow run with its deployment or user."""
    name = runtime.deployment.name
    return f"flow run {runtime.flow_run.name} ({f'deployment {name}' if name else user_and_host()})"
