"""Tests of all settings together: defaults, lists, bounds, schema."""

from typing import Any

import pytest
from helpers.settings_models import fault, fields
from pydantic import BaseModel, ValidationError

from tasks.settings import (
    ConvertSettings,
    DownloadSettings,
    EvaluationSettings,
    FigureSettings,
    NetworkSettings,
    RetrainSettings,
    ScheduleSettings,
    ScoreSettings,
    Settings,
    TrainingSettings,
)
from tasks.settings.base import StageSettings


def test_defaults_equal_the_tutorial() -> None:
    settings = Settings()
    assert settings.network.model_dump() == {
        "conv_filters": (16, 36),
        "conv_sizes": (5, 5),
        "conv_strides": (1,),
        "pooling": ("max",),
        "dense": (128,),
        "activation": "relu",
        "activation_first": False,
        "logits_activation": "none",
        "normalisation": False,
        "dropout": 0.0,
        "initial_weights": "normal",
        "initial_sigma": 0.05,
        "initial_bias": 0.05,
    }
    training = settings.training.model_dump(exclude={"seed", "device"})
    assert training == {
        "precision": "float32",
        "xla": "auto",
        "batch_size": 64,
        "optimizer": "adam",
        "sampled_pooling": 0.0,
        "learning_rate": 1e-4,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-8,
        "rate_schedule": "constant",
        "deterministic": True,
        "label_smoothing": 0.0,
        "shift": 0.0,
        "rotation": 0.0,
        "zoom": 0.0,
        "drawn": 0.0,
    }
    assert settings.cycle is None
    assert settings.schedule.stops == (0, 1, 100, 1_000, 10_000)
    assert settings.evaluation.evaluation_batch == 256
    assert settings.figures.test_images == (0, 13)
    assert settings.figures.conv2_channels == (0, 1)
    assert settings.download.digests == "mnist"
    assert not settings.refresh


@pytest.mark.parametrize(
    "written", ["0,1,100", ["0,1", "100"], ["0", "1", "100"], [0, 1, 100], (0, "1,100")]
)
def test_lists_may_be_written_with_commas(written: object) -> None:
    assert ScheduleSettings.model_validate({"milestones": written}).milestones == (0, 1, 100)


def test_all_lists_may_be_written_with_commas() -> None:
    network = NetworkSettings.model_validate(
        {"conv_filters": "8,16,32", "conv_sizes": "5,3,3", "dense": "64,32"}
    )
    assert network.conv_filters == (8, 16, 32)
    assert network.conv_sizes == (5, 3, 3)
    assert network.dense == (64, 32)
    figures = FigureSettings.model_validate({"test_images": "4,2", "conv2_channels": "15"})
    assert figures.test_images == (4, 2)
    assert figures.conv2_channels == (15,)
    assert FigureSettings.model_validate({"insights": "embed,excite"}).insights == (
        "embed",
        "excite",
    )


@pytest.mark.parametrize(
    ("model", "values", "allowed"),
    [
        (ScheduleSettings, {"iterations": -1}, "greater than or equal to 0"),
        (ScheduleSettings, {"milestones": "0,-1"}, "greater than or equal to 0"),
        (ScheduleSettings, {"milestones": "0,ten"}, "integer"),
        (TrainingSettings, {"seed": -1}, "greater than or equal to 0"),
        (TrainingSettings, {"batch_size": 0}, "greater than or equal to 1"),
        (TrainingSettings, {"learning_rate": 0}, "greater than 0"),
        (TrainingSettings, {"learning_rate": "nan"}, ""),
        (TrainingSettings, {"beta_1": 1}, "less than 1"),
        (TrainingSettings, {"beta_2": -0.1}, "greater than or equal to 0"),
        (TrainingSettings, {"device": "tpu"}, "'auto', 'cpu' or 'gpu'"),
        (TrainingSettings, {"precision": "mixed"}, "'float32' or 'bfloat16'"),
        (TrainingSettings, {"xla": "yes"}, "'auto', 'on' or 'off'"),
        (NetworkSettings, {"conv_filters": "16,0"}, "greater than or equal to 1"),
        (NetworkSettings, {"initial_sigma": 0}, "greater than 0"),
        (ConvertSettings, {"validation": 0}, "greater than 0"),
        (EvaluationSettings, {"evaluation_batch": 0}, "greater than or equal to 1"),
        (FigureSettings, {"test_images": "-1"}, "greater than or equal to 0"),
        (FigureSettings, {"insights": "map"}, "'excite', 'attribute' or 'embed'"),
        (FigureSettings, {"insights": "none,embed"}, "'excite', 'attribute' or 'embed'"),
        (DownloadSettings, {"read_timeout": 0}, "greater than 0"),
        (RetrainSettings, {"floor": 1.1}, "less than or equal to 1"),
        (RetrainSettings, {"alpha": 0}, "greater than 0"),
        (RetrainSettings, {"margin": -0.1}, "greater than or equal to 0"),
        (RetrainSettings, {"seed_policy": "random"}, "'fixed' or 'date'"),
        (ScoreSettings, {"batch": 0}, "greater than or equal to 1"),
        (TrainingSettings, {"batch_size": 10**9}, "less than or equal to 65536"),
        (NetworkSettings, {"conv_sizes": (10**6, 5)}, "less than or equal to 255"),
        (NetworkSettings, {"conv_filters": (10**6, 5)}, "less than or equal to 4096"),
        (NetworkSettings, {"conv_strides": (10**6, 1)}, "less than or equal to 255"),
        (NetworkSettings, {"dense": (10**6,)}, "less than or equal to 4096"),
        (Settings, {"threads": 100_000}, "less than or equal to 256"),
    ],
)
def test_values_out_of_range_are_refused(
    model: type[BaseModel], values: dict[str, Any], allowed: str
) -> None:
    assert allowed in fault(model, **values)


def test_seed_beyond_64_bits_is_refused() -> None:
    fault(TrainingSettings, seed=2**64)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (TrainingSettings, "learning_rate"),
        (TrainingSettings, "epsilon"),
        (NetworkSettings, "initial_sigma"),
        (NetworkSettings, "initial_bias"),
    ],
)
def test_infinite_values_are_refused(model: type[BaseModel], name: str) -> None:
    fault(model, **{name: "inf"})


OF_STAGES = [m for m in StageSettings.__subclasses__() if m.__module__ == Settings.__module__]


@pytest.mark.parametrize("model", [Settings, ScheduleSettings, *OF_STAGES])
def test_settings_are_frozen_and_know_their_fields(model: type[BaseModel]) -> None:
    settings = model()
    for name in model.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(settings, name, getattr(settings, name))
    assert "not permitted" in fault(model, learning_speed=1)


def test_settings_survive_a_json_round_trip() -> None:
    settings = Settings(training=TrainingSettings(seed=7), refresh=("train",))
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_schema_describes_every_option() -> None:
    described = {
        name: field.get("description", "")
        for model in (Settings, RetrainSettings, ScoreSettings)
        for name, field in fields(model.model_json_schema())
    }
    assert {"iterations", "learning_rate", "conv_filters", "digests", "refresh"} <= set(described)
    assert [name for name, text in described.items() if not text] == []
