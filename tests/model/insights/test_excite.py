"""Tests of images that excite a class."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tasks.data.dataset import SplitArrays
from tasks.engine.store import Store
from tasks.model.checkpoint import read_tensors
from tasks.model.insights.excite import blur_kernel, excite
from tasks.records import Segment, Shape, Split, Splits
from tasks.settings import NetworkSettings

if TYPE_CHECKING:
    Arrays = Callable[[Split], SplitArrays]
    RunStage = Callable[..., Any]

pytestmark = pytest.mark.tensorflow


def test_most_generated_images_excite_their_class_more_than_any_real_image(
    root: Store,
    run_stage: RunStage,
    splits: Splits,
    trained: Segment,
    network: NetworkSettings,
    arrays: Arrays,
    model: Any,
) -> None:
    record = run_stage(excite, trained.network)
    tensors = read_tensors(root.path(record.file))
    images = tensors["images"]
    assert images.shape == (10, 8, 8) and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 1
    logits = np.asarray(model(images[..., np.newaxis]))
    np.testing.assert_allclose(tensors["logits"], np.diagonal(logits), rtol=1e-5)
    real = np.asarray(model(arrays(splits.test).images[..., np.newaxis] / np.float32(255)))
    # The images start out grey; a network this small hardly answers to it for some classes.
    assert (tensors["logits"] > real.max(axis=0)).sum() >= 8
    assert (logits.argmax(axis=1) == np.arange(10)).sum() >= 8
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(tensors["probabilities"], np.diagonal(shares), rtol=1e-4)
    again = run_stage(excite, trained.network)
    assert again.file.sha256 == record.file.sha256


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (32, 20), (64, 64)])
def test_blur_kernel_is_symmetric_and_sums_to_1(size: tuple[int, int]) -> None:
    kernel = blur_kernel(Shape(height=size[0], width=size[1], classes=2))
    assert kernel.sum() == pytest.approx(1)
    assert kernel.ndim == 4 and kernel.shape[0] % 2 == 1
    assert np.array_equal(kernel[..., 0, 0], kernel[::-1, ::-1, 0, 0])
    assert kernel.max() == kernel[len(kernel) // 2, len(kernel) // 2, 0, 0]
