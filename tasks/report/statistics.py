"""How sure an accuracy is."""

from math import sqrt

Z_95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution: two-sided 95 %."""


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """The 95 % confidence interval of an accuracy, as (low, high) from 0 to 1.

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
