"""Publish a promotion decision as a Prefect artifact and event."""

from collections.abc import Sequence

import numpy as np
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event

from tasks.champion.change import change_markdown
from tasks.champion.promotion import PromotionResult
from tasks.champion.registry import Accuracy, Champion, Facts
from tasks.champion.rule import Decision
from tasks.records import Classification
from tasks.settings import RetrainSettings
from tasks.settings.run import DEFAULT_CHAMPION
from tasks.words import escape_markdown, markdown_table, percent

ARTIFACT_KEY = "retraining-decision"
RESOURCE_ID = "mnist.champion"
EVENTS = {"promoted": "mnist.champion.promoted", "kept": "mnist.champion.kept"}


def publish_decision(promotion: PromotionResult, retrain: RetrainSettings) -> None:
    """Create the artifact of the current flow run and emit the event."""
    create_markdown_artifact(
        key=ARTIFACT_KEY,
        markdown=decision_markdown(promotion, retrain),
        description="Whether the challenger became the champion, and why",
    )
    in_use = promotion.after.id if promotion.after else "none"
    emit_event(
        event=EVENTS[promotion.decision.verdict],
        resource={
            "prefect.resource.id": RESOURCE_ID,
            "prefect.resource.name": in_use,
            "mnist.champion.id": in_use,
        },
        payload={
            "verdict": promotion.decision.verdict,
            "reason": promotion.decision.reason,
            "champion": in_use,
            "name": retrain.champion,
            "champion_before": promotion.before.id if promotion.before else None,
            "validation": promotion.facts.validation.model_dump(),
            "test": promotion.facts.test.model_dump(),
            "p_value": promotion.decision.p_value,
        },
    )


def decision_markdown(promotion: PromotionResult, retrain: RetrainSettings) -> str:
    """Return the decision, the accuracies and the difference of the confusion matrices."""
    decision, after = promotion.decision, promotion.after
    name = "" if retrain.champion == DEFAULT_CHAMPION else f" {retrain.champion}"
    in_use = f"Champion{name} in use: `{after.id}`." if after else f"No champion{name} yet."
    problems = [f"**Damaged:** {escape_markdown(problem)}." for problem in promotion.problems]
    parts = [
        f"# {decision.verdict.capitalize()}",
        f"{escape_markdown(decision.reason[0].upper() + decision.reason[1:])}. {in_use}",
        *problems,
        score_table(promotion.facts, promotion.before, decision.champion),
    ]
    if promotion.change:
        parts.append(change_markdown(promotion.change))
    if decision.p_value is not None:
        parts.append(test_table(decision, retrain))
    if decision.challenger and decision.champion:
        rows = difference_rows(
            decision.challenger, decision.champion, promotion.facts.named_classes()
        )
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def score_table(
    challenger: Facts, champion: Champion | None, classification: Classification | None
) -> str:
    """Return the accuracies of both models as a Markdown table."""
    validation, test = "Validation", "Test (reported only)"
    rows = [
        {
            "Model": f"Challenger, seed {challenger.settings['training']['seed']}",
            validation: challenger.validation.percent,
            test: challenger.test.percent,
        }
    ]
    if champion:
        facts = champion.facts
        accuracy = accuracy_cell(facts.validation, challenger.validation)
        if classification:
            accuracy = percent(classification.correct / classification.total)
        rows.append(
            {
                "Model": f"Champion {champion.id}",
                validation: accuracy,
                test: accuracy_cell(facts.test, challenger.test),
            }
        )
    return markdown_table(rows, [validation, test])


def accuracy_cell(champion: Accuracy, challenger: Accuracy) -> str:
    """Return the champion's accuracy, marked if it was measured on other images."""
    other = "" if champion.data == challenger.data else " (on other images)"
    return f"{champion.percent}{other}"


def test_table(decision: Decision, retrain: RetrainSettings) -> str:
    """Return the counts and the p-value of McNemar's test as a Markdown table."""
    rows = {
        "images that only the challenger classifies correctly": decision.only_challenger,
        "images that only the champion classifies correctly": decision.only_champion,
        "p-value, if both are equally good (exact McNemar test, one-sided; rejected below"
        f" {retrain.alpha:g})": f"{decision.p_value:.3g}",
        "allowed distance below the best champion so far": percent(retrain.margin),
    }
    return markdown_table(
        [{"Validation": name, "Value": value} for name, value in rows.items()], ["Value"]
    )


def difference_rows(
    challenger: Classification, champion: Classification, class_names: Sequence[str]
) -> list[str]:
    """Return the challenger's confusion matrix minus the champion's as a Markdown table."""
    difference = np.array(challenger.confusion) - np.array(champion.confusion)
    names = [escape_markdown(name) for name in class_names]
    return [
        "Confusion matrix of the validation split, challenger minus champion (rows true, columns"
        " predicted; better: higher on the diagonal, lower elsewhere):",
        "",
        "| | " + " | ".join(names) + " |",
        "|---|" + "---:|" * len(names),
        *(
            f"| **{name}** | " + " | ".join(f"{n:+d}" if n else "·" for n in row) + " |"
            for name, row in zip(names, difference, strict=True)
        ),
    ]


def decision_lines(promotion: PromotionResult) -> str:
    """Return the last log lines of a run: the decision and the champion."""
    in_use = promotion.after.id if promotion.after else "none"
    return (
        f"retraining: {promotion.decision.verdict}: {promotion.decision.reason}\nchampion: {in_use}"
    )
