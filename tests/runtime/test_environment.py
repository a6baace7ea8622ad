"""Tests of the environment of a run."""

import os

import pytest

from tasks.runtime.environment import environment_variables, prepare_environment


def test_prefect_settings_become_environment_variables() -> None:
    table = {"server": {"analytics_enabled": False, "ephemeral": {"seconds": 120}}}
    assert [*environment_variables("PREFECT", table)] == [
        ("PREFECT_SERVER_ANALYTICS_ENABLED", "False"),
        ("PREFECT_SERVER_EPHEMERAL_SECONDS", "120"),
    ]


def test_variables_that_are_set_win_and_proxies_leave_out_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PREFECT_LOGGING_EXTRA_LOGGERS", "mine")
    monkeypatch.setenv("no_proxy", "localhost,a.org")
    prepare_environment()
    prepare_environment()
    assert os.environ["PREFECT_LOGGING_EXTRA_LOGGERS"] == "mine"
    assert os.environ["no_proxy"] == "localhost,a.org,127.0.0.1,::1"
