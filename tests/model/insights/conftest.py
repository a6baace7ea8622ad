"""Evaluation and restored network that the tests of insights share."""

from collections.abc import Callable
from typing import Any

import pytest

from tasks.engine.store import Store
from tasks.model.checkpoint import restore_network
from tasks.records import Evaluation, Segment, Splits
from tasks.settings import EvaluationSettings, NetworkSettings


@pytest.fixture(scope="session")
def evaluation(
    run_stage: Callable[..., Any], splits: Splits, trained: Segment, network: NetworkSettings
) -> Evaluation:
    from tasks.model.evaluate import evaluate

    result: Evaluation = run_stage(
        *(evaluate, splits.test, splits.shape, trained.checkpoint, network),
        *(EvaluationSettings(), 240, ()),
    )
    return result


@pytest.fixture(scope="session")
def model(root: Store, splits: Splits, trained: Segment, network: NetworkSettings) -> Any:
    return restore_network(root.path(trained.checkpoint.file), network, splits.shape)
