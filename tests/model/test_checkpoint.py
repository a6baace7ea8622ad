"""Tests of checkpoint files."""

import pytest

from tasks.engine.store import Store
from tasks.model.checkpoint import read_tensors
from tasks.records import Network

pytestmark = pytest.mark.tensorflow


def test_checkpoint_holds_the_documented_tensors(root: Store, initial: Network) -> None:
    state = read_tensors(root.path(initial.checkpoint))
    shapes = {
        "conv1/kernel": (3, 3, 1, 4),
        "conv1/bias": (4,),
        "conv2/kernel": (5, 5, 4, 6),
        "conv2/bias": (6,),
        "fc1/kernel": (2 * 2 * 6, 16),
        "fc1/bias": (16,),
        "fc2/kernel": (16, 10),
        "fc2/bias": (10,),
    }
    assert {name: values.shape for name, values in state.items()} == {
        "iteration": (),
        **{
            f"{kind}/{path}": shape
            for kind in ("weights", "adam/momentum", "adam/velocity")
            for path, shape in shapes.items()
        },
    }
