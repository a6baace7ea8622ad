"""Tests of the reuse of compiled networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tasks.model.compiled import cache, reuse_compiled
from tasks.model.evaluate import evaluate
from tasks.model.train import initialise, train
from tasks.records import Evaluation, Network, Segment, Splits
from tasks.settings import EvaluationSettings, NetworkSettings, TrainingSettings

RunStage = Callable[..., Any]


def make(name: str, *, size: int = 1) -> list[Any]:
    return [name, size]


def test_equal_arguments_reuse_the_last_object() -> None:
    with reuse_compiled(make, "a", size=2) as first:
        first.append("used")
    with reuse_compiled(make, "a", size=2) as second:
        assert second is first
    with reuse_compiled(make, "a", size=3) as other:
        assert other == ["a", 3]
    with reuse_compiled(make, "a", size=2) as third:
        assert third == ["a", 2]


def test_nested_blocks_do_not_share_an_object() -> None:
    with reuse_compiled(make, "b") as first, reuse_compiled(make, "b") as second:
        assert second is not first


def test_an_error_discards_the_object() -> None:
    with pytest.raises(RuntimeError), reuse_compiled(make, "c") as first:
        raise RuntimeError
    with reuse_compiled(make, "c") as second:
        assert second is not first


@pytest.mark.tensorflow
def test_reuse_does_not_change_results(
    run_stage: RunStage,
    splits: Splits,
    training: TrainingSettings,
) -> None:
    """Covers all state of training: moments, running means, dropout."""
    network = NetworkSettings(
        conv_filters=(4,), conv_sizes=(3,), dense=(16,), normalisation=True, dropout=0.5
    )

    def compute(start: Network) -> tuple[str, str]:
        segment: Segment = run_stage(train, splits.train, start, training, 8)
        trained = segment.network
        arguments = splits.validation, splits.test, trained, EvaluationSettings(), (), 8
        scores: Evaluation = run_stage(evaluate, *arguments)
        return trained.checkpoint.sha256, scores.test.predictions.sha256

    start: Network = run_stage(initialise, network, splits.shape, training.seed)
    fresh = compute(start)
    assert {maker.__name__ for maker in cache} >= {"make_trainer", "make_classifier"}
    assert compute(start) == fresh
    cache.clear()
    assert compute(start) == fresh
