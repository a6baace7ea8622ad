"""Compare the model of a run with the champion and promote it if it is not worse."""

import getpass
import platform
from dataclasses import dataclass

from tasks.champion.change import DataChange, compare_data
from tasks.champion.data import TrainingData, challenger_data, check_same_task, data_differences
from tasks.champion.kept_out import record_kept_out
from tasks.champion.registry import Accuracy, Champion, Champions, Facts
from tasks.champion.rule import Decision, Pairs, decide, decide_first, pair
from tasks.data.sources.mnist import is_mnists_train_file
from tasks.engine.stage import Executor
from tasks.engine.store import Store
from tasks.model.calibrate import calibrate
from tasks.model.evaluate import classify
from tasks.model.prediction_table import read_predictions
from tasks.records import Calibration, Classification, Model, Results
from tasks.report.summary import Summary
from tasks.runtime.console import log
from tasks.settings import RetrainSettings, Settings


@dataclass(frozen=True)
class PromotionResult:
    """A decision with the champions before and after it."""

    decision: Decision
    before: Champion | None
    after: Champion | None
    facts: Facts
    """About the challenger."""
    problems: tuple[str, ...]
    """One line for each damaged champion that had to be skipped."""
    change: DataChange | None = None
    """How the data have changed since the champion; None if they have not."""


def promote_if_not_worse(
    executor: Executor,
    results: Results,
    summary: Summary,
    settings: Settings,
    retrain: RetrainSettings,
    by: str,
) -> PromotionResult:
    """Compare the model of a run with the champion and promote it if it is not worse.

    Args:
        executor: runs the stages.
        results: records of the stages.
        summary: numbers of the run.
        settings: settings of the run.
        retrain: limits of the promotion rule.
        by: flow run or user, recorded with the champion.

    Raises:
        PipelineError: the challenger was trained on data of another kind.
    """
    champions = Champions(executor.store, retrain.champion)
    current = champions.current_name()
    found = champions.find()
    for problem in found.problems:
        fallback = f"falling back to {found.champion.id}" if found.champion else "no other is left"
        log.warning(f"{problem}; {fallback}")
    data = challenger_data(executor.store, results.download, results.splits)
    if found.champion and not retrain.new_task:
        check_same_task(found.champion, data, settings.download)
    change = (
        compare_data(executor.store, found.champion, results.splits) if found.champion else None
    )
    decision, challenger = compare_with_champion(
        executor, results, settings, retrain, champions, found.champion, data
    )
    facts = facts_about(results, summary, challenger, data)
    after = found.champion
    if decision.verdict == "promoted":
        calibration = calibrate_model(executor, results)
        after = champions.promote(
            results.model.file,
            facts,
            by,
            decision.reason,
            expected_current=current,
            calibration=calibration,
        )
    elif decision.challenger:  # not the champion itself
        stays = found.champion.id if found.champion else None
        digest = results.model.file.sha256
        record_kept_out(champions, digest, facts, by, decision.reason, champion=stays)
    return PromotionResult(decision, found.champion, after, facts, found.problems, change)


def calibrate_model(executor: Executor, results: Results) -> Calibration:
    """Return the calibration of the model of a run."""
    splits, model = results.splits, results.model
    return calibrate(
        executor,
        train=splits.train,
        validation=splits.validation,
        shape=splits.shape,
        model=model,
    )


def compare_with_champion(
    executor: Executor,
    results: Results,
    settings: Settings,
    retrain: RetrainSettings,
    champions: Champions,
    champion: Champion | None,
    data: TrainingData,
) -> tuple[Decision, Classification]:
    """Apply the promotion rule to the model of a run.

    Returns:
        The decision, and the challenger's classification of the validation split.
    """
    splits, digest = results.splits, results.model.file.sha256

    def classify_validation(model: Model) -> Classification:
        return classify(executor, splits.validation, splits.shape, model, settings.evaluation)

    challenger = classify_validation(results.model)
    if champion is not None and champion.model.sha256 == digest:
        reason = f"the challenger is the champion {champion.id}, byte for byte"
        if champion.onnx is None:  # of an earlier version
            reason = f"{reason}, and gets the calibration that it lacked"
            return Decision(verdict="promoted", reason=reason, challenger=challenger), challenger
        return Decision(verdict="kept", reason=reason), challenger
    if digest[:12] in champions.withdrawn():
        reason = (
            f"this model ({digest[:12]}) was withdrawn by a rollback; to use it again:"
            f" `python flows/retrain.py rollback --to {digest[:12]}{champions.options}`"
        )
        return Decision(verdict="kept", reason=reason, challenger=challenger), challenger
    if champion is None:
        return decide_first(challenger, retrain), challenger
    if data_differences(champion, data, settings.download):  # allowed by --new-task
        return decide_first(challenger, retrain, "new task"), challenger
    champion_result = classify_validation(Model(file=champion.model))
    pairs = pair_predictions(executor.store, challenger, champion_result)
    best = champions.best(splits.validation.file.sha256)
    return decide(challenger, champion_result, pairs, best, retrain), challenger


def pair_predictions(store: Store, challenger: Classification, champion: Classification) -> Pairs:
    """Count how the two models agree on the images of the validation split."""
    ours, theirs = (
        read_predictions(store.path(classified.predictions), ["label", "predicted"])
        for classified in (challenger, champion)
    )
    return pair(
        ours["label"].to_numpy(), ours["predicted"].to_numpy(), theirs["predicted"].to_numpy()
    )


def facts_about(
    results: Results, summary: Summary, validation: Classification, data: TrainingData
) -> Facts:
    """Return the facts that are recorded with a champion."""
    splits, files = results.splits, results.download.files
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
        source=data.source,
        train=splits.train.file.sha256,
        ground=data.ground,
        mnist=is_mnists_train_file(files.train_images.sha256),
        class_names=data.class_names,
    )


def user_and_host() -> str:
    """Return the user and the host, as `name at host`."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may have no user database
        name = "unknown user"
    return f"{name} at {platform.node()}"
