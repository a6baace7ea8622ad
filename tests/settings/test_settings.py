"""Tests of settings: defaults, valid and invalid values, presets."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from flows.cli.common import SettingsOptions
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
from tasks.settings.presets import PRESETS, Preset

DIGEST = "0123456789abcdef" * 4


def stops(iterations: int, *milestones: int) -> tuple[int, ...]:
    return ScheduleSettings(iterations=iterations, milestones=milestones).stops


def fault(model: type[BaseModel], **values: object) -> str:
    """Return the error message for invalid values; one line."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    [error] = caught.value.errors()
    message: str = error["msg"]
    assert "\n" not in message
    return message


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
        "precision": "auto",
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


def test_milestones_beyond_the_iterations_are_left_out() -> None:
    assert stops(100, 0, 1, 100, 1_000, 10_000) == (0, 1, 100)


def test_last_iteration_is_a_stop() -> None:
    assert stops(250, 1, 100, 1_000) == (0, 1, 100, 250)


def test_first_stop_is_0() -> None:
    assert stops(5, 3) == (0, 3, 5)
    assert stops(5) == (0, 5)


def test_stops_are_sorted_and_unique() -> None:
    assert stops(9, 7, 2, 7, 9, 0, 2) == (0, 2, 7, 9)


def test_zero_iterations_have_one_stop() -> None:
    assert stops(0, 0, 1, 100) == (0,)


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
    assert "give one for all layers, or one for each" in message


def test_one_cycle_length_is_the_number_of_iterations() -> None:
    settings = Settings.model_validate(
        {"training": {"rate_schedule": "one-cycle"}, "schedule": {"iterations": 700}}
    )
    assert settings.cycle == 700


@pytest.mark.parametrize("digests", ["mnist", "none", ",".join([DIGEST] * 4)])
def test_valid_digests(digests: str) -> None:
    assert DownloadSettings(digests=digests).digests == digests


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "mnist"),
        ({"url": "http://a/"}, "mnist"),
        ({"digests": "auto"}, "mnist"),
        ({"source": "digits"}, "auto"),
        ({"source": "/data"}, "auto"),
        ({"source": "/data", "digests": "mnist"}, "mnist"),
        ({"source": "/data", "digests": "none"}, "none"),
    ],
)
def test_a_download_is_mnist_unless_said_otherwise(values: dict[str, str], expected: str) -> None:
    settings = DownloadSettings.model_validate(values)
    assert settings.digests == expected
    assert DownloadSettings.model_validate(settings.model_dump()) == settings


@pytest.mark.parametrize("names", ["a,b,a", "a,,b", "a,b\x1b[2J"])
def test_class_names_are_different_printable_words(names: str) -> None:
    fault(ConvertSettings, class_names=names)


@pytest.mark.parametrize(
    "digests",
    [
        "",
        "mnists",
        "mnist\n",
        DIGEST,
        ",".join([DIGEST] * 3),
        ",".join([DIGEST] * 5),
        ",".join([DIGEST.upper()] * 4),
        ",".join([DIGEST[1:]] * 4),
    ],
)
def test_invalid_digests_are_refused_with_the_allowed_values(digests: str) -> None:
    message = fault(DownloadSettings, digests=digests)
    for allowed in ("mnist", "none", "four SHA-256"):
        assert allowed in message


@pytest.mark.parametrize("url", ["ftp://example.org/", "example.org/mnist", "/data/mnist", ""])
def test_url_must_be_a_web_address(url: str) -> None:
    assert "http://" in fault(DownloadSettings, url=url)


@pytest.mark.parametrize(
    "url",
    ["https://me:x@a.org/", "https://me@a.org/", "https://a.org/d?token=x", "http://a.org/#x"],
)
def test_url_with_secrets_is_refused(url: str) -> None:
    assert "records would show it" in fault(DownloadSettings, url=url)
    (schema,) = (s for n, s in fields(Settings.model_json_schema()) if n == "url")
    assert not re.match(schema["pattern"], url)
    assert re.match(schema["pattern"], "https://a.org:80/data/")


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
        (TrainingSettings, {"precision": "half"}, "'auto', 'float32' or 'mixed'"),
        (TrainingSettings, {"xla": "yes"}, "'auto', 'on' or 'off'"),
        (NetworkSettings, {"conv_filters": "16,0"}, "greater than or equal to 1"),
        (NetworkSettings, {"conv_filters": [], "conv_sizes": "5"}, "at least 1 item"),
        (NetworkSettings, {"initial_sigma": 0}, "greater than 0"),
        (ConvertSettings, {"validation": 0}, "greater than 0"),
        (EvaluationSettings, {"evaluation_batch": 0}, "greater than or equal to 1"),
        (FigureSettings, {"test_images": "-1"}, "greater than or equal to 0"),
        (FigureSettings, {"insights": "map"}, "'excite', 'attribute', 'embed' or 'none'"),
        (FigureSettings, {"insights": "none,embed"}, "none alone"),
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


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every option of a JSON schema: all fields except nested models."""
    for model in [schema, *schema.get("$defs", {}).values()]:
        for name, field in model["properties"].items():
            if "$ref" not in field:
                yield name, field


def test_schema_describes_every_option() -> None:
    described = {
        name: field.get("description", "")
        for model in (Settings, RetrainSettings, ScoreSettings)
        for name, field in fields(model.model_json_schema())
    }
    assert {"iterations", "learning_rate", "conv_filters", "digests", "refresh"} <= set(described)
    assert [name for name, text in described.items() if not text] == []


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


def test_artifact_root_with_a_password_is_refused() -> None:
    assert "set FSSPEC_FTP_PASSWORD" in fault(Settings, artifacts="ftp://ann:secret@host/mnist")
    assert "set AWS_ACCESS_KEY_ID" in fault(Settings, artifacts="s3://KEY:SECRET@bucket/x")
    (pattern,) = [
        part["pattern"]
        for part in Settings.model_json_schema()["properties"]["artifacts"]["anyOf"]
        if "pattern" in part
    ]
    assert not re.search(pattern, "ftp://ann:secret@host/mnist")
    for root in ("ftp://ann@host:2121/mnist", "s3://bucket/a@b:c", "/data/a:b@c", "artifacts"):
        assert Settings(artifacts=root).artifacts == root
        assert re.search(pattern, root)


def test_tutorial_preset_equals_the_defaults() -> None:
    assert Settings(preset="tutorial") == Settings()


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_survive_a_json_round_trip(preset: Preset) -> None:
    settings = Settings(preset=preset)
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_unknown_preset_is_refused_with_the_known_names() -> None:
    assert "'tutorial', 'fast' or 'best'" in fault(Settings, preset="slow")


def test_every_group_of_settings_has_options_on_the_command_line() -> None:
    groups = {
        name
        for name, field in Settings.model_fields.items()
        if isinstance(field.default, StageSettings)
    }
    assert "audit" in groups
    assert groups <= SettingsOptions.__annotations__.keys()
