"""Tests of the promotion rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.champion.rule import count_discordant, decide, decide_first
from tasks.engine.models import FileRef
from tasks.records import Classification
from tasks.settings import RetrainSettings

RULE = RetrainSettings()


def classification(correct: int, total: int = 5000) -> Classification:
    file = FileRef(path="a/b/predictions.parquet", sha256="0" * 64, size=1)
    return Classification(correct=correct, total=total, confusion=((1,),), predictions=file)


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


HIGH = RetrainSettings(floor=0.99)
WIDE = RetrainSettings(margin=0.5)


@pytest.mark.parametrize(
    ("counts", "rule", "best", "expected", "reason"),
    [
        ((30, 10), RULE, 0, "promoted", "better: 4,930 to 4,910 of 5,000"),
        ((30, 30), RULE, 0, "promoted", "not worse: "),
        # Significantly worse, whatever the margin: 14 of 60, p = 0.046; 12 of 60, p = 0.078.
        ((23, 37), WIDE, 0, "kept", "significantly worse: "),
        ((24, 36), WIDE, 0, "promoted", "not worse: "),
        ((24, 36), RetrainSettings(margin=0.5, alpha=0.2), 0, "kept", "significantly worse: "),
        # 5 of 5,000 images are the margin itself.
        ((30, 35), RULE, 0, "promoted", "not worse: "),
        ((30, 36), RULE, 0, "kept", "worse by more than the margin: "),
        # It is measured from the best champion: small losses do not add up.
        ((30, 34), RULE, 0, "promoted", "not worse: "),
        ((30, 34), RULE, 4938, "kept", "worse by more than the margin: "),
        ((30, 10), HIGH, 0, "kept", "below the floor of 99.00"),
        ((50, 10), HIGH, 0, "promoted", "better: "),
    ],
)
def test_rule(
    counts: tuple[int, int], rule: RetrainSettings, best: int, expected: str, reason: str
) -> None:
    """Both models classify 4,900 further images correctly."""
    challenger, champion = (classification(4900 + count) for count in counts)
    decision = decide(challenger, champion, counts, best, rule)
    assert decision.verdict == expected
    assert decision.reason.startswith(reason)
