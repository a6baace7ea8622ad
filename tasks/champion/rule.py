"""The promotion rule: decide whether a challenger becomes the champion.

The rule uses the validation split; the test split is reported only.

1. No champion yet, or a new task: promoted if the challenger's accuracy reaches the floor.
2. The challenger is the champion, byte for byte, or was withdrawn by a rollback: kept.
3. Kept if the challenger is significantly worse: one-sided exact McNemar test, p < alpha.
4. Kept if its accuracy is more than `margin` below that of the best champion so far on the same
   images: counted from the best, so that small losses do not add up over the weeks.
5. Kept if its accuracy is below the floor.
6. Otherwise it is not worse, and is promoted.

McNemar's test (Psychometrika 12, 1947) looks only at the images that one model has right and
the other wrong: if both are equally good, either is right with probability ½. With MNIST's 5,000
validation images, and about 60 on which two models differ, it detects only differences of about 14
images; hence the margin. Selection makes the champions' validation accuracy slightly optimistic;
the test accuracy is not affected.
"""

from typing import Literal

import numpy as np

from tasks.engine.models import Record
from tasks.records import Classification
from tasks.settings import RetrainSettings
from tasks.statistics import mcnemar
from tasks.words import percent


class Decision(Record):
    """The verdict on a challenger, with its reason and numbers."""

    verdict: Literal["promoted", "kept"]
    reason: str
    """One sentence."""
    challenger: Classification | None = None
    """On the validation split; None if it is the champion itself."""
    champion: Classification | None = None
    """The champion before this decision; None if there was none or it was not compared."""
    only_challenger: int | None = None
    """Images that only the challenger classifies correctly."""
    only_champion: int | None = None
    p_value: float | None = None
    """Of the one-sided McNemar test that the challenger is worse."""


def count_discordant(
    labels: np.ndarray, challenger: np.ndarray, champion: np.ndarray
) -> tuple[int, int]:
    """Return how many images only the challenger, and only the champion, classifies correctly.

    Args:
        labels: true classes, uint8 [n].
        challenger: predicted classes, uint8 [n].
        champion: predicted classes, uint8 [n].
    """
    a, b = challenger == labels, champion == labels
    return int((a & ~b).sum()), int((b & ~a).sum())


def decide_first(
    challenger: Classification, settings: RetrainSettings, situation: str = "no champion yet"
) -> Decision:
    """Apply rule 1; the situation is why there is no comparison."""
    accuracy = challenger.correct / challenger.total
    reached = accuracy >= settings.floor
    return Decision(
        verdict="promoted" if reached else "kept",
        reason=(
            f"{situation}, and {percent(accuracy)} on the validation split"
            f" {'reach' if reached else 'do not reach'} the floor of {percent(settings.floor)}"
            f"{'' if reached else ' (--floor sets another)'}"
        ),
        challenger=challenger,
    )


def decide(
    challenger: Classification,
    champion: Classification,
    discordant: tuple[int, int],
    best: int,
    settings: RetrainSettings,
) -> Decision:
    """Apply rules 3 to 6 to two classifications of the same images.

    `discordant` are the numbers of images that only the challenger, and only the champion,
    classifies correctly; `best` is the number that the best champion so far did.
    """
    p_value, total = mcnemar(*discordant, "less"), challenger.total
    scores = f"{challenger.correct:,} to {champion.correct:,} of {total:,} images right"
    best = max(best, champion.correct)
    promoted = False
    if p_value < settings.alpha:
        reason = f"significantly worse: {scores}, p = {p_value:.2g} < {settings.alpha:g}"
    # 1e-9 absorbs the rounding of margins that are not exact in floating point.
    elif best - challenger.correct > settings.margin * total + 1e-9:
        reason = (
            f"worse by more than the margin: {scores}, best champion so far {best:,}, margin"
            f" {percent(settings.margin)}"
        )
    elif challenger.correct < settings.floor * total - 1e-9:
        reason = f"below the floor of {percent(settings.floor)}: {scores}"
    else:
        promoted = True
        better = "better" if challenger.correct > champion.correct else "not worse"
        reason = f"{better}: {scores}, p = {p_value:.2g}"
    return Decision(
        verdict="promoted" if promoted else "kept",
        reason=reason,
        challenger=challenger,
        champion=champion,
        only_challenger=discordant[0],
        only_champion=discordant[1],
        p_value=p_value,
    )
