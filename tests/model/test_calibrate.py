"""The stage `calibrate` on a small network that has learnt digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tasks.data.dataset import SplitArrays
from tasks.engine.store import Store
from tasks.model.calibrate import calibrate, compile_reader, read_all
from tasks.model.calibration import cross_entropy, distances, load_calibration, softmax
from tasks.model.export import export
from tasks.model.onnx_session import open_onnx
from tasks.model.predictions import load_network
from tasks.records import Segment, Split, Splits
from tasks.settings import NetworkSettings

if TYPE_CHECKING:
    Arrays = Callable[[Split], SplitArrays]

pytestmark = pytest.mark.tensorflow


def test_limit_and_temperature_are_those_of_the_validation_split(
    run_stage: Callable[..., Any],
    root: Store,
    splits: Splits,
    trained: Segment,
    network: NetworkSettings,
    arrays: Arrays,
) -> None:
    model = run_stage(export, trained.network)
    arguments = splits.train, splits.validation, splits.shape, model
    first, again = (run_stage(calibrate, *arguments) for _ in range(2))
    assert first.file.sha256 == again.file.sha256
    assert first.onnx.sha256 == again.onnx.sha256 != model.onnx.sha256

    known = load_calibration(root.path(first.file))
    read = compile_reader(load_network(root.path(model.file), splits.shape), 8, 8)
    validation = arrays(splits.validation)
    features, logits = read_all(read, validation.images)
    far = distances(features, known.familiar) > known.familiar.limit
    assert 1 <= far.sum() <= 3  # one percent of 125
    assert (distances(read_all(read, arrays(splits.train).images)[0], known.familiar) < 1e-3).all()
    best, *others = (
        cross_entropy(logits, validation.labels, known.temperature * factor)
        for factor in (1, 0.8, 1.25)
    )
    assert best < min(others)

    probabilities, _ = open_onnx(root.path(first.onnx), splits.shape)(validation.images)
    np.testing.assert_allclose(probabilities, softmax(logits, known.temperature), atol=1e-5)

    noise = np.random.default_rng(0).integers(0, 256, (200, 8, 8)).astype(np.uint8)
    marked = distances(read_all(read, noise)[0], known.familiar) > known.familiar.limit
    assert marked.mean() > 0.2
