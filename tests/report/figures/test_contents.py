"""Tests of the selection of figures."""

import pytest
from helpers.arrays import normal

from tasks.report.figures.contents import channels_of
from tasks.runtime.errors import PipelineError


def test_missing_input_channel_is_refused() -> None:
    arrays = {"conv2/weights": normal(3, 3, 16, 2)}
    assert [channel for channel, _ in channels_of("conv2", (0, 15), arrays)] == [0, 15]
    assert channels_of("conv1", (0,), arrays) == []
    with pytest.raises(PipelineError, match="16 input channels"):
        channels_of("conv2", (0, 16), arrays)
