"""Tests of settings: defaults, lists, bounds, presets, addresses, schema."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
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
from tasks.settings.presets import PRESETS, Preset

DIGEST = "0123456789abcdef" * 4


def fault(model: type[BaseModel], **values: object) -> str:
    """Return the error message for invalid values; one line."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    [error] = caught.value.errors()
    message: str = error["msg"]
    assert "\n" not in message
    return message


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every option of a JSON schema: all fields except nested models."""
    for model in [schema, *schema.get("$defs", {}).values()]:
        for name, field in model["properties"].items():
            if "$ref" not in field:
                yield name, field


def test_defaults_equal_the_tutorial() -> None:
    settings = Settings()
    network, training = settings.network, settings.training
    assert (network.conv_filters, network.conv_sizes, network.dense) == ((16, 36), (5, 5), (128,))
    assert (network.conv_strides, network.pooling, network.activation) == ((1,), ("max",), "relu")
    assert (network.logits_activation, network.dropout) == ("none", 0)
    assert (network.initial_weights, network.initial_sigma, network.initial_bias) == (
        *("normal", 0.05, 0.05),
    )
    assert not (network.activation_first or network.normalisation)
    assert (training.learning_rate, training.rate_schedule) == (1e-4, "constant")
    assert (training.beta_1, training.beta_2, training.epsilon) == (0.9, 0.999, 1e-8)
    assert (training.batch_size, training.precision, training.deterministic) == (
        *(64, "float32", True),
    )
    assert training.label_smoothing == training.shift == training.rotation == training.zoom == 0
    assert settings.drawn == 0
    assert settings.cycle is None
    assert settings.schedule.stops == (0, 1, 100, 1_000, 10_000)
    assert settings.evaluation.evaluation_batch == 256
    assert settings.figures.test_images == (0, 13)
    assert settings.figures.conv2_channels == (0, 1)
    assert settings.download.digests == "mnist"
    assert not settings.refresh


@pytest.mark.parametrize(
    ("model", "name", "written", "read"),
    [
        (ScheduleSettings, "milestones", "0,1,100", (0, 1, 100)),
        (ScheduleSettings, "milestones", ["0,1", "100"], (0, 1, 100)),
        (ScheduleSettings, "milestones", (0, "1,100"), (0, 1, 100)),
        (NetworkSettings, "conv_filters", "8,16", (8, 16)),
        (NetworkSettings, "conv_filters", "none", ()),
        (NetworkSettings, "conv_sizes", "5,3", (5, 3)),
        (NetworkSettings, "dense", ["none"], ()),
        (NetworkSettings, "pooling", "none", ("none",)),
        (NetworkSettings, "pooling", "max,none", ("max", "none")),
        (FigureSettings, "conv2_channels", "15", (15,)),
        (FigureSettings, "insights", "embed,excite", ("embed", "excite")),
        (FigureSettings, "insights", ("none",), ()),
        (ConvertSettings, "class_names", "cat,dog", ("cat", "dog")),
    ],
)
def test_lists_are_written_with_commas_and_empty_ones_as_none(
    model: type[BaseModel], name: str, written: object, read: tuple[object, ...]
) -> None:
    assert getattr(model.model_validate({name: written}), name) == read


@pytest.mark.parametrize(
    ("model", "values", "allowed"),
    [
        (ScheduleSettings, {"iterations": -1}, "greater than or equal to 0"),
        (ScheduleSettings, {"milestones": "0,-1"}, "greater than or equal to 0"),
        (ScheduleSettings, {"milestones": "0,ten"}, "integer"),
        (TrainingSettings, {"seed": -1}, "greater than or equal to 0"),
        (TrainingSettings, {"seed": 2**64}, ""),
        (TrainingSettings, {"batch_size": 0}, "greater than or equal to 1"),
        (TrainingSettings, {"batch_size": 10**9}, "less than or equal to 65536"),
        (TrainingSettings, {"learning_rate": 0}, "greater than 0"),
        (TrainingSettings, {"learning_rate": "nan"}, ""),
        (TrainingSettings, {"learning_rate": "inf"}, ""),
        (TrainingSettings, {"epsilon": "inf"}, ""),
        (TrainingSettings, {"beta_1": 1}, "less than 1"),
        (TrainingSettings, {"beta_2": -0.1}, "greater than or equal to 0"),
        (TrainingSettings, {"device": "tpu"}, "'auto', 'cpu' or 'gpu'"),
        (TrainingSettings, {"precision": "mixed"}, "'float32' or 'bfloat16'"),
        (NetworkSettings, {"conv_filters": "16,0"}, "greater than or equal to 1"),
        (NetworkSettings, {"conv_filters": (10**6, 5)}, "less than or equal to 4096"),
        (NetworkSettings, {"conv_sizes": (10**6, 5)}, "less than or equal to 255"),
        (NetworkSettings, {"conv_strides": (10**6, 1)}, "less than or equal to 255"),
        (NetworkSettings, {"dense": (10**6,)}, "less than or equal to 4096"),
        (NetworkSettings, {"dense": (1,) * 51}, "at most 50 items"),
        (NetworkSettings, {"initial_sigma": 0}, "greater than 0"),
        (NetworkSettings, {"initial_sigma": "inf"}, ""),
        (NetworkSettings, {"initial_bias": "inf"}, ""),
        (ConvertSettings, {"validation": 0}, "greater than 0"),
        (ConvertSettings, {"class_names": "a,b,a"}, "different names"),
        (ConvertSettings, {"class_names": "a,,b"}, ""),
        (ConvertSettings, {"class_names": "a,b\x1b[2J"}, ""),
        (EvaluationSettings, {"evaluation_batch": 0}, "greater than or equal to 1"),
        (FigureSettings, {"test_images": "-1"}, "greater than or equal to 0"),
        (FigureSettings, {"insights": "map"}, "'excite', 'attribute', 'embed' or 'none'"),
        (FigureSettings, {"insights": "none,embed"}, "none alone"),
        (DownloadSettings, {"read_timeout": 0}, "greater than 0"),
        (RetrainSettings, {"floor": 1.1}, "less than or equal to 1"),
        (RetrainSettings, {"alpha": 0}, "greater than 0"),
        (RetrainSettings, {"margin": -0.1}, "greater than or equal to 0"),
        (RetrainSettings, {"seed_policy": "random"}, "'fixed' or 'date'"),
        (RetrainSettings, {"champion": "../a"}, "pattern"),
        (RetrainSettings, {"champion": "a\n"}, "pattern"),
        (ScoreSettings, {"batch": 0}, "greater than or equal to 1"),
        (Settings, {"threads": 100_000}, "less than or equal to 256"),
        (Settings, {"preset": "slow"}, "'tutorial', 'fast' or 'best'"),
        (Settings, {"network": {"conv_sizes": [29]}}, "larger than the images of 28 × 28"),
    ],
)
def test_values_out_of_range_are_refused(
    model: type[BaseModel], values: dict[str, Any], allowed: str
) -> None:
    assert allowed in fault(model, **values)


@pytest.mark.parametrize(
    ("name", "values"),
    [("conv_sizes", "5,5"), ("conv_strides", "1,2"), ("pooling", "max,none,max,none")],
)
def test_convolutional_settings_have_one_value_or_one_per_layer(name: str, values: str) -> None:
    message = fault(NetworkSettings, conv_filters="16,36,72", **{"conv_sizes": "5", name: values})
    assert f"--{name.replace('_', '-')} names {len(values.split(','))} layers" in message
    assert "--conv-filters 3" in message


def test_network_is_checked_against_images_of_known_size_only() -> None:
    unknown = {"network": {"conv_sizes": [29]}, "download": {"digests": "none"}}
    assert Settings.model_validate(unknown).network.conv_sizes == (29,)


ALL = [m for m in StageSettings.__subclasses__() if m.__module__.startswith("tasks.settings")]


@pytest.mark.parametrize("model", ALL)
def test_settings_are_frozen_and_know_their_fields(model: type[BaseModel]) -> None:
    settings = model()
    for name in model.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(settings, name, getattr(settings, name))
    assert "not permitted" in fault(model, learning_speed=1)


def test_schema_describes_every_option() -> None:
    described = {
        name: field.get("description", "")
        for model in (Settings, RetrainSettings, ScoreSettings)
        for name, field in fields(model.model_json_schema())
    }
    assert {"iterations", "learning_rate", "conv_filters", "digests", "refresh"} <= set(described)
    assert [name for name, text in described.items() if not text] == []


@pytest.mark.parametrize(
    ("iterations", "milestones", "stops"),
    [
        (100, (0, 1, 100, 1_000, 10_000), (0, 1, 100)),
        (250, (1, 100, 1_000), (0, 1, 100, 250)),
        (5, (), (0, 5)),
        (9, (7, 2, 7, 9, 0, 2), (0, 2, 7, 9)),
        (0, (0, 1, 100), (0,)),
    ],
)
def test_stops_are_the_milestones_on_the_way_and_both_ends(
    iterations: int, milestones: tuple[int, ...], stops: tuple[int, ...]
) -> None:
    assert ScheduleSettings(iterations=iterations, milestones=milestones).stops == stops


def test_one_cycle_length_is_the_number_of_iterations() -> None:
    cycle = {"training": {"rate_schedule": "one-cycle"}, "schedule": {"iterations": 700}}
    assert Settings.model_validate(cycle).cycle == 700


def test_explicit_options_override_the_preset() -> None:
    fast = Settings(preset="fast")
    assert fast.training.rate_schedule == "one-cycle"
    other = Settings.model_validate(
        {"preset": "fast", "schedule": {"iterations": 100}, "training": {"seed": 3}}
    )
    assert other.schedule.iterations == 100
    assert other.training == fast.training.model_copy(update={"seed": 3})
    as_model = Settings(preset="fast", training=TrainingSettings(seed=3))
    assert as_model.training == other.training


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_survive_a_json_round_trip(preset: Preset) -> None:
    settings = Settings(preset=preset, refresh=("train",))
    assert Settings.model_validate_json(settings.model_dump_json()) == settings
    assert (settings.model_copy(update={"refresh": ()}) == Settings()) == (preset == "tutorial")


# Data


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "mnist"),
        ({"url": "http://a/"}, "mnist"),
        ({"digests": "auto"}, "mnist"),
        ({"digests": ",".join([DIGEST] * 4)}, ",".join([DIGEST] * 4)),
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


@pytest.mark.parametrize(
    "digests",
    ["", "mnists", "mnist\n", DIGEST, *(",".join([d] * 4) for d in (DIGEST.upper(), DIGEST[1:]))],
)
def test_invalid_digests_are_refused_with_the_allowed_values(digests: str) -> None:
    message = fault(DownloadSettings, digests=digests)
    for allowed in ("mnist", "none", "four SHA-256"):
        assert allowed in message


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        *((url, "http://") for url in ("ftp://example.org/", "example.org/mnist", "/data", "")),
        ("https://me:x@a.org/", "records would show it"),
        ("https://a.org/d?token=x", "records would show it"),
        ("http://a.org/#x", "records would show it"),
    ],
)
def test_url_is_a_web_address_without_secrets_on_the_command_line_and_in_forms(
    url: str, reason: str
) -> None:
    assert reason in fault(DownloadSettings, url=url)
    (schema,) = (s for n, s in fields(Settings.model_json_schema()) if n == "url")
    assert not re.match(schema["pattern"], url)
    assert re.match(schema["pattern"], "https://a.org:80/data/")


def test_artifact_root_with_a_password_is_refused() -> None:
    assert "set AWS_ACCESS_KEY_ID" in fault(Settings, artifacts="s3://KEY:SECRET@bucket/x")
    (pattern,) = [
        part["pattern"]
        for part in Settings.model_json_schema()["properties"]["artifacts"]["anyOf"]
        if "pattern" in part
    ]
    assert not re.search(pattern, "s3://KEY:SECRET@bucket/x")
    for root in ("s3://bucket/mnist", "s3://bucket/a@b:c", "/data/a:b@c", "artifacts"):
        assert Settings(artifacts=root).artifacts == root
        assert re.search(pattern, root)
