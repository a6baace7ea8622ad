"""Tests of studies as values: their runs, options and searches."""

import shlex

import pytest
from pydantic import ValidationError

from flows.cli.study import study_app
from tasks.records import Shape
from tasks.settings import Settings
from tasks.study.decide import SeedBudget
from tasks.study.design import Search, Study, Variant, given_settings, make_job
from tasks.study.exercises import BY_NAME, STUDIES
from tasks.study.run import StudyContext, options, plan_job, study_command
from tasks.study.search import Sampler

TWICE = Search(trials=2, batch_size=2, goals=(0.99,), times=2)
MNIST = Shape(height=28, width=28, classes=10)


def job(study: str, variant: int, number: int = 0, **said: object):  # type: ignore[no-untyped-def]
    chosen = BY_NAME[study]
    settings = Settings.model_validate(said)
    return make_job(chosen, chosen.variants[variant], given_settings(settings), number)


def test_all_twelve_exercises_have_valid_variants() -> None:
    assert [study.number for study in STUDIES] == list(range(1, 13))
    for study in STUDIES:
        names = [variant.name for variant in study.variants]
        assert len(set(names)) == len(names)
        for variant in study.variants:
            assert make_job(study, variant, {"preset": "fast"}, 0)


def test_studies_start_from_the_fast_preset_and_the_given_settings() -> None:
    assert job("dropout", 0).settings.schedule.iterations == 450
    said = job("dropout", 1, 2, schedule={"iterations": 50}, training={"seed": 5})
    assert said.settings.schedule.iterations == 50
    assert said.settings.network.dropout == 0.25
    assert said.settings.training.seed == said.weights_seed == 7
    assert said.settings.training.rate_schedule == "one-cycle"


def test_values_of_a_preset_are_not_given_settings() -> None:
    other = job("how-high", 1, preset="fast", training={"batch_size": 32})
    assert other.settings.preset == "tutorial"
    assert other.settings.training.learning_rate == 1e-4
    assert other.settings.training.batch_size == 32


def test_equal_variants_of_two_studies_are_one_job() -> None:
    assert job("no-pooling", 0).identity == job("strides", 0).identity
    assert job("dropout", 0).identity != job("dropout", 1).identity
    assert job("dropout", 0).identity != job("dropout", 0, 1).identity
    again = [job("repeat", n).identity for n in range(2)]
    assert len(set(again)) == 2
    assert job("longer", 0, 1).identity == job("how-high", 1, 1).identity
    rates = [variant.name for variant in BY_NAME["learning-rate"].variants]
    tutorial = job("learning-rate", rates.index("constant 0.0001"))
    assert tutorial.identity == job("longer", 0).identity
    assert job("learning-rate", 0).identity == job("dropout", 0).identity
    assert job("smallest", 0).identity != job("dropout", 0).identity, "one of them is probed"
    assert job("smallest", 0, 1).identity == job("dropout", 0, 1).identity


def test_longer_training_resumes_from_the_shorter_one() -> None:
    curve = (0, 1250, 2500, 5000, 10_000)
    assert job("longer", 0).settings.schedule.stops == curve
    assert job("longer", 1).settings.schedule.stops == (*curve, 20_000)
    assert job("longer", 1, schedule={"iterations": 16}).settings.schedule.stops == (
        *(0, 2, 4, 8, 16),
        32,
    )
    assert job("dropout", 0).settings.schedule.stops == (0, 450)


def test_weights_and_batch_order_have_separate_seeds() -> None:
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
    ],
)
def test_invalid_network_gives_a_reason(network: dict[str, object], reason: str) -> None:
    variant = Variant(name="odd", changes={"network": network})
    study = Study(number=1, name="odd", question="?", variants=(variant,))
    context = StudyContext(Settings(), SeedBudget.parse("1"), MNIST, "")
    outcome = plan_job(study, variant, context, 0)
    assert isinstance(outcome, str) and reason in outcome


def test_settings_refuse_a_network_that_is_too_large_for_known_images() -> None:
    with pytest.raises(ValidationError, match="larger than the images of 28 × 28"):
        Settings.model_validate({"network": {"conv_sizes": [29]}})
    unknown = {"network": {"conv_sizes": [29]}, "download": {"digests": "none"}}
    assert Settings.model_validate(unknown).network.conv_sizes == (29,)


def test_changes_are_formatted_as_options() -> None:
    changes = {"preset": "fast", "network": {"conv_filters": (8, 18), "dense": ()}}
    assert options(changes) == "--preset fast --conv-filters 8,18 --dense none"
    assert options({"network": {"activation_first": True}}) == "--activation-first"


def test_search_is_reproducible() -> None:
    def asked(worth: float) -> list[dict[str, object]]:
        sampler = Sampler(Search(trials=10, batch_size=4, goals=(0.99,)))
        variants = []
        while batch := sampler.ask():
            variants += batch
            sampler.tell([(100 * (n + 1), worth * n) for n in range(len(batch))])
        return [variant.changes for variant in variants]

    assert asked(0.1) == asked(0.1)
    assert len(asked(0.1)) == 10
    filters = [changes["network"]["conv_filters"] for changes in asked(0.1)[:4]]  # type: ignore[index]
    assert {variant.times for variant in Sampler(TWICE).ask()} == {2}
    assert filters == [(16, 32), (8, 16), (4, 8), (2, 4)], (
        "from the tutorial's network to smaller ones"
    )
    for changes in asked(0.1):
        Settings.model_validate({"preset": "fast", **changes})


def test_best_networks_of_a_search_are_the_pareto_front() -> None:
    sampler = Sampler(Search(trials=6, batch_size=6, goals=(0.99,)))
    sampler.ask()
    sampler.tell([(100, 0.9), (200, 0.95), (150, 0.95), (300, 0.94), (100, 0.9), (400, 0.99)])
    assert sampler.front() == {(100, 0.9), (150, 0.95), (400, 0.99)}


def parse(command: str) -> tuple[list[str], str, Settings]:
    """Parse a printed command of studies; return names, seeds and settings."""
    script = "python flows/study.py "
    assert command.startswith(script)
    arguments = shlex.split(command.removeprefix(script))
    _, bound, _ = study_app().parse_args(arguments, exit_on_error=False, print_error=False)
    bound.apply_defaults()
    return bound.arguments["names"], bound.arguments["seeds"], bound.arguments["settings"]


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_printed_changes_of_variants_are_valid_options(study: Study) -> None:
    for variant in study.variants:
        _, _, parsed = parse(f"python flows/study.py {study.name} {options(variant.changes)}")
        expected = Settings.model_validate(variant.changes)
        assert parsed == expected


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"preset": "best", "network": {"dense": ()}, "training": {"deterministic": False}},
        {"download": {"source": "/a folder/of images"}, "schedule": {"iterations": 12}},
        {"network": {"conv_filters": (8, 18), "activation_first": True, "dropout": 0.25}},
    ],
)
def test_printed_command_gives_the_same_settings(given: dict[str, object]) -> None:
    settings = Settings.model_validate(given)
    names, seeds, parsed = parse(study_command(["dropout"], settings, SeedBudget.parse("3..12")))
    assert (names, seeds) == (["dropout"], "3..12")
    assert given_settings(parsed) == given_settings(settings)
