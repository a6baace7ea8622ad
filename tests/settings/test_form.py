"""The form of a deployment: empty fields, presets, and values that replace a preset's."""

from typing import Any

import pytest
from pydantic import ValidationError

from tasks.settings import Settings
from tasks.settings.form import FIRST, FormSettings, leaf_schemas


@pytest.mark.parametrize("form", [{}, {"preset": "fast"}, {"preset": "fast", "more": None}])
def test_an_empty_field_takes_the_value_of_the_preset(form: dict[str, Any]) -> None:
    expected = Settings(preset=form.get("preset", "tutorial"))
    assert FormSettings.model_validate(form).settings() == expected


def test_a_field_that_is_filled_in_replaces_the_value_of_the_preset() -> None:
    more = {"batch_size": 32, "normalisation": "false", "dropout": None}
    form = {"preset": "best", "iterations": 7, "seed": None, "more": more}
    settings = FormSettings.model_validate(form).settings()
    assert settings.schedule.iterations == 7
    assert settings.training.batch_size == 32
    assert settings.network.normalisation is False
    assert settings.network.dropout == Settings(preset="best").network.dropout
    assert settings.network.conv_filters == (32, 64, 128)


@pytest.mark.parametrize("form", [{"learn_rate": 1}, {"more": {"learn_rate": 1}}, {"seed": -1}])
def test_an_unknown_field_or_value_is_refused(form: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"learn_rate|seed"):
        FormSettings.model_validate(form).settings()


def test_every_setting_is_in_the_form_once_without_a_default_that_a_form_would_fill_in() -> None:
    schema = FormSettings.model_json_schema()
    first = schema["properties"]
    more = schema["$defs"]["MoreSettings"]["properties"]
    assert list(first) == [*FIRST, "more"]
    assert first["preset"]["default"] == "tutorial"
    assert {name for name, field in (first | more).items() if "default" in field} == {
        *("preset", "more"),
    }
    assert all(field["description"] for field in more.values())
    leaves = [
        leaf
        for group in Settings().model_dump().values()
        for leaf in (group if isinstance(group, dict) else [None])
    ]
    assert len(leaf_schemas()) == len(leaves) == len(FIRST) + len(more)
    assert first["learning_rate"]["exclusiveMinimum"] == 0
