"""Tests of the choice of the Prefect server, and of the temporary one."""

import socket
from pathlib import Path

import httpx
import pytest

from tasks.runtime.errors import PipelineError
from tasks.runtime.server import HOST, may_name_a_server, server_is_configured, temporary_server

API = 'url = "http://127.0.0.1:9/api"'


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("file", "text", "may"),
    [
        ("profiles.toml", "", True),
        (".env", "", True),
        ("prefect.toml", f"[api]\n{API}", True),
        ("pyproject.toml", f"[tool.prefect.api]\n{API}", True),
        ("pyproject.toml", "no TOML", True),
        ("pyproject.toml", "[tool.prefect.logging]", False),
        ("other", "", False),
    ],
)
def test_files_that_may_name_a_server(folder: Path, file: str, text: str, may: bool) -> None:
    (folder / file).write_text(text)
    assert may_name_a_server() is may


@pytest.mark.parametrize("name", ["PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"])
def test_variables_that_may_name_a_server(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert not server_is_configured()
    monkeypatch.setenv(name, "x")
    assert may_name_a_server()


@pytest.mark.server
def test_temporary_server_wants_its_password_and_ends_with_the_block(folder: Path) -> None:
    with temporary_server("run:secret", folder) as url:
        asked = f"{url}/flow_runs/filter"
        assert httpx.post(asked, json={}).status_code == httpx.codes.UNAUTHORIZED
        assert httpx.post(asked, json={}, auth=("run", "secret")).json() == []
        port = httpx.URL(url).port
    with socket.socket() as probe:
        assert probe.connect_ex((HOST, port or 0))


def test_home_that_cannot_be_written_to_is_one_line(folder: Path) -> None:
    (folder / "file").write_text("x")
    with (
        pytest.raises(PipelineError, match=r"^PREFECT_HOME .*/file: .*; set PREFECT_HOME to anoth"),
        temporary_server("run:secret", folder / "file"),
    ):
        pass
