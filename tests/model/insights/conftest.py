"""Evaluation and restored network that the tests of insights share."""

from collections.abc import Callable
from typing import Any

import pytest

from tasks.engine.store import Store
from tasks.model.checkpoint import restore_network
from tasks.records import Classification, Segment, Splits
from tasks.settings import EvaluationSettings, NetworkSettings


@pytest.fixture(scope="session")
def evaluation(
    run_stage: Callable[..., Any], splits: Splits, trained: Segment, network: NetworkSettings
) -> Classification:
    from tasks.model.evaluate import evaluate

    arguments = splits.validation, splits.test, trained.network, EvaluationSettings(), (), 240
    result: Classification = run_stage(evaluate, *arguments).test
    return result


@pytest.fixture(scope="session")
def model(root: Store, splits: Splits, trained: Segment, network: NetworkSettings) -> Any:
    return restore_network(trained.network, root.path(trained.network.checkpoint))
