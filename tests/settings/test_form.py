"""The form of a deployment: empty fields, presets, and values that replace a preset's."""

import pytest
from pydantic import ValidationError

from tasks.settings import Settings
from tasks.settings.form import FormSettings, MoreSettings, leaf_schemas


def test_an_empty_form_gives_the_defaults() -> None:
    assert FormSettings().settings() == Settings()


def test_an_empty_field_takes_the_value_of_the_preset() -> None:
    assert FormSettings(preset="fast").settings() == Settings(preset="fast")


def test_a_field_that_is_filled_in_replaces_the_value_of_the_preset() -> None:
    more = MoreSettings.model_validate(
        {"batch_size": 32, "normalisation": "false", "dropout": None}
    )
    settings = FormSettings(preset="best", iterations=7, more=more).settings()
    assert settings.schedule.iterations == 7
    assert settings.training.batch_size == 32
    assert settings.network.normalisation is False
    assert settings.network.dropout == Settings(preset="best").network.dropout
    assert settings.network.conv_filters == (32, 64, 128)


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="learn_rate"):
        FormSettings(more=MoreSettings.model_validate({"learn_rate": 1})).settings()


def test_no_field_but_the_preset_has_a_default_that_a_form_would_fill_in() -> None:
    schema = FormSettings.model_json_schema()
    first = schema["properties"]
    more = schema["$defs"]["MoreSettings"]["properties"]
    assert first["preset"]["default"] == "tutorial"
    assert [name for name, field in first.items() if "default" in field] == ["preset", "more"]
    assert [name for name, field in more.items() if "default" in field] == []
    assert all(field["description"] for field in more.values())


def test_every_setting_is_in_the_form() -> None:
    schema = FormSettings.model_json_schema()
    fields = {*schema["properties"], *schema["$defs"]["MoreSettings"]["properties"]} - {"more"}
    assert fields == set(leaf_schemas())
    leaves = [
        leaf
        for group in Settings().model_dump().values()
        for leaf in (group if isinstance(group, dict) else [None])
    ]
    assert len(fields) == len(leaves)
