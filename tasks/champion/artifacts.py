"""Publish a promotion decision as a Prefect artifact and event."""

import numpy as np
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event

from tasks.champion.promotion import PromotionResult
from tasks.champion.registry import Accuracy, Champion, Facts, percent
from tasks.champion.rule import Decision
from tasks.data.dataset import class_names
from tasks.records import Classification
from tasks.settings import RetrainSettings

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
            "champion_before": promotion.before.id if promotion.before else None,
            "validation": promotion.facts.validation.model_dump(),
            "test": promotion.facts.test.model_dump(),
            "p_value": promotion.decision.p_value,
        },
    )


def decision_markdown(promotion: PromotionResult, retrain: RetrainSettings) -> str:
    """Return the decision, the accuracies and the difference of the confusion matrices."""
    decision, after = promotion.decision, promotion.after
    in_use = f"Champion in use: `{after.id}`." if after else "There is no champion yet."
    problems = [f"**Damaged:** {problem}." for problem in promotion.problems]
    parts = [
        f"# {decision.verdict.capitalize()}",
        f"{decision.reason[0].upper()}{decision.reason[1:]}. {in_use}",
        *problems,
        "\n".join(score_rows(promotion.facts, promotion.before, decision.champion)),
    ]
    if decision.p_value is not None:
        parts.append("\n".join(test_rows(decision, retrain)))
    if decision.challenger and decision.champion:
        parts.append("\n".join(difference_rows(decision.challenger, decision.champion)))
    return "\n\n".join(parts)


def score_rows(
    challenger: Facts, champion: Champion | None, classification: Classification | None
) -> list[str]:
    """Return the accuracies of both models as a Markdown table."""
    rows = [
        "| | Validation | Test (reported only) |",
        "|---|---:|---:|",
        f"| Challenger, seed {challenger.settings['training']['seed']}"
        f" | {percent(challenger.validation)} | {percent(challenger.test)} |",
    ]
    if champion:
        facts = champion.facts
        validation = accuracy_cell(facts.validation, challenger.validation)
        if classification:
            validation = f"{classification.correct / classification.total:.2%}"
        test = accuracy_cell(facts.test, challenger.test)
        rows.append(f"| Champion `{champion.id}` | {validation} | {test} |")
    return rows


def accuracy_cell(champion: Accuracy, challenger: Accuracy) -> str:
    """Return the champion's accuracy, marked if it was measured on other images."""
    other = "" if champion.data == challenger.data else " (on other images)"
    return f"{percent(champion)}{other}"


def test_rows(decision: Decision, retrain: RetrainSettings) -> list[str]:
    """Return the counts and the p-value of McNemar's test as a Markdown table."""
    return [
        "| Validation images classified correctly by … | |",
        "|---|---:|",
        f"| the challenger only | {decision.only_challenger} |",
        f"| the champion only | {decision.only_champion} |",
        f"| p-value, if both are equally good (exact McNemar test, one-sided; rejected below"
        f" {retrain.alpha:g}) | {decision.p_value:.3g} |",
        f"| allowed distance below the best champion so far | {retrain.margin:.2%} |",
    ]


def difference_rows(challenger: Classification, champion: Classification) -> list[str]:
    """Return the challenger's confusion matrix minus the champion's as a Markdown table."""
    difference = np.array(challenger.confusion) - np.array(champion.confusion)
    names = class_names(len(difference))
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


def closing_lines(promotion: PromotionResult) -> str:
    """Return the last log lines of a run: the decision and the champion."""
    in_use = promotion.after.id if promotion.after else "none"
    return (
        f"retraining: {promotion.decision.verdict}: {promotion.decision.reason}\nchampion: {in_use}"
    )
