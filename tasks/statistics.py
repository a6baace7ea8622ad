"""Confidence intervals of shares and means, and tests of differences."""

import warnings
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from math import comb, sqrt
from typing import TYPE_CHECKING, Literal

from tasks.engine.models import Record

if TYPE_CHECKING:
    import numpy as np

CONFIDENCE = 0.95
Z_95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution: two-sided 95 %."""
SIGNIFICANT = 0.05
"""Significance level of p-values after Holm's correction."""
MOST_SUBSETS = 2**14
"""Largest number of sign flips or permutations that are all tried."""
ROUNDING = 1e-12
"""Differences below this come from rounding: such values count as equal."""


class Interval(Record):
    """A mean and its 95 % confidence interval; a single value has none."""

    mean: float
    low: float | None = None
    high: float | None = None
    values: int

    def excludes(self, value: float) -> bool:
        """Return whether a value lies outside the interval."""
        return self.low is not None and self.high is not None and not self.low <= value <= self.high


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


def sign_flip_means(differences: Sequence[float]) -> "np.ndarray":
    """Return the mean of every non-empty subset of paired differences, ascending.

    They are all that exact tests by flipping signs need: with the signs of a subset flipped, the
    sum of differences from d is at least the observed sum if the subset's mean is at most d. And
    they divide the line into 2^n parts that are equally likely to hold the centre of symmetry
    (J. A. Hartigan, "Using subsample values as typical values", JASA 64 (1969), 1303-1317), for
    any symmetric distribution, with tails however heavy.

    Beyond `MOST_SUBSETS`, random subsets are used, always the same ones; the tests stay valid.
    """
    import numpy as np

    values = np.asarray(differences, float)
    chosen = _subsets(len(values))
    return np.sort(chosen @ values / chosen.sum(axis=1))


@cache
def _subsets(count: int) -> "np.ndarray":
    """Return non-empty subsets of so many things, as rows of 0 and 1."""
    import numpy as np

    if 2**count <= MOST_SUBSETS:
        numbers = np.arange(1, 2**count)[:, None]
        return (numbers >> np.arange(count) & 1).astype(np.float64)
    made = np.random.default_rng(0).random((MOST_SUBSETS - 1, count)) < 0.5
    made[~made.any(axis=1)] = True
    return made.astype(np.float64)


def sign_flip_p(means: "np.ndarray", threshold: float) -> float:
    """Return the one-sided p-value of the hypothesis that the difference is at most a threshold.

    Args:
        means: see `sign_flip_means`.
        threshold: largest difference of the hypothesis.
    """
    import numpy as np

    at_most = int(np.searchsorted(means, threshold + ROUNDING, side="right"))
    return (1 + at_most) / (1 + len(means))


def sign_flip_interval(differences: Sequence[float]) -> Interval:
    """Return the mean of paired differences, and the 95 % interval that sign flips do not reject.

    Fewer than six differences have none: their signs are all equal by chance too often.
    """
    import numpy as np

    mean, count = float(np.mean(differences)), len(differences)
    means = sign_flip_means(differences)
    outside = int((1 - CONFIDENCE) / 2 * (1 + len(means)))
    if outside == 0:
        return Interval(mean=mean, values=count)
    low, high = float(means[outside - 1]), float(means[-outside])
    return Interval(mean=mean, low=low, high=high, values=count)


def permutation_p(variant: Sequence[float], reference: Sequence[float], threshold: float) -> float:
    """Return the exact one-sided p-value of mean(variant) - mean(reference) <= threshold, unpaired.

    All ways to divide the values between the two groups are compared (Fisher and Pitman's
    permutation test), or as many random ones as `MOST_SUBSETS`.
    """
    import numpy as np

    shifted = np.concatenate([np.asarray(variant, float) - threshold, np.asarray(reference, float)])
    sums = _divisions(len(variant), len(shifted)) @ shifted
    return float(np.mean(sums >= shifted[: len(variant)].sum() - ROUNDING))


@cache
def _divisions(count: int, total: int) -> "np.ndarray":
    """Return the choices of `count` from `total` things as rows of 0 and 1; first the identity."""
    import numpy as np

    if comb(total, count) <= MOST_SUBSETS:
        chosen = np.array(list(combinations(range(total), count)))
    else:
        order = np.random.default_rng(0).random((MOST_SUBSETS, total)).argsort(axis=1)
        chosen = order[:, :count]
        chosen[0] = np.arange(count)
    made = np.zeros((len(chosen), total))
    np.put_along_axis(made, chosen, 1.0, axis=1)
    return made


def welch_interval(variant: Sequence[float], reference: Sequence[float]) -> Interval:
    """Return the difference of two unpaired means, and Welch's 95 % interval."""
    import numpy as np
    from scipy.stats import ttest_ind

    mean = float(np.mean(variant) - np.mean(reference))
    count = min(len(variant), len(reference))
    if count < 2 or np.ptp(variant) + np.ptp(reference) == 0:
        return Interval(mean=mean, values=count)
    with warnings.catch_warnings():
        # Equal values on one side are no problem: the spread of the other side remains.
        warnings.filterwarnings("ignore", "Precision loss")
        test = ttest_ind(variant, reference, equal_var=False)
    found = test.confidence_interval(CONFIDENCE)
    return Interval(mean=mean, low=float(found.low), high=float(found.high), values=count)


def clopper_pearson(count: int, total: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a share, of which `count` of `total` were seen.

    C. J. Clopper, E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case
    of the binomial", Biometrika 26 (1934), 404-413.
    """
    from scipy.stats import binomtest

    found = binomtest(count, total).proportion_ci(CONFIDENCE, method="exact")
    return float(found.low), float(found.high)


def deviation_interval(values: Sequence[float]) -> Interval:
    """Return the sample standard deviation, and its 95 % interval for normal values."""
    import numpy as np
    from scipy.stats import chi2

    free = len(values) - 1
    spread = float(np.std(values, ddof=1))
    low, high = (spread * sqrt(free / chi2.ppf(q, free)) for q in (0.975, 0.025))
    return Interval(mean=spread, low=low, high=high, values=len(values))


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
