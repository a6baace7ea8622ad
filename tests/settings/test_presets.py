"""Tests of presets."""

import pytest
from helpers.settings_models import fault

from tasks.settings import (
    Settings,
    TrainingSettings,
)
from tasks.settings.presets import PRESETS, Preset


def test_explicit_options_override_the_preset() -> None:
    fast = Settings(preset="fast")
    assert (fast.schedule.iterations, fast.training.rate_schedule) == (450, "one-cycle")
    other = Settings.model_validate(
        {"preset": "fast", "schedule": {"iterations": 100}, "training": {"seed": 3}}
    )
    assert other.schedule.iterations == 100
    assert other.training == fast.training.model_copy(update={"seed": 3})
    as_model = Settings(preset="fast", training=TrainingSettings(seed=3))
    assert as_model.training == other.training


def test_tutorial_preset_equals_the_defaults() -> None:
    assert Settings(preset="tutorial") == Settings()


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_survive_a_json_round_trip(preset: Preset) -> None:
    settings = Settings(preset=preset)
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_unknown_preset_is_refused_with_the_known_names() -> None:
    assert "'tutorial', 'fast' or 'best'" in fault(Settings, preset="slow")
