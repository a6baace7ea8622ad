"""Tests of the promotion rule."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.champion.rule import count_discordant, decide, decide_first, mcnemar_worse
from tasks.engine.models import FileRef
from tasks.records import Classification
from tasks.settings import RetrainSettings

RULE = RetrainSettings()


def classification(correct: int, total: int = 5000) -> Classification:
    file = FileRef(path="a/b/predictions.parquet", sha256="0" * 64, size=1)
    return Classification(correct=correct, total=total, confusion=((1,),), predictions=file)


def verdict(
    only_challenger: int, only_champion: int, best: int = 0, rule: RetrainSettings = RULE
) -> tuple[str, str]:
    """Return the decision if both models classify 4,900 further images correctly."""
    challenger, champion = (classification(4900 + n) for n in (only_challenger, only_champion))
    decision = decide(challenger, champion, (only_challenger, only_champion), best, rule)
    return decision.verdict, decision.reason


@settings(deadline=None)  # the first call imports SciPy
@given(st.integers(0, 60), st.integers(0, 60))
def test_p_values_are_sums_of_binomial_coefficients(a: int, b: int) -> None:
    exact = sum(comb(a + b, k) for k in range(a + 1)) / 2 ** (a + b)
    assert mcnemar_worse(a, b) == pytest.approx(exact)


def test_identical_predictions_have_p_1() -> None:
    assert mcnemar_worse(0, 0) == 1


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1))
def test_disagreements_are_counted_per_image(rows: list[tuple[int, int, int]]) -> None:
    labels, challenger, champion = (
        np.array(column, np.uint8) for column in zip(*rows, strict=True)
    )
    assert count_discordant(labels, challenger, champion) == (
        sum(a == label != b for label, a, b in rows),
        sum(b == label != a for label, a, b in rows),
    )


@pytest.mark.parametrize(("correct", "expected"), [(4849, "kept"), (4850, "promoted")])
def test_first_champion_must_reach_the_floor(correct: int, expected: str) -> None:
    decision = decide_first(classification(correct), RULE)
    assert decision.verdict == expected
    assert "the floor of 97.00\xa0%" in decision.reason


def test_better_challenger_is_promoted() -> None:
    assert verdict(30, 10)[0] == "promoted"
    assert verdict(30, 10)[1].startswith("better: 4,930 to 4,910 of 5,000")


def test_equal_challenger_is_promoted() -> None:
    assert verdict(30, 30)[0] == "promoted"
    assert verdict(30, 30)[1].startswith("not worse: ")


def test_significantly_worse_challenger_is_rejected_regardless_of_the_margin() -> None:
    wide = RetrainSettings(margin=0.5)
    assert verdict(23, 37, rule=wide)[0] == "kept"  # 14 of 60: p = 0.046
    assert "significantly worse" in verdict(23, 37, rule=wide)[1]
    assert verdict(24, 36, rule=wide)[0] == "promoted"  # 12 of 60: p = 0.078


def test_insignificantly_worse_challenger_is_promoted_within_the_margin() -> None:
    assert verdict(30, 35)[0] == "promoted"  # 5 of 5,000 images: the margin itself
    assert verdict(30, 36)[0] == "kept"
    assert "worse by more than the margin" in verdict(30, 36)[1]


def test_margin_is_measured_from_the_best_champion() -> None:
    """A second loss of four images in a row exceeds the margin."""
    assert verdict(30, 34)[0] == "promoted"
    assert verdict(30, 34, best=4938)[0] == "kept"


def test_promotion_is_refused_below_the_floor() -> None:
    high = RetrainSettings(floor=0.99)
    assert verdict(30, 10, rule=high)[0] == "kept"  # 4,930 of 5,000
    assert verdict(30, 10, rule=high)[1].startswith("below the floor of 99.00\xa0%: ")
    assert verdict(50, 10, rule=high)[0] == "promoted"


def test_alpha_is_a_setting() -> None:
    strict = RetrainSettings(margin=0.5, alpha=0.2)
    assert verdict(24, 36, rule=strict)[0] == "kept"
