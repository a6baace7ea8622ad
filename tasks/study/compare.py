"""Comparison of variants: paired differences over seeds, with Student's t.

Two runs of the same seed have the same order of images, so their difference varies less than each.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Literal, NamedTuple

import numpy as np

from tasks.study.variants import FEW_SEEDS, Exercise

Verdict = Literal["better", "worse", "same", "undecided", "few seeds"]

SIGNIFICANT = 0.05
MARGIN = 0.001
"""Accuracies that differ by less, 0.1 points, count as the same."""


class Estimate(NamedTuple):
    """A mean and its 95 % interval, which a single value has not."""

    mean: float
    low: float | None = None
    high: float | None = None


class Comparison(NamedTuple):
    """What is claimed about a variant against its reference."""

    reference: str
    difference: Estimate
    """Of the test accuracies, as a share."""
    verdict: Verdict


def estimate(values: Sequence[float], resolution: float) -> Estimate:
    """Return Student's interval of a mean.

    `resolution`, the smallest possible difference of two values, is a lower bound of their standard
    deviation: equal values do not make a mean certain.
    """
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return Estimate(mean)
    from scipy import stats

    half = standard_error(values, resolution) * float(stats.t.ppf(0.975, n - 1))
    return Estimate(mean, mean - half, mean + half)


def standard_error(values: Sequence[float], resolution: float) -> float:
    """Return the standard error of a mean."""
    return max(float(np.std(values, ddof=1)), resolution) / sqrt(len(values))


def compare(
    exercise: Exercise, accuracies: Mapping[str, Mapping[int, float]], resolution: float
) -> dict[str, Comparison]:
    """Compare each variant of an exercise with its reference.

    At most one exercise in twenty claims a difference that is not there, and at most one an
    equality: Holm's correction is for all comparisons of an exercise.

    Args:
        exercise: whose variants are compared.
        accuracies: by label and seed, failed runs included.
        resolution: one image as a share of the test split.
    """
    differences: dict[str, list[float]] = {}
    references = {v.label: v.against or exercise.variants[0].label for v in exercise.variants}
    for label, reference in references.items() if exercise.compares else ():
        mine, theirs = accuracies.get(label, {}), accuracies.get(reference, {})
        if label != reference and (seeds := mine.keys() & theirs.keys()):
            differences[label] = [mine[seed] - theirs[seed] for seed in sorted(seeds)]
    tested = [label for label, found in differences.items() if len(found) >= FEW_SEEDS]
    tests = [p_values(differences[label], resolution) for label in tested]
    corrected = zip(*(holm(p_values) for p_values in zip(*tests, strict=True)), strict=True)
    claims = dict(zip(tested, corrected, strict=True))
    made = {}
    for label, values in differences.items():
        found = estimate(values, resolution)
        claim = verdict(found.mean, *claims[label]) if label in claims else "few seeds"
        made[label] = Comparison(references[label], found, claim)
    return made


def p_values(differences: Sequence[float], resolution: float) -> tuple[float, float]:
    """Return p-values against equality (two-sided t-test) and against inequality.

    The latter is that of two one-sided tests (D. J. Schuirmann, 1987) at `MARGIN`.
    """
    from scipy import stats

    mean, free = abs(float(np.mean(differences))), len(differences) - 1
    error = standard_error(differences, resolution)
    different = 2 * float(stats.t.sf(mean / error, free))
    return different, float(stats.t.sf((MARGIN - mean) / error, free))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for multiple tests, in the order given (S. Holm, 1979)."""
    corrected, worst = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable").tolist()):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = worst
    return corrected


def verdict(difference: float, unequal: float, equal: float) -> Verdict:
    """Return what the corrected p-values allow to claim."""
    if unequal < SIGNIFICANT:
        return "better" if difference > 0 else "worse"
    return "same" if equal < SIGNIFICANT else "undecided"
