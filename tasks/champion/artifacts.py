"""Publish a promotion decision as a Prefect artifact and event."""

import numpy as np
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event

from tasks.champion.data import change_markdown
from tasks.champion.promotion import PromotionResult
from tasks.champion.rule import Decision
from tasks.settings import RetrainSettings
from tasks.settings.run import DEFAULT_CHAMPION
from tasks.words import escape_markdown, markdown_table, percent


def publish_decision(promotion: PromotionResult, retrain: RetrainSettings) -> None:
    """Create the artifact of the current flow run and emit the event."""
    create_markdown_artifact(
        key="retraining-decision",
        markdown=decision_markdown(promotion, retrain),
        description="Whether the challenger became the champion, and why",
    )
    decision, facts = promotion.decision, promotion.facts
    in_use = promotion.after.id if promotion.after else "none"
    emit_event(
        event=f"mnist.champion.{decision.verdict}",
        resource={
            "prefect.resource.id": "mnist.champion",
            "prefect.resource.name": in_use,
            "mnist.champion.id": in_use,
        },
        payload={
            "verdict": decision.verdict,
            "reason": decision.reason,
            "champion": in_use,
            "name": retrain.champion,
            "champion_before": promotion.before.id if promotion.before else None,
            "validation": facts.validation.model_dump(),
            "test": facts.test.model_dump(),
            "p_value": decision.p_value,
        },
    )


def decision_markdown(promotion: PromotionResult, retrain: RetrainSettings) -> str:
    """Return the decision, the accuracies and the difference of the confusion matrices."""
    decision, after = promotion.decision, promotion.after
    name = "" if retrain.champion == DEFAULT_CHAMPION else f" {retrain.champion}"
    in_use = f"Champion{name} in use: `{after.id}`." if after else f"No champion{name} yet."
    parts = [
        f"# {decision.verdict.capitalize()}",
        f"{escape_markdown(decision.reason[0].upper() + decision.reason[1:])}. {in_use}",
        score_table(promotion),
    ]
    if promotion.change:
        parts.append(change_markdown(promotion.change))
    if decision.p_value is not None:
        parts.append(test_sentences(decision, retrain))
        parts.append(difference_table(decision, promotion.facts.data.class_names))
    return "\n\n".join(parts)


def score_table(promotion: PromotionResult) -> str:
    """Return the accuracies of both models as a Markdown table."""
    columns, facts = ("Validation", "Test (reported only)"), promotion.facts
    challenger = f"Challenger, seed {facts.settings['training']['seed']}"
    rows = [
        {"Model": challenger, columns[0]: facts.validation.percent, columns[1]: facts.test.percent}
    ]
    if champion := promotion.before:
        known, other = champion.facts, " (on other images)"
        validation = known.validation.percent
        if compared := promotion.decision.champion:
            validation = percent(compared.correct / compared.total)
        elif known.data.validation != facts.data.validation:
            validation += other
        test = known.test.percent + (other if known.data.test != facts.data.test else "")
        rows.append({"Model": f"Champion {champion.id}", columns[0]: validation, columns[1]: test})
    return markdown_table(rows, columns)


def test_sentences(decision: Decision, retrain: RetrainSettings) -> str:
    """Return the counts and the p-value of McNemar's test."""
    return (
        f"On the validation split, only the challenger is right about {decision.only_challenger}"
        f" images, only the champion about {decision.only_champion}. If both are equally good, so"
        f" few for the challenger have p = {decision.p_value:.3g} (exact McNemar test, one-sided;"
        f" kept out below {retrain.alpha:g}). Allowed distance below the best champion so far:"
        f" {percent(retrain.margin)}."
    )


def difference_table(decision: Decision, class_names: tuple[str, ...]) -> str:
    """Return the challenger's confusion matrix minus the champion's as a Markdown table."""
    assert decision.challenger
    assert decision.champion
    difference = np.array(decision.challenger.confusion) - np.array(decision.champion.confusion)
    names = [escape_markdown(name) for name in class_names]
    rows = [
        f"| **{name}** | " + " | ".join(f"{n:+d}" if n else "·" for n in row) + " |"
        for name, row in zip(names, difference, strict=True)
    ]
    return "\n".join(
        [
            "Confusion matrix of the validation split, challenger minus champion (rows true,"
            " columns predicted; better: higher on the diagonal, lower elsewhere):",
            "",
            f"| | {' | '.join(names)} |",
            "|---|" + "---:|" * len(names),
            *rows,
        ]
    )


def decision_lines(promotion: PromotionResult) -> str:
    """Return the last log lines of a run: the decision and the champion."""
    in_use = promotion.after.id if promotion.after else "none"
    return (
        f"retraining: {promotion.decision.verdict}: {promotion.decision.reason}\nchampion: {in_use}"
    )
