"""Tests of intervals and hypothesis tests, with SciPy and Holm's example as reference."""

import warnings
from math import comb

import numpy as np
import pytest
from scipy import stats

from tasks.statistics import (
    clopper_pearson,
    deviation_interval,
    holm,
    mcnemar,
    permutation_p,
    sign_flip_interval,
    sign_flip_means,
    sign_flip_p,
    t_interval,
    welch_interval,
    wilson_interval,
)

A = [0.9901, 0.9913, 0.9906, 0.9911]
B = [0.9899, 0.9904, 0.9908, 0.9895]


def test_t_interval_equals_that_of_scipy() -> None:
    made = t_interval(A)
    expected = stats.t.interval(0.95, len(A) - 1, np.mean(A), stats.sem(A))
    assert (made.low, made.high) == pytest.approx(expected)
    assert made.mean == pytest.approx(np.mean(A))
    assert made.values == 4


@pytest.mark.parametrize("threshold", [0.0, 0.0005, -0.001, 0.002])
def test_sign_flips_equal_the_permutation_test_of_scipy(threshold: float) -> None:
    differences = np.subtract(A, B)
    expected = stats.permutation_test(
        (differences - threshold,),
        np.sum,
        permutation_type="samples",
        alternative="greater",
        n_resamples=np.inf,
    )
    made = sign_flip_p(sign_flip_means(list(differences)), threshold)
    assert made == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("threshold", [0.0, 0.0005, -0.001])
def test_permutations_equal_those_of_scipy(threshold: float) -> None:
    expected = stats.permutation_test(
        (np.subtract(A, threshold), [*B, 0.9897]),
        lambda x, y: np.mean(x) - np.mean(y),
        permutation_type="independent",
        alternative="greater",
        n_resamples=np.inf,
    )
    assert permutation_p(A, [*B, 0.9897], threshold) == pytest.approx(expected.pvalue)


def test_interval_by_sign_flips_holds_what_their_test_does_not_reject() -> None:
    differences = list(np.random.default_rng(3).normal(0.001, 0.001, 9))
    made = sign_flip_interval(differences)
    assert made.low is not None and made.high is not None
    up, down = sign_flip_means(differences), sign_flip_means([-d for d in differences])
    for inside in (made.low + 1e-9, made.mean, made.high - 1e-9):
        assert min(sign_flip_p(up, inside), sign_flip_p(down, -inside)) > 0.025
    assert sign_flip_p(up, made.low - 1e-9) <= 0.025
    assert sign_flip_p(down, -made.high - 1e-9) <= 0.025


def test_interval_by_sign_flips_covers_heavy_tails_as_often_as_it_says() -> None:
    rng = np.random.default_rng(8)
    draws = rng.standard_t(1, (400, 8))  # Cauchy's distribution has no mean, but a centre
    made = [sign_flip_interval(list(row)) for row in draws]
    covered = sum(not interval.excludes(0.0) for interval in made)
    assert covered / len(made) >= 0.93


def test_many_seeds_are_sampled_and_the_p_value_stays_near() -> None:
    differences = list(np.random.default_rng(1).normal(0.5, 1, 24))
    made = sign_flip_p(sign_flip_means(differences), 0.0)
    assert made == pytest.approx(
        stats.ttest_1samp(differences, 0, alternative="greater").pvalue, abs=0.01
    )
    more, fewer = differences[:12], [d - 0.5 for d in differences[12:]]
    expected = stats.ttest_ind(more, fewer, alternative="greater").pvalue
    assert permutation_p(more, fewer, 0.0) == pytest.approx(expected, abs=0.02)


def test_few_pairs_have_no_interval_by_sign_flips() -> None:
    assert sign_flip_interval([0.1] * 5).low is None
    assert sign_flip_interval([0.1] * 6).low is not None


def test_welch_interval_equals_that_of_scipy() -> None:
    made = welch_interval(A, B[:3])
    expected = stats.ttest_ind(A, B[:3], equal_var=False).confidence_interval(0.95)
    assert (made.low, made.high) == pytest.approx((expected.low, expected.high))
    assert welch_interval([0.9], B).low is None
    assert welch_interval([0.9, 0.9], [0.8, 0.8]).low is None
    with warnings.catch_warnings(action="error"):
        one_sided = welch_interval([0.9, 0.9, 0.9], B[:3])
    assert one_sided.low is not None


@pytest.mark.parametrize(("count", "total"), [(0, 12), (3, 12), (12, 12), (1, 4)])
def test_clopper_pearson_interval_leaves_2_5_percent_on_each_side(count: int, total: int) -> None:
    low, high = clopper_pearson(count, total)
    assert low == 0 if count == 0 else stats.binom.sf(count - 1, total, low) == pytest.approx(0.025)
    assert (
        high == 1 if count == total else stats.binom.cdf(count, total, high) == pytest.approx(0.025)
    )


def test_interval_of_a_standard_deviation_covers_it_95_times_in_100() -> None:
    draws = np.random.default_rng(2).normal(0, 3, (400, 6))
    made = [deviation_interval(list(row)) for row in draws]
    covered = sum(not interval.excludes(3.0) for interval in made)
    assert 0.92 <= covered / len(made) <= 0.98
    assert made[0].mean == pytest.approx(np.std(draws[0], ddof=1))


def test_one_value_has_no_interval() -> None:
    assert t_interval([0.5]).low is None
    assert not t_interval([0.5]).excludes(0.9)


def test_equal_values_keep_an_interval_of_the_resolution() -> None:
    same = t_interval([0.99] * 3, resolution=1e-4)
    assert same.low is not None and same.low < 0.99


def test_holm_equals_its_published_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("correct", "total"), [(0, 10), (10, 10), (1, 1), (9880, 10_000), (1093, 10_000), (359, 360)]
)
def test_wilson_interval_agrees_with_scipy(correct: int, total: int) -> None:
    expected = stats.binomtest(correct, total).proportion_ci(method="wilson")
    assert wilson_interval(correct, total) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_wilson_interval_stays_between_0_and_1_and_refuses_impossible_counts() -> None:
    assert wilson_interval(0, 0) == (0, 1)
    for impossible in [(-1, 10), (11, 10)]:
        with pytest.raises(ValueError, match="not possible"):
            wilson_interval(*impossible)
    for total in (1, 7, 10_000, 10**9):
        assert wilson_interval(0, total)[0] >= 0
        assert wilson_interval(total, total)[1] <= 1


@pytest.mark.parametrize(("a", "b"), [(0, 0), (0, 1), (3, 9), (10, 10), (60, 20)])
def test_mcnemars_p_values_are_sums_of_binomial_coefficients(a: int, b: int) -> None:
    less = sum(comb(a + b, k) for k in range(a + 1)) / 2 ** (a + b)
    assert mcnemar(a, b, "less") == pytest.approx(less)
    few = sum(comb(a + b, k) for k in range(min(a, b) + 1)) / 2 ** (a + b)
    assert mcnemar(a, b) == pytest.approx(min(1, 2 * few)) == mcnemar(b, a)
