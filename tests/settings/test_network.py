"""Tests of settings of the network."""

import pytest
from helpers.settings_models import fault

from tasks.settings import (
    NetworkSettings,
)


def test_hidden_dense_layers_may_be_empty() -> None:
    assert NetworkSettings(dense=()).dense == ()


@pytest.mark.parametrize(
    ("name", "values"),
    [("conv_sizes", "5,5"), ("conv_strides", "1,2"), ("pooling", "max,none,max,none")],
)
def test_convolutional_settings_have_one_value_or_one_per_layer(name: str, values: str) -> None:
    message = fault(NetworkSettings, conv_filters="16,36,72", **{"conv_sizes": "5", name: values})
    assert f"--{name.replace('_', '-')} names {len(values.split(','))} layers" in message
    assert "--conv-filters 3" in message
