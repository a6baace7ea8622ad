"""Compare the model of a run with the champion and promote it if it is not worse."""

from dataclasses import dataclass

from tasks.champion.data import DataChange, check_comparable, differences, training_data
from tasks.champion.records import Accuracy, Champion, Facts, TrainingData
from tasks.champion.registry import Champions, best_on, withdrawn
from tasks.champion.rule import Decision, count_discordant, decide, decide_first
from tasks.engine.stage import Executor
from tasks.engine.store import Store
from tasks.model.calibrate import calibrate
from tasks.model.evaluate import classify
from tasks.model.prediction_table import read_predictions
from tasks.records import Classification, Model, Results
from tasks.report.summary import Summary
from tasks.settings import RetrainSettings, Settings


@dataclass(frozen=True)
class PromotionResult:
    """A decision with the champions before and after it."""

    decision: Decision
    before: Champion | None
    after: Champion | None
    facts: Facts
    """About the challenger."""
    change: DataChange | None
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

    `by` is the flow run or user, recorded with the decision.
    """
    champions = Champions(executor.store, retrain.champion)
    champion = champions.current()
    store, splits, model = executor.store, results.splits, results.model.file
    data, change = training_data(store, results.download, splits), None
    if champion:
        change = check_comparable(store, champion, data, new_task=retrain.new_task)
    decision, challenger = compare_with_champion(
        executor, results, settings, retrain, champions, champion, data
    )
    facts = Facts(
        data=data,
        validation=Accuracy(correct=challenger.correct, total=challenger.total),
        test=Accuracy(correct=summary.test.correct, total=summary.test.total),
        settings=summary.settings,
        versions=summary.versions,
    )
    expected, after = champion.id if champion else None, champion
    if decision.verdict == "promoted":
        calibration = calibrate(
            executor,
            train=splits.train,
            validation=splits.validation,
            shape=splits.shape,
            model=results.model,
        )
        after = champions.promote(model, calibration, facts, by, decision.reason, expected)
    elif decision.challenger:  # not the champion itself
        champions.keep_out(model, facts, by, decision.reason, expected)
    return PromotionResult(decision, champion, after, facts, change)


def compare_with_champion(
    executor: Executor,
    results: Results,
    settings: Settings,
    retrain: RetrainSettings,
    champions: Champions,
    champion: Champion | None,
    data: TrainingData,
) -> tuple[Decision, Classification]:
    """Return the decision on the model of a run, and its classification of the validation split."""
    splits, digest = results.splits, results.model.file.sha256

    def classify_validation(model: Model) -> Classification:
        return classify(executor, splits.validation, splits.shape, model, settings.evaluation)

    challenger = classify_validation(results.model)
    if champion is not None and champion.model.sha256 == digest:
        reason = f"the challenger is the champion {champion.id}, byte for byte"
        return Decision(verdict="kept", reason=reason), challenger
    earlier = champions.champions()
    if digest[:12] in withdrawn(earlier):
        reason = (
            f"this model ({digest[:12]}) was withdrawn by a rollback; to use it again:"
            f" {champions.command(f'rollback --to {digest[:12]}')}"
        )
        return Decision(verdict="kept", reason=reason, challenger=challenger), challenger
    if champion is None:
        return decide_first(challenger, retrain), challenger
    if differences(champion.facts.data, data):  # allowed by --new-task
        return decide_first(challenger, retrain, "new task"), challenger
    champion_result = classify_validation(Model(file=champion.model))
    discordant = compare_predictions(executor.store, challenger, champion_result)
    best = best_on(splits.validation.file.sha256, earlier)
    return decide(challenger, champion_result, discordant, best, retrain), challenger


def compare_predictions(
    store: Store, challenger: Classification, champion: Classification
) -> tuple[int, int]:
    """Return how many images only the challenger, and only the champion, classifies correctly."""
    ours, theirs = (
        read_predictions(store.path(classified.predictions), ["label", "predicted"])
        for classified in (challenger, champion)
    )
    return count_discordant(
        ours["label"].to_numpy(), ours["predicted"].to_numpy(), theirs["predicted"].to_numpy()
    )
