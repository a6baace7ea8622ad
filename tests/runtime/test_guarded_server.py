"""A Prefect server with a password and a private certificate."""

import os
import subprocess
import sys
from collections.abc import Iterator
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


class Guarded:
    """The server's address, certificate and database."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"https://{HOST}:{self.port}/api"
        self.certificate = folder / "cert.pem"
        self.home = folder / "home"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    guarded = Guarded(folder)
    subprocess.run(MAKE_CERTIFICATE.split(), cwd=folder, capture_output=True, check=True)
    options = f"--host {HOST} --port {guarded.port} --ssl-keyfile key.pem --ssl-certfile cert.pem"
    with subprocess.Popen(
        [sys.executable, *SERVE.split(), *options.split()],
        cwd=folder,
        env={
            **os.environ,
            "PREFECT_HOME": str(guarded.home),
            "PREFECT_SERVER_API_AUTH_STRING": LOGIN,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            wait_until_ready(process, guarded.url, verify=False)
            yield guarded
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
    certificate = str(server.certificate)
    assert run_answer(monkeypatch, server.url, login=LOGIN, certificate=certificate) == 42
    assert run_answer(monkeypatch, server.url, login=LOGIN, unchecked=True) == 42


@pytest.mark.parametrize("login", [None, "admin:wrong"])
def test_without_the_password(
    server: Guarded, monkeypatch: pytest.MonkeyPatch, login: str | None
) -> None:
    settings = {"certificate": str(server.certificate)} | ({"login": login} if login else {})
    with pytest.raises(PipelineError, match="wants a password; set PREFECT_API_AUTH_STRING"):
        run_answer(monkeypatch, server.url, **settings)


def test_without_the_certificate(server: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PipelineError, match="not trusted; set PREFECT_API_SSL_CERT_FILE"):
        run_answer(monkeypatch, server.url, login=LOGIN)
    with pytest.raises(PipelineError, match=r"^PREFECT_API_SSL_CERT_FILE /gone: cannot be read"):
        run_answer(monkeypatch, server.url, login=LOGIN, certificate="/gone")


def test_a_password_in_the_address_is_refused(
    server: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PipelineError, match="PREFECT_API_URL: holds a user name"):
        run_answer(monkeypatch, server.url.replace("//", f"//{LOGIN}@"))


def test_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PipelineError, match="no Prefect server answers at"):
        run_answer(monkeypatch, "http://127.0.0.1:9/api")


def test_everything_is_deployed_with_a_password_and_a_certificate(server: Guarded) -> None:
    deploy = {"python": ("-m", "tasks.runtime.deploy"), "cwd": PROJECT}
    access = {
        "PREFECT_API_URL": server.url,
        "PREFECT_API_AUTH_STRING": LOGIN,
        "PREFECT_API_SSL_CERT_FILE": str(server.certificate),
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
