"""What is compiled once for several stages: lent to one at a time, no trace left in results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tasks.model import compiled as reuse
from tasks.model.compiled import borrowed
from tasks.model.evaluate import evaluate
from tasks.model.train import initialise, train
from tasks.records import Checkpoint, Evaluation, Segment, Splits
from tasks.settings import EvaluationSettings, NetworkSettings, TrainingSettings

RunStage = Callable[..., Any]


def make(name: str, *, size: int = 1) -> list[Any]:
    return [name, size]


def test_the_last_one_is_lent_again_for_the_same_arguments() -> None:
    with borrowed(make, "a", size=2) as first:
        first.append("used")
    with borrowed(make, "a", size=2) as second:
        assert second is first
    with borrowed(make, "a", size=3) as other:
        assert other == ["a", 3]
    with borrowed(make, "a", size=2) as third:
        assert third == ["a", 2]


def test_no_two_have_the_same_one() -> None:
    with borrowed(make, "b") as first, borrowed(make, "b") as second:
        assert second is not first


def test_one_that_was_in_use_when_an_error_came_is_not_lent_again() -> None:
    with pytest.raises(RuntimeError), borrowed(make, "c") as first:
        raise RuntimeError
    with borrowed(make, "c") as second:
        assert second is not first


@pytest.mark.tensorflow
def test_what_was_computed_before_leaves_no_trace(
    run_stage: RunStage,
    splits: Splits,
    training: TrainingSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With everything that changes in training: moments, running means, dropout, loss scale."""
    network = NetworkSettings(
        conv_filters=(4,), conv_sizes=(3,), dense=(16,), normalisation=True, dropout=0.5
    )
    mixed = training.model_copy(update={"precision": "mixed"})

    def compute(start: Checkpoint) -> tuple[str, str]:
        segment: Segment = run_stage(train, splits.train, splits.shape, start, network, mixed, 8)
        checkpoint = segment.checkpoint
        scores: Evaluation = run_stage(
            evaluate, splits.test, splits.shape, checkpoint, network, EvaluationSettings(), 8
        )
        return checkpoint.file.sha256, scores.predictions.sha256

    start: Checkpoint = run_stage(initialise, splits.shape, network, training.seed)
    fresh = compute(start)
    assert {maker.__name__ for maker in reuse._left} >= {"make_trainer", "make_classifier"}
    assert compute(start) == fresh
    monkeypatch.setattr(reuse, "_left", {})
    assert compute(start) == fresh
