"""Comparisons that end in a decision, under a rule that keeps its error rate while seeds are added.

A study looks at its results after planned numbers of seeds. A variant that is decided gets no
further seeds, and the study stops when all are. Each look tests three hypotheses of each
comparison, as in J. J. Goeman, A. Solari, T. Stijnen, "Three-sided hypothesis testing: simultaneous
testing of superiority, equivalence and inferiority", Statistics in Medicine 29 (2010), 2117-2125:
that the variant is not better, that it is not worse, and that it differs by the margin or more. All
tests are exact: they flip the signs of the differences by seed, or permute the seeds where there
are too few to flip.

**Repeated looks.** The error probability is divided among the looks in advance, the simplest alpha
spending (K. K. G. Lan, D. L. DeMets, "Discrete sequential boundaries for clinical trials",
Biometrika 70 (1983), 659-663; for exact tests C. R. Mehta et al., "Exact permutational group
sequential tests", Biometrics 50 (1994), 1042-1053). A p-value of a look is divided by the look's
share, and the smallest so far counts: by the union bound it is at most 5 %, at any look, with a
probability of 5 % at most. It is the sequential p-value of Q. Liu, K. M. Anderson, "On adaptive
extensions of group sequential trials for clinical investigations", JASA 103 (2008), 1621-1630.
Since the looks are planned, it stays valid if a variant ends at one of them, for whatever reason.

**Several variants.** Sequential p-values may be corrected like any other, whenever the study stops
(Y. Ye et al., "A group sequential Holm procedure with multiple primary endpoints", Statistics in
Medicine 32 (2013), 1112-1124). Claims of a difference are one family, claims of equality another:
of all studies at most 5 % make a wrong claim of a difference, and at most 5 % one of equality.
"""

import re
from collections.abc import Mapping, Sequence
from math import ceil, comb, inf, log
from typing import Literal

from pydantic import Field

from tasks.engine.models import Record
from tasks.runtime.errors import PipelineError
from tasks.statistics import (
    SIGNIFICANT,
    Interval,
    holm,
    permutation_p,
    sign_flip_interval,
    sign_flip_means,
    sign_flip_p,
    welch_interval,
)

DEFAULT_SEEDS = "3..20"
"""Value of --seeds: few variants need so many, only those whose difference is near the margin."""

SAME_ACCURACY = 0.001
"""Accuracies that differ by less than 0.1 points count as the same."""
SAME_TIME = log(1.1)
"""Times whose ratio is below 1.1 count as the same; tested on logarithms."""
INTERIM_SHARE = 1 / 3
"""Share of the error probability for the looks before the last one."""
EARLIEST_LOOK = 9
"""A study that ended before might miss that a variant ruins some of its runs: with nine seeds, one
that ruins a run in four is noticed in 92 %."""
FEWEST_PAIRS = 6
"""Fewer pairs have no 95 % interval by sign flips, so unpaired values are compared."""
POWER = 0.8
"""Probability of a decision with the number of further seeds that is named."""

Values = Mapping[int, float]
"""Values of a variant by the number of their seed."""


class SeedBudget(Record):
    """Numbers of seeds that a study may use: `3..20` on the command line, or one number."""

    first: int = Field(ge=1)
    """Smallest number of seeds to look at."""
    last: int = Field(ge=1)
    """Largest number of seeds."""

    @classmethod
    def parse(cls, text: str) -> "SeedBudget":
        """Read a number of seeds, or a range.

        Raises:
            PipelineError: it is neither.
        """
        found = re.fullmatch(r"([1-9]\d{0,3})(?:\.\.([1-9]\d{0,3}))?", text.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last:
            raise PipelineError(
                f"--seeds {text}: give a number of seeds, as in 5, or the smallest and the largest"
                " number, as in 3..20"
            )
        return cls(first=first, last=last)

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}..{self.last}"

    def looks(self, most: int | None = None) -> "tuple[Look, ...]":
        """Return the looks of a study with `most` seeds at most."""
        return plan_looks(self.first, min(self.last, most or self.last))


class Look(Record):
    """A look at the results of a study."""

    seeds: int
    """Number of seeds that have been run."""
    share: float
    """Share of the error probability that is spent here."""


class Comparison(Record):
    """A variant against its reference, and what can be claimed."""

    interval: Interval
    """Difference of the means (of the logarithms of times), and its 95 % interval by itself."""
    paired: bool
    """Whether seeds are compared in pairs."""
    different: float
    """P-value of “no difference”, corrected for looks and for the other variants."""
    same: float
    """P-value of “a difference of the margin or more”, corrected in the same way."""
    further: int = 0
    """Number of further seeds that would decide it, with the mean and the spread seen so far."""

    @property
    def verdict(self) -> "Verdict":
        """What is claimed."""
        if self.different < SIGNIFICANT:
            return "higher" if self.interval.mean > 0 else "lower"
        return "same" if self.same < SIGNIFICANT else "undecided"


Verdict = Literal["higher", "lower", "same", "undecided"]


def plan_looks(first: int, last: int) -> tuple[Look, ...]:
    """Return the looks of a study, the last after all of its seeds.

    The first look comes after `EARLIEST_LOOK` seeds, each later one after half as many again.

    Args:
        first: smallest number of seeds to look at.
        last: largest number of seeds.
    """
    interim = []
    seeds = max(first, EARLIEST_LOOK)
    while seeds < last:
        interim.append(seeds)
        seeds = ceil(1.5 * seeds)
    before = INTERIM_SHARE if interim else 0.0
    return (
        *(Look(seeds=n, share=before / len(interim)) for n in interim),
        Look(seeds=last, share=1 - before),
    )


def fewest_seeds(level: float) -> int:
    """Return the smallest number of seeds whose unpaired values can give a two-sided p-value."""
    seeds = 2
    while 2 / comb(2 * seeds, seeds) > level:
        seeds += 1
    return seeds


def compare_values(
    variants: Sequence[Values],
    reference: Values,
    margin: float,
    looks: Sequence[Sequence[Look]],
) -> list[Comparison | None]:
    """Compare variants with a reference.

    Args:
        variants: values of each variant.
        reference: values of the reference.
        margin: smallest difference that is not the same any more.
        looks: the looks at each variant; only their seeds count for the p-values.

    Returns:
        A comparison of each variant; None if it or the reference has no value.
    """
    pairs = list(zip(variants, looks, strict=True))
    compared = [(values, its) for values, its in pairs if values and reference]
    level = SIGNIFICANT / max(len(compared), 1)
    p_values = [sequential_p_values(v, reference, margin, its, level) for v, its in compared]
    different = holm([p for p, _ in p_values])
    same = holm([p for _, p in p_values])
    made = iter(
        [
            compare_means(values, reference, margin, level, *p)
            for (values, _), *p in zip(compared, different, same, strict=True)
        ]
    )
    return [next(made) if values and reference else None for values in variants]


def compare_means(
    values: Values, reference: Values, margin: float, level: float, different: float, same: float
) -> Comparison:
    """Return a comparison with its interval, given its corrected p-values."""
    pairs = [values[n] - reference[n] for n in values if n in reference]
    paired = len(pairs) >= FEWEST_PAIRS
    if paired:
        interval = sign_flip_interval(pairs)
    else:
        interval = welch_interval(list(values.values()), list(reference.values()))
    made = Comparison(interval=interval, paired=paired, different=different, same=same)
    if made.verdict != "undecided":
        return made
    further = further_seeds(interval, margin, level)
    return made.model_copy(update={"further": further})


def sequential_p_values(
    values: Values, reference: Values, margin: float, looks: Sequence[Look], level: float
) -> tuple[float, float]:
    """Return the p-values of “no difference” and “a difference of the margin or more”.

    Both are corrected for the looks, neither for other variants.
    """
    different = same = 1.0
    for look in looks:
        mine = {n: v for n, v in values.items() if n < look.seeds}
        its = {n: v for n, v in reference.items() if n < look.seeds}
        if mine and its:
            p_different, p_same = look_p_values(mine, its, margin, level * look.share)
            different = min(different, p_different / look.share)
            same = min(same, p_same / look.share)
    return different, same


def look_p_values(
    values: Values, reference: Values, margin: float, level: float
) -> tuple[float, float]:
    """Return the p-values of one look: of “no difference”, and of “the margin or more”.

    Pairs are used if their number allows small p-values, not only for differences that are all on
    one side: that depends on the plan, not on the values. Values that are not paired are permuted;
    if those of a seed go up and down together, that is conservative.
    """
    pairs = [values[n] - reference[n] for n in values if n in reference]
    if 2 ** (1 - len(pairs)) <= level / 4:
        up, down = sign_flip_means(pairs), sign_flip_means([-d for d in pairs])
        above, below = sign_flip_p(up, 0.0), sign_flip_p(down, 0.0)
        over, under = sign_flip_p(up, -margin), sign_flip_p(down, -margin)
    else:
        mine, its = list(values.values()), list(reference.values())
        above, below = permutation_p(mine, its, 0.0), permutation_p(its, mine, 0.0)
        over, under = permutation_p(mine, its, -margin), permutation_p(its, mine, -margin)
    return min(1.0, 2 * min(above, below)), max(over, under)


def further_seeds(interval: Interval, margin: float, level: float) -> int:
    """Return how many further seeds would decide a comparison, as an estimate.

    That is the number for a decision with a probability of 80 %, if mean and spread stay as they
    are: the usual formula for normal values. A comparison without a spread needs as many seeds as
    the exact tests do.

    Args:
        interval: difference so far.
        margin: smallest difference that is not the same any more.
        level: significance level of this comparison.
    """
    from scipy.stats import norm, t

    seeds, size = interval.values, abs(interval.mean)
    needed = fewest_seeds(level)
    if interval.low is not None and interval.high is not None:
        half = (interval.high - interval.low) / 2
        spread = half * seeds**0.5 / float(t.ppf(0.975, seeds - 1))
        found = inf
        # An equality takes two one-sided tests, and either can miss it.
        different, same = (1 - level / 2, POWER, size), (1 - level, (1 + POWER) / 2, margin - size)
        for quantile, power, gap in (different, same):
            if gap > 0:
                effect = float(norm.ppf(quantile) + norm.ppf(power))
                found = min(found, (effect * spread / gap) ** 2)
        needed = max(needed, ceil(found))
    return max(1, needed - seeds)
