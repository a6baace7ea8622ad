"""Studies as values: what runs they come to, and what they share."""

import pytest
from pydantic import ValidationError

from tasks.records import Shape
from tasks.settings import Settings
from tasks.study.design import Search, Study, Variant, make_job, given_settings
from tasks.study.exercises import BY_NAME, STUDIES
from tasks.study.run import StudyContext, plan_job, options
from tasks.study.search import Sampler

MNIST = Shape(height=28, width=28, classes=10)


def job(study: str, variant: int, number: int = 0, **said: object):  # type: ignore[no-untyped-def]
    chosen = BY_NAME[study]
    settings = Settings.model_validate(said)
    return make_job(chosen, chosen.variants[variant], given_settings(settings), number)


def test_all_twelve_exercises_are_there_and_can_be_built() -> None:
    assert [study.number for study in STUDIES] == list(range(1, 13))
    for study in STUDIES:
        names = [variant.name for variant in study.variants]
        assert len(set(names)) == len(names)
        for variant in study.variants:
            assert make_job(study, variant, {"preset": "fast"}, 0)


def test_studies_start_from_the_fast_preset_and_what_is_said() -> None:
    assert job("dropout", 0).settings.schedule.iterations == 660
    said = job("dropout", 1, 2, schedule={"iterations": 50}, training={"seed": 5})
    assert said.settings.schedule.iterations == 50
    assert said.settings.network.dropout == 0.25
    assert said.settings.training.seed == said.weights_seed == 7
    assert said.settings.training.rate_schedule == "one-cycle"


def test_what_a_preset_brings_along_is_not_taken_for_said() -> None:
    other = job("how-high", 0, preset="fast", training={"batch_size": 32})
    assert other.settings.preset == "tutorial"
    assert other.settings.training.learning_rate == 1e-4
    assert other.settings.training.batch_size == 32


def test_the_same_variant_of_two_studies_is_the_same_job() -> None:
    assert job("dropout", 0).identity == job("strides", 0).identity
    assert job("dropout", 0).identity != job("dropout", 1).identity
    assert job("dropout", 0).identity != job("dropout", 0, 1).identity
    again = [job("repeat", n).identity for n in range(2)]
    assert len(set(again)) == 2
    assert job("longer", 0).identity == job("how-high", 0).identity


def test_twice_as_long_goes_on_from_once_as_long() -> None:
    assert job("longer", 0).settings.schedule.stops == (0, 10_000)
    assert job("longer", 1).settings.schedule.stops == (0, 10_000, 20_000)
    assert job("longer", 1, schedule={"iterations": 30}).settings.schedule.stops == (0, 30, 60)


def test_weights_and_order_can_be_held_apart() -> None:
    weights, order = (v for v in BY_NAME["repeat"].variants if v.fixed != "none")
    made = [
        (j.weights_seed, j.settings.training.seed)
        for variant in (weights, order)
        for j in [make_job(BY_NAME["repeat"], variant, {"preset": "fast"}, 2)]
    ]
    assert made == [(2, 0), (0, 2)]


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ({"conv_sizes": (29,)}, "filters of 29 × 29 pixels are larger"),
        ({"conv_filters": (2,) * 5, "conv_sizes": (3,)}, "conv5 and its pooling leave nothing"),
        ({"conv_filters": ()}, "at least 1 item"),
    ],
)
def test_what_cannot_be_built_is_a_reason_and_no_job(
    network: dict[str, object], reason: str
) -> None:
    variant = Variant(name="odd", changes={"network": network})
    study = Study(number=1, name="odd", question="?", variants=(variant,))
    context = StudyContext(Settings(), 1, MNIST, "")
    outcome = plan_job(study, variant, context, 0)
    assert isinstance(outcome, str) and reason in outcome


def test_settings_refuse_a_network_that_is_too_large_for_known_images() -> None:
    with pytest.raises(ValidationError, match="larger than the images of 28 × 28"):
        Settings.model_validate({"network": {"conv_sizes": [29]}})
    unknown = {"network": {"conv_sizes": [29]}, "download": {"digests": "none"}}
    assert Settings.model_validate(unknown).network.conv_sizes == (29,)


def test_changes_are_written_as_options() -> None:
    changes = {"preset": "fast", "network": {"conv_filters": (8, 18), "dense": ()}}
    assert options(changes) == "--preset fast --conv-filters 8,18 --dense none"
    assert options({"network": {"activation_first": True}}) == "--activation-first"


def test_a_search_asks_for_the_same_networks_whatever_else_happens() -> None:
    def asked(worth: float) -> list[dict[str, object]]:
        sampler = Sampler(Search(trials=10, at_a_time=4))
        variants = []
        while batch := sampler.ask():
            variants += batch
            sampler.tell([(100 * (n + 1), worth * n) for n in range(len(batch))])
        return [variant.changes for variant in variants]

    assert asked(0.1) == asked(0.1)
    assert len(asked(0.1)) == 10
    filters = [changes["network"]["conv_filters"] for changes in asked(0.1)[:4]]  # type: ignore[index]
    assert filters == [(16, 32), (8, 16), (4, 8), (2, 4)], "the tutorial's, smaller and smaller"
    for changes in asked(0.1):
        Settings.model_validate({"preset": "fast", **changes})
