"""The interval of a share, and the test of two models on the same images."""

from math import sqrt
from typing import Literal

Z_95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution: two-sided 95 %."""
SIGNIFICANT = 0.05
"""Significance level."""


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of an accuracy, as (low, high) from 0 to 1.

    Wilson's score interval: E. B. Wilson, "Probable inference, the law of
    succession, and statistical inference", JASA 22 (1927), 209-212. Unlike the
    textbook's symmetric interval it stays within 0 to 1 and does not shrink to nothing
    when every image is right or none is. Of no images nothing is known: (0, 1). SciPy has it, too,
    but takes as long to import as the whole of an unchanged run, which shows such intervals.
    """
    if not 0 <= correct <= total:
        raise ValueError(f"{correct} correct of {total} is not possible")
    if total == 0:
        return 0.0, 1.0
    p, z2 = correct / total, Z_95**2
    centre = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 * sqrt(p * (1 - p) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return max(0.0, centre - half), min(1.0, centre + half)


def mcnemar(
    only_first: int, only_second: int, alternative: Literal["two-sided", "less"] = "two-sided"
) -> float:
    """Return the exact p-value of McNemar's test: chance alone would give such counts so often.

    Args:
        only_first: images that only the first of two models has right.
        only_second: images that only the second one has right.
        alternative: `less` if only a first model that is worse counts.
    """
    from scipy.stats import binomtest

    discordant = only_first + only_second
    if discordant == 0:
        return 1.0
    return float(binomtest(only_first, discordant, alternative=alternative).pvalue)
