"""Challenger against champion: what is looked at, and what is kept of it."""

import getpass
import platform
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from tasks.champion.registry import Accuracy, Champion, Champions, Facts
from tasks.champion.rule import Decision, decide, decide_first, pair
from tasks.engine.stage import Executor
from tasks.model.evaluate import classify
from tasks.records import Classification, Model, Results
from tasks.report.summary import Summary
from tasks.runtime.console import log
from tasks.settings import RetrainSettings, Settings


@dataclass(frozen=True)
class Outcome:
    """A decision, and the champions around it."""

    decision: Decision
    before: Champion | None
    after: Champion | None
    facts: Facts
    """Of the challenger."""
    faults: tuple[str, ...]
    """What is wrong with champions that should have been used."""


def promote_if_not_worse(
    executor: Executor,
    results: Results,
    summary: Summary,
    settings: Settings,
    retrain: RetrainSettings,
    by: str,
) -> Outcome:
    """Compare the model of a run with the champion, and put it into use if it is not worse.

    Args:
        executor: runs the stages.
        results: what the stages gave.
        summary: the run in numbers.
        settings: it was trained with.
        retrain: the rule's limits.
        by: who is told to have promoted it.
    """
    champions = Champions(executor.store)
    seen = champions.current_name()
    found = champions.find()
    for fault in found.faults:
        fallback = f"falling back to {found.champion.id}" if found.champion else "no other is left"
        log.warning(f"{fault}; {fallback}")
    decision, challenger = judge(executor, results, settings, retrain, champions, found.champion)
    facts = facts_about(results, summary, challenger)
    after = found.champion
    if decision.verdict == "promoted":
        after = champions.promote(results.model.file, facts, by, decision.reason, instead_of=seen)
    return Outcome(decision, found.champion, after, facts, found.faults)


def judge(
    executor: Executor,
    results: Results,
    settings: Settings,
    retrain: RetrainSettings,
    champions: Champions,
    champion: Champion | None,
) -> tuple[Decision, Classification]:
    """Decide about a run's model.

    Returns:
        The decision, and what the model makes of the validation split.
    """
    splits, digest = results.splits, results.model.file.sha256

    def ask(model: Model) -> Classification:
        return classify(executor, splits.validation, splits.shape, model, settings.evaluation)

    challenger = ask(results.model)
    if champion is not None and champion.model.sha256 == digest:
        reason = f"the challenger is the champion {champion.id}, byte for byte: nothing has changed"
        return Decision(verdict="kept", reason=reason), challenger
    if digest[:12] in champions.withdrawn():
        reason = (
            f"this very model ({digest[:12]}) was withdrawn by a rollback; to use it after all:"
            f" `python flows/retrain.py rollback --to {digest[:12]}`"
        )
        return Decision(verdict="kept", reason=reason, challenger=challenger), challenger
    if champion is None:
        return decide_first(challenger, retrain), challenger
    defender = ask(Model(file=champion.model))
    labels, by_challenger = read_predictions(executor, challenger)
    _, by_champion = read_predictions(executor, defender)
    pairs = pair(labels, by_challenger, by_champion)
    best = champions.best(splits.validation.file.sha256)
    return decide(challenger, defender, pairs, best, retrain), challenger


def read_predictions(executor: Executor, asked: Classification) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted classes, uint8 [n] each."""
    table = pq.read_table(executor.store.path(asked.predictions), columns=["label", "predicted"])
    return table["label"].to_numpy(), table["predicted"].to_numpy()


def facts_about(results: Results, summary: Summary, validation: Classification) -> Facts:
    """What is kept with a champion."""
    splits = results.splits
    return Facts(
        shape=splits.shape,
        validation=Accuracy(
            correct=validation.correct, total=validation.total, data=splits.validation.file.sha256
        ),
        test=Accuracy(
            correct=summary.test.correct, total=summary.test.total, data=splits.test.file.sha256
        ),
        settings=summary.settings,
        versions=summary.versions,
    )


def user() -> str:
    """Who is at this machine."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may know no names
        name = "somebody"
    return f"{name} at {platform.node()}"
