"""Tests of the choice of the Prefect server."""

from pathlib import Path

import pytest

from tasks.runtime.server import server_is_configured, settings_that_may_name_a_server


@pytest.mark.parametrize(
    ("file", "text", "may"),
    [
        ("profiles.toml", "", True),
        (".env", "", True),
        ("prefect.toml", '[api]\nurl = "http://127.0.0.1:9/api"\n', True),
        ("prefect.toml", "[logging]\n", False),
        ("pyproject.toml", '[tool.prefect.api]\nurl = "http://127.0.0.1:9/api"\n', True),
        ("pyproject.toml", "[tool.other]\n", False),
        ("other", "", False),
    ],
)
def test_files_that_may_name_a_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, text: str, may: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    (tmp_path / file).write_text(text)
    assert any(settings_that_may_name_a_server()) is may


@pytest.mark.parametrize("name", ["PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"])
def test_environment_variables_that_may_name_a_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    assert not server_is_configured()
    monkeypatch.setenv(name, "x")
    assert any(settings_that_may_name_a_server())
