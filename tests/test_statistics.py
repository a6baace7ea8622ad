"""Tests of intervals and hypothesis tests, with SciPy and Holm's example as reference."""

import numpy as np
import pytest
from scipy import stats

from tasks.statistics import holm, paired_difference, ratio, t_interval, wilson_interval

A = [0.9901, 0.9913, 0.9906, 0.9911]
B = [0.9899, 0.9904, 0.9908, 0.9895]


def test_t_interval_equals_that_of_scipy() -> None:
    made = t_interval(A)
    expected = stats.t.interval(0.95, len(A) - 1, np.mean(A), stats.sem(A))
    assert (made.low, made.high) == pytest.approx(expected)
    assert made.mean == pytest.approx(np.mean(A))
    assert made.values == 4


def test_paired_difference_equals_the_paired_t_test_of_scipy() -> None:
    made = paired_difference(A, B, resolution=1e-6)
    expected = stats.ttest_rel(A, B)
    assert made.p == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (made.interval.low, made.interval.high) == pytest.approx((interval.low, interval.high))


def test_ratio_is_a_paired_difference_of_logarithms() -> None:
    made = ratio(A, B)
    expected = stats.ttest_rel(np.log(A), np.log(B)).confidence_interval(0.95)
    assert (made.low, made.high) == pytest.approx((np.exp(expected.low), np.exp(expected.high)))


def test_one_value_has_no_interval_and_one_pair_no_p() -> None:
    assert t_interval([0.5]).low is None
    assert not t_interval([0.5]).excludes(0.9)
    assert paired_difference([0.9], [0.5], 1e-4).p is None
    assert not paired_difference([0.9], [0.5], 1e-4).significant


def test_equal_values_keep_an_interval_of_the_resolution() -> None:
    same = t_interval([0.99] * 3, resolution=1e-4)
    assert same.low is not None and same.low < 0.99
    assert paired_difference([0.99] * 3, [0.99] * 3, 1e-4).p == 1
    step = paired_difference([0.9901] * 3, [0.99] * 3, 1e-4)
    assert not step.significant


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
