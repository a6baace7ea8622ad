"""A decision as a Prefect artifact and event, so that anyone can see why."""

import numpy as np
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event

from tasks.champion.promotion import Outcome
from tasks.champion.registry import Champion, Facts, percent
from tasks.champion.rule import Decision
from tasks.data.dataset import class_names
from tasks.records import Classification
from tasks.settings import RetrainSettings

ARTIFACT_KEY = "retraining-decision"
RESOURCE_ID = "mnist.champion"
EVENTS = {"promoted": "mnist.champion.promoted", "kept": "mnist.champion.kept"}


def publish_decision(outcome: Outcome, retrain: RetrainSettings) -> None:
    """Create the artifact of the flow run that this is called in, and emit the event."""
    create_markdown_artifact(
        key=ARTIFACT_KEY,
        markdown=decision_markdown(outcome, retrain),
        description="Whether the challenger became the champion, and why",
    )
    in_use = outcome.after.id if outcome.after else "none"
    emit_event(
        event=EVENTS[outcome.decision.verdict],
        resource={
            "prefect.resource.id": RESOURCE_ID,
            "prefect.resource.name": in_use,
            "mnist.champion.id": in_use,
        },
        payload={
            "verdict": outcome.decision.verdict,
            "reason": outcome.decision.reason,
            "champion": in_use,
            "champion_before": outcome.before.id if outcome.before else None,
            "validation": outcome.facts.validation.model_dump(),
            "test": outcome.facts.test.model_dump(),
            "p_value": outcome.decision.p_value,
        },
    )


def decision_markdown(outcome: Outcome, retrain: RetrainSettings) -> str:
    """Decision, numbers, and how the two confusion matrices differ."""
    decision, after = outcome.decision, outcome.after
    in_use = f"Champion in use: `{after.id}`." if after else "There is no champion yet."
    faults = [f"**Damaged:** {fault}." for fault in outcome.faults]
    parts = [
        f"# {decision.verdict.capitalize()}",
        f"{decision.reason[0].upper()}{decision.reason[1:]}. {in_use}",
        *faults,
        "\n".join(score_rows(outcome.facts, outcome.before, decision.champion)),
    ]
    if decision.p_value is not None:
        parts.append("\n".join(test_rows(decision, retrain)))
    if decision.challenger and decision.champion:
        parts.append("\n".join(difference_rows(decision.challenger, decision.champion)))
    return "\n\n".join(parts)


def score_rows(
    challenger: Facts, champion: Champion | None, asked: Classification | None
) -> list[str]:
    """Accuracies of both as a table."""
    rows = [
        "| | Validation | Test (reported only) |",
        "|---|---:|---:|",
        f"| Challenger, seed {challenger.settings['training']['seed']}"
        f" | {percent(challenger.validation)} | {percent(challenger.test)} |",
    ]
    if champion:
        facts = champion.facts
        validation = f"{asked.correct / asked.total:.2%}" if asked else percent(facts.validation)
        other = "" if facts.test.data == challenger.test.data else " (on other images)"
        rows.append(f"| Champion `{champion.id}` | {validation} | {percent(facts.test)}{other} |")
    return rows


def test_rows(decision: Decision, retrain: RetrainSettings) -> list[str]:
    """The numbers of McNemar's test."""
    return [
        "| Validation images that only … has right | |",
        "|---|---:|",
        f"| the challenger | {decision.only_challenger} |",
        f"| the champion | {decision.only_champion} |",
        f"| p-value, if both are equally good (exact McNemar test, one-sided; kept out below"
        f" {retrain.alpha:g}) | {decision.p_value:.3g} |",
        f"| margin below the best champion so far | {retrain.margin:.2%} |",
    ]


def difference_rows(challenger: Classification, champion: Classification) -> list[str]:
    """Challenger's confusion matrix minus the champion's, as a table."""
    difference = np.array(challenger.confusion) - np.array(champion.confusion)
    names = class_names(len(difference))
    return [
        "Confusion matrix of the validation split, challenger minus champion (rows true, columns"
        " predicted; more on the diagonal and less beside it is better):",
        "",
        "| | " + " | ".join(names) + " |",
        "|---|" + "---:|" * len(names),
        *(
            f"| **{name}** | " + " | ".join(f"{n:+d}" if n else "·" for n in row) + " |"
            for name, row in zip(names, difference, strict=True)
        ),
    ]


def closing_lines(outcome: Outcome) -> str:
    """What the run says at its end."""
    in_use = outcome.after.id if outcome.after else "none"
    return f"retraining: {outcome.decision.verdict}: {outcome.decision.reason}\nchampion: {in_use}"
