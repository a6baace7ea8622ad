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
            **decision.model_dump(include={"verdict", "reason", "p_value"}),
            **facts.model_dump(include={"validation", "test"}),
            "champion": in_use,
            "name": retrain.champion,
            "champion_before": promotion.before.id if promotion.before else None,
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
    if decision.champion:
        parts.append(comparison(decision, retrain, promotion.facts.data.splits.class_names))
    return "\n\n".join(parts)


def score_table(promotion: PromotionResult) -> str:
    """Return the accuracies of both models as a Markdown table."""
    columns, facts = ("Model", "Validation", "Test (reported only)"), promotion.facts
    challenger = f"Challenger, seed {facts.settings['training']['seed']}"
    rows = [(challenger, facts.validation.percent, facts.test.percent)]
    if champion := promotion.before:
        known, other = champion.facts, " (on other images)"
        validation, test = known.validation.percent, known.test.percent
        before, after = known.data.splits, facts.data.splits
        if compared := promotion.decision.champion:
            validation = percent(compared.correct / compared.total)
        elif before.validation.file.sha256 != after.validation.file.sha256:
            validation += other
        if before.test.file.sha256 != after.test.file.sha256:
            test += other
        rows.append((f"Champion {champion.id}", validation, test))
    return markdown_table([dict(zip(columns, row, strict=True)) for row in rows], columns[1:])


def comparison(decision: Decision, retrain: RetrainSettings, class_names: tuple[str, ...]) -> str:
    """Return the numbers behind a comparison: McNemar's test, the margin, and each class."""
    assert decision.challenger
    assert decision.champion
    after, before = (np.diagonal(c.confusion) for c in (decision.challenger, decision.champion))
    changed = [f"{n} {d:+d}" for n, d in zip(class_names, after - before, strict=True) if d]
    return (
        f"On the validation split, only the challenger is right about {decision.only_challenger}"
        f" images, only the champion about {decision.only_champion}. If both are equally good, so"
        f" few for the challenger have p = {decision.p_value:.3g} (exact McNemar test, one-sided;"
        f" kept out below {retrain.alpha:g}). Allowed distance below the best champion so far:"
        f" {percent(retrain.margin)}.\n\nImages of each class that are classified correctly,"
        f" challenger minus champion: {escape_markdown(', '.join(changed) or 'no change')}."
    )
