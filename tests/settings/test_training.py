"""Tests of settings of the training: milestones, the one cycle."""

from tasks.settings import (
    ScheduleSettings,
    Settings,
)


def stops(iterations: int, *milestones: int) -> tuple[int, ...]:
    return ScheduleSettings(iterations=iterations, milestones=milestones).stops


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


def test_one_cycle_length_is_the_number_of_iterations() -> None:
    settings = Settings.model_validate(
        {"training": {"rate_schedule": "one-cycle"}, "schedule": {"iterations": 700}}
    )
    assert settings.cycle == 700
