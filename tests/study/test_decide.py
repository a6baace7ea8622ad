"""Tests of decisions: planned looks, corrected p-values, and the estimate of further seeds."""

import numpy as np
import pytest

from tasks.runtime.errors import PipelineError
from tasks.statistics import holm
from tasks.study.decide import (
    SAME_ACCURACY,
    Comparison,
    Look,
    SeedBudget,
    compare_values,
    fewest_seeds,
    plan_looks,
)

TWELVE = plan_looks(12, 12)


def compared(mine: list[float], its: list[float], looks: tuple[Look, ...] = TWELVE) -> Comparison:
    """Compare two lists of accuracies by seed."""
    (made,) = compare_values([dict(enumerate(mine))], dict(enumerate(its)), SAME_ACCURACY, [looks])
    assert made
    return made


def around(mean: float, spread: float, count: int = 12, seed: int = 0) -> list[float]:
    """Return accuracies with exactly this mean and standard deviation."""
    values = np.random.default_rng(seed).standard_normal(count)
    values = (values - values.mean()) / values.std(ddof=1)
    return list(mean + spread * values)


@pytest.mark.parametrize("last", [1, 3, 6, 9, 10, 12, 20, 50])
def test_looks_ascend_and_spend_all_of_the_error_probability(last: int) -> None:
    looks = plan_looks(min(3, last), last)
    seeds = [look.seeds for look in looks]
    assert seeds == sorted(set(seeds))
    assert seeds[-1] == last
    assert sum(look.share for look in looks) == pytest.approx(1)


@pytest.mark.parametrize("comparisons", [1, 4, 8, 12])
def test_each_look_can_decide(comparisons: int) -> None:
    for look in plan_looks(3, 12):
        variants = [dict.fromkeys(range(look.seeds), 1.0)] * comparisons
        made = compare_values(
            variants, dict.fromkeys(range(12), 0.0), SAME_ACCURACY, [[look]] * comparisons
        )
        assert all(one and one.verdict == "higher" for one in made)


def test_first_look_sees_variants_that_ruin_some_of_their_runs() -> None:
    first = plan_looks(3, 12)[0].seeds
    assert 1 - 0.75**first >= 0.9
    assert plan_looks(11, 12)[0].seeds == 11
    assert [look.seeds for look in plan_looks(12, 12)] == [12]


def test_fewest_seeds_of_an_unpaired_test() -> None:
    assert fewest_seeds(0.05) == 4
    assert fewest_seeds(0.01) == 5


def test_large_difference_is_claimed_at_the_first_look() -> None:
    looks = plan_looks(3, 12)
    seeds = looks[0].seeds
    made = compared(around(0.98, 0.0008, seeds), around(0.99, 0.0008, seeds), looks[:1])
    assert made.verdict == "lower"
    assert made.interval.high is not None and made.interval.high < 0


def test_equality_is_claimed_by_its_own_test_not_for_want_of_a_difference() -> None:
    assert compared(around(0.99, 0.0003), around(0.99, 0.0003, seed=1)).verdict == "same"
    noisy = compared(around(0.99, 0.003), around(0.99, 0.003, seed=1))
    assert noisy.verdict == "undecided"
    assert noisy.further > 12
    assert compared(around(0.99, 0.003), around(0.99, 0.003)).verdict == "same", "in pairs"


def test_difference_of_the_margin_is_not_the_same() -> None:
    its = around(0.99, 0.0005)
    assert compared([v + SAME_ACCURACY for v in its], its).same == 1
    assert compared([v - SAME_ACCURACY for v in its], its).same == 1


def test_small_difference_may_be_certain_and_within_the_margin() -> None:
    its = around(0.99, 0.0005)
    made = compared([v + 0.0004 for v in its], its)
    assert made.verdict == "higher"
    assert made.same < 0.05


def test_one_wild_pair_does_not_hide_a_difference() -> None:
    its = around(0.985, 0.0005)
    mine = [v + 0.002 for v in its]
    mine[3] += 0.1
    assert compared(mine, its).verdict == "higher"
    mine[3] -= 0.15
    assert compared(mine, its).verdict == "undecided", "the mean is lower now, but not surely so"


def test_expensive_variant_of_few_seeds_is_compared_with_all_of_the_reference() -> None:
    looks = plan_looks(6, 6)
    mine, its = around(0.9965, 0.0002, 3), around(0.987, 0.001, 6)
    made = compared(mine, its, looks)
    assert made.verdict == "higher"
    assert not made.paired
    assert made.different == pytest.approx(2 / 84)


def test_p_values_are_corrected_for_the_variants_as_by_holm() -> None:
    reference = dict(enumerate(around(0.99, 0.0008)))
    variants = [dict(enumerate(around(0.99 + d, 0.0008, seed=9))) for d in (0.0015, 0, 0.003)]
    alone = [compare_values([v], reference, SAME_ACCURACY, [TWELVE])[0] for v in variants]
    together = compare_values(variants, reference, SAME_ACCURACY, [TWELVE] * 3)
    assert [c.different for c in together if c] == pytest.approx(
        holm([c.different for c in alone if c])
    )


def test_seeds_after_the_last_look_do_not_count() -> None:
    looks = plan_looks(3, 12)[:1]
    seeds = looks[0].seeds
    its = around(0.99, 0.0008)
    mine = [v - 0.01 if n >= seeds else v for n, v in enumerate(its)]
    assert compared(mine, its, looks).different == 1


def test_nothing_is_compared_without_values() -> None:
    reference = {0: 0.9, 1: 0.9}
    assert compare_values([{}], reference, SAME_ACCURACY, [TWELVE]) == [None]
    assert compare_values([reference], {}, SAME_ACCURACY, [TWELVE]) == [None]
    (one,) = compare_values([{0: 0.9}], {0: 0.9}, SAME_ACCURACY, [plan_looks(1, 1)])
    assert one and one.verdict == "undecided" and one.further >= 3


@pytest.mark.parametrize("gap", [0.0, 0.0003, 0.0008])
def test_named_number_of_further_seeds_decides_it_four_times_in_five(gap: float) -> None:
    made = compared(around(0.99 + gap, 0.003), around(0.99, 0.003, seed=1))
    assert made.verdict == "undecided"
    half = (made.interval.high or 0) - (made.interval.low or 0)
    total = 12 + made.further
    rng = np.random.default_rng(5)
    spread = half / 2 / 2.2 * 12**0.5
    decided = 0
    looks = plan_looks(total, total)
    for _ in range(60):
        pairs = dict(enumerate(rng.normal(gap, spread, total)))
        (again,) = compare_values([pairs], dict.fromkeys(pairs, 0.0), SAME_ACCURACY, [looks])
        decided += again is not None and again.verdict != "undecided"
    assert 0.6 <= decided / 60 <= 1


def test_seeds_are_a_number_or_a_range() -> None:
    assert str(SeedBudget.parse("3..12")) == "3..12"
    assert str(SeedBudget.parse("5")) == "5"
    assert SeedBudget.parse("5") == SeedBudget(first=5, last=5)
    for wrong in ("", "0", "12..3", "3-12", "a", "3..", "-1", "99999"):
        with pytest.raises(PipelineError, match=r"--seeds .*: give a number of seeds"):
            SeedBudget.parse(wrong)


def test_expensive_study_has_fewer_seeds() -> None:
    budget = SeedBudget.parse("8..12")
    assert [look.seeds for look in budget.looks(6)] == [6]
    assert budget.looks()[-1].seeds == 12
