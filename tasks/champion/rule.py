"""Whether a challenger becomes the champion.

The rule, on the validation split (the test split only reports):

1. No champion yet: promoted if the challenger's accuracy reaches the floor.
2. The challenger is the champion, byte for byte, or was withdrawn by a rollback: kept.
3. Kept if the challenger is significantly worse: one-sided exact McNemar test, p < alpha.
4. Kept if its accuracy is more than `margin` below that of the best champion so far on the same
   images: counted from the best, so that small losses do not add up over the weeks.
5. Otherwise it is not worse, and is promoted.

McNemar's test (Psychometrika 12, 1947) looks only at the images that one model has right and
the other wrong: if both are equally good, each of these is a fair coin. Note that "not
significantly worse" is no proof of being as good: with MNIST's 5,000 validation images and some
60 on which two models differ, only a difference of about 14 images shows. Hence the margin. And an
accuracy that champions were chosen by flatters them a little; the test split's does not.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tasks.engine.models import Record
from tasks.records import Classification
from tasks.settings import RetrainSettings

Verdict = Literal["promoted", "kept"]


@dataclass(frozen=True)
class Pairs:
    """How often each of two models is right, image by image."""

    total: int
    challenger: int
    """Images that the challenger has right."""
    champion: int
    only_challenger: int
    """Images that the challenger has right and the champion wrong."""
    only_champion: int


class Decision(Record):
    """What became of a challenger, and why."""

    verdict: Verdict
    reason: str
    """One sentence."""
    challenger: Classification | None = None
    """On the validation split; None if it was not asked, since it is the champion."""
    champion: Classification | None = None
    """The champion before this decision; None if there is none, or none was asked."""
    only_challenger: int | None = None
    only_champion: int | None = None
    p_value: float | None = None
    """Of the one-sided test that the challenger is worse."""


def pair(labels: np.ndarray, challenger: np.ndarray, champion: np.ndarray) -> Pairs:
    """Count agreements.

    Args:
        labels: true classes, uint8 [n].
        challenger: predicted classes, uint8 [n].
        champion: the same.
    """
    a, b = challenger == labels, champion == labels
    return Pairs(
        total=len(labels),
        challenger=int(a.sum()),
        champion=int(b.sum()),
        only_challenger=int((a & ~b).sum()),
        only_champion=int((b & ~a).sum()),
    )


def mcnemar_worse(only_challenger: int, only_champion: int) -> float:
    """One-sided exact p-value: how likely so few images would go to the challenger alone if both
    models were equally good."""
    from scipy.stats import binomtest

    discordant = only_challenger + only_champion
    if discordant == 0:
        return 1.0
    return float(binomtest(only_challenger, discordant, 0.5, alternative="less").pvalue)


def decide_first(challenger: Classification, settings: RetrainSettings) -> Decision:
    """Rule 1: there is no champion yet."""
    accuracy = challenger.correct / challenger.total
    reached = accuracy >= settings.floor
    return Decision(
        verdict="promoted" if reached else "kept",
        reason=(
            f"no champion yet, and {accuracy:.2%} on the validation split"
            f" {'reach' if reached else 'do not reach'} the floor of {settings.floor:.2%}"
        ),
        challenger=challenger,
    )


def decide(
    challenger: Classification,
    champion: Classification,
    pairs: Pairs,
    best: int,
    settings: RetrainSettings,
) -> Decision:
    """Rules 3 to 5.

    Args:
        challenger: on the validation split.
        champion: on the same images.
        pairs: both, image by image.
        best: images that the best champion so far has right, of the same ones.
        settings: alpha and margin.
    """
    p_value = mcnemar_worse(pairs.only_challenger, pairs.only_champion)
    scores = f"{pairs.challenger:,} to {pairs.champion:,} of {pairs.total:,} images right"
    best = max(best, pairs.champion)
    verdict: Verdict = "kept"
    if p_value < settings.alpha:
        reason = f"significantly worse: {scores}, p = {p_value:.2g} < {settings.alpha:g}"
    # The tiny number is for margins that floating point cannot hold.
    elif best - pairs.challenger > settings.margin * pairs.total + 1e-9:
        reason = (
            f"worse by more than the margin: {scores}, best champion so far {best:,}, margin"
            f" {settings.margin:.2%}"
        )
    else:
        verdict = "promoted"
        better = "better" if pairs.challenger > pairs.champion else "not worse"
        reason = f"{better}: {scores}, p = {p_value:.2g}"
    return Decision(
        verdict=verdict,
        reason=reason,
        challenger=challenger,
        champion=champion,
        only_challenger=pairs.only_challenger,
        only_champion=pairs.only_champion,
        p_value=p_value,
    )
