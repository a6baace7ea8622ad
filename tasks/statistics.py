"""Confidence intervals of shares and means, and tests of differences."""

from collections.abc import Sequence
from math import exp, log, sqrt

from tasks.engine.models import Record

CONFIDENCE = 0.95
Z_95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution: two-sided 95 %."""
SIGNIFICANT = 0.05
"""Significance level of p-values after Holm's correction."""


class Interval(Record):
    """A mean and its 95 % confidence interval; a single value has none."""

    mean: float
    low: float | None = None
    high: float | None = None
    values: int

    def excludes(self, value: float) -> bool:
        """Return whether a value lies outside the interval."""
        return self.low is not None and self.high is not None and not self.low <= value <= self.high


class Difference(Record):
    """Difference of a variant from its reference, paired by seed."""

    interval: Interval
    p: float | None = None
    """P-value of the paired, two-sided t-test; None for a single pair."""

    @property
    def significant(self) -> bool:
        """Whether the p-value is below the significance level."""
        return self.p is not None and self.p < SIGNIFICANT


def t_interval(values: Sequence[float], resolution: float = 0.0) -> Interval:
    """Return Student's t-interval of a mean.

    Args:
        values: independent values, one for each seed.
        resolution: smallest possible difference of two values, a lower bound of their standard
            deviation: three equal values do not make a mean certain.
    """
    import numpy as np

    n = len(values)
    mean = float(np.mean(values))
    if n < 2:
        return Interval(mean=mean, values=n)
    from scipy.stats import t

    spread = max(float(np.std(values, ddof=1)), resolution)
    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * spread / sqrt(n)
    return Interval(mean=mean, low=mean - half, high=mean + half, values=n)


def paired_difference(
    variant: Sequence[float], reference: Sequence[float], resolution: float
) -> Difference:
    """Return the mean difference of two variants with the same seeds, and its p-value.

    The p-value is not yet corrected; it is 1 if every pair is equal.

    Args:
        variant: value of the variant for each seed.
        reference: value of the reference for each seed, in the same order.
        resolution: smallest possible difference; see `t_interval`.
    """
    import numpy as np

    differences = np.subtract(variant, reference)
    interval = t_interval(differences.tolist(), resolution)
    n = len(differences)
    if n < 2:
        return Difference(interval=interval)
    if not differences.any():
        return Difference(interval=interval, p=1.0)
    from scipy.stats import t

    spread = max(float(np.std(differences, ddof=1)), resolution)
    statistic = abs(interval.mean) / (spread / sqrt(n))
    return Difference(interval=interval, p=float(2 * t.sf(statistic, n - 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values with Holm's correction for multiple tests, in the order given.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6 (1979).
    """
    import numpy as np

    corrected = [1.0] * len(p_values)
    worst = 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable").tolist()):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = worst
    return corrected


def ratio(variant: Sequence[float], reference: Sequence[float]) -> Interval:
    """Return the geometric mean of the ratios, paired by seed, and its interval."""
    logs = t_interval([log(v / r) for v, r in zip(variant, reference, strict=True)])
    return Interval(
        mean=exp(logs.mean),
        low=None if logs.low is None else exp(logs.low),
        high=None if logs.high is None else exp(logs.high),
        values=logs.values,
    )


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of an accuracy, as (low, high) from 0 to 1.

    Wilson's score interval: E. B. Wilson, "Probable inference, the law of
    succession, and statistical inference", JASA 22 (1927), 209-212. Unlike the
    textbook's symmetric interval it stays within 0 to 1 and does not shrink to nothing
    when every image is right or none is. Of no images nothing is known: (0, 1).
    """
    if not 0 <= correct <= total:
        raise ValueError(f"{correct} correct of {total} is not possible")
    if total == 0:
        return 0.0, 1.0
    p, z2 = correct / total, Z_95**2
    centre = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 * sqrt(p * (1 - p) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return max(0.0, centre - half), min(1.0, centre + half)
