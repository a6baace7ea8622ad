"""A Prefect server with a password and a private certificate."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers.commands import run_script
from helpers.site import RETRAINING
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.worker import EventsWorker
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
    PREFECT_API_URL,
    temporary_settings,
)

from tasks.engine.store import PROJECT
from tasks.runtime.errors import PipelineError
from tasks.runtime.server import HOST, free_port, server_for_this_run, wait_until_ready

pytestmark = pytest.mark.server

LOGIN = "admin:3a8f-secret"
MAKE_CERTIFICATE = (
    "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2"
    f" -subj /CN={HOST} -addext subjectAltName=IP:{HOST}"
)
SERVE = "-m uvicorn --factory prefect.server.api.server:create_app --log-level warning"


@dataclass(frozen=True)
class Guarded:
    """The server's address and certificate."""

    url: str
    certificate: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder, port = tmp_path_factory.mktemp("guarded"), free_port()
    subprocess.run(MAKE_CERTIFICATE.split(), cwd=folder, capture_output=True, check=True)
    options = f"--host {HOST} --port {port} --ssl-keyfile key.pem --ssl-certfile cert.pem"
    own = {"PREFECT_HOME": str(folder / "home"), "PREFECT_SERVER_API_AUTH_STRING": LOGIN}
    with subprocess.Popen(
        [sys.executable, *SERVE.split(), *options.split()],
        cwd=folder,
        env={**os.environ, **own},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        url = f"https://{HOST}:{port}/api"
        try:
            wait_until_ready(process, url, verify=False)
            yield Guarded(url, str(folder / "cert.pem"))
        finally:
            process.kill()


@flow
def answer() -> int:
    return 42


def run_answer(monkeypatch: pytest.MonkeyPatch, url: str, **settings: object) -> int:
    """Run a flow on a server that is configured in this way."""
    names = {
        "login": PREFECT_API_AUTH_STRING,
        "certificate": PREFECT_API_SSL_CERT_FILE,
        "unchecked": PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
    }
    chosen = {PREFECT_API_URL: url, **{names[name]: value for name, value in settings.items()}}
    monkeypatch.setenv("PREFECT_API_URL", url)
    with temporary_settings(chosen), server_for_this_run():
        try:
            return answer()
        finally:
            EventsWorker.drain_all(timeout=5)  # later tests have another server


def test_a_password_and_a_certificate(server: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    trusted = {"certificate": server.certificate}
    assert run_answer(monkeypatch, server.url, login=LOGIN, **trusted) == 42
    assert run_answer(monkeypatch, server.url, login=LOGIN, unchecked=True) == 42


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unchecked": True}, "wants a password; set PREFECT_API_AUTH_STRING"),
        ({"unchecked": True, "login": "admin:wrong"}, "wants a password"),
        ({"login": LOGIN}, "not trusted; set PREFECT_API_SSL_CERT_FILE"),
        ({"login": LOGIN, "certificate": "/gone"}, "^PREFECT_API_SSL_CERT_FILE /gone: cannot be"),
    ],
)
def test_what_is_missing_is_one_line(
    server: Guarded, monkeypatch: pytest.MonkeyPatch, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(PipelineError, match=message):
        run_answer(monkeypatch, server.url, **settings)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"https://{LOGIN}@a.org/api", "^PREFECT_API_URL: holds a user name"),
        ("http://127.0.0.1:9/api", "^no Prefect server answers at http://127.0.0.1:9/api;"),
    ],
)
def test_other_addresses(monkeypatch: pytest.MonkeyPatch, url: str, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        run_answer(monkeypatch, url)


def test_everything_is_deployed_with_a_password_and_a_certificate(server: Guarded) -> None:
    deploy = {"python": ("-m", "tasks.runtime.deploy"), "cwd": PROJECT}
    access = {
        "PREFECT_API_URL": server.url,
        "PREFECT_API_AUTH_STRING": LOGIN,
        "PREFECT_API_SSL_CERT_FILE": server.certificate,
    }
    done = run_script(Path("deploy"), **deploy, **access)  # type: ignore[arg-type]
    assert done.code == 0, done.lines
    assert "error" not in " ".join(done.lines).lower()
    with (
        temporary_settings({PREFECT_API_TLS_INSECURE_SKIP_VERIFY: True}),
        SyncPrefectClient(server.url, auth_string=LOGIN) as client,
    ):
        assert client.read_deployment_by_name(RETRAINING).work_pool_name == "mnist"
    access["PREFECT_API_AUTH_STRING"] = "admin:wrong"
    done = run_script(Path("deploy"), **deploy, **access)  # type: ignore[arg-type]
    assert done.code == 1
    (line,) = done.lines
    assert line.startswith(f"error: the Prefect server at {server.url} wants a password; ")
