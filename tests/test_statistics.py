"""Tests of the interval of a share and of McNemar's test, with SciPy as reference."""

from math import comb

import pytest
from scipy import stats

from tasks.statistics import mcnemar, wilson_interval


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
