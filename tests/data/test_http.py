"""Tests of the HTTP client: upper sizes, logins, proxies."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from helpers.web_folder import fault, serve_files, unused_url

from tasks.data import http
from tasks.settings import DownloadSettings

if TYPE_CHECKING:
    from tests.data.conftest import Exchange, Respond, Server

    Serve = Callable[[Respond], Server]
    MakeSettings = Callable[..., DownloadSettings]
    Contents = dict[str, bytes]
    Run = Callable[[DownloadSettings], Contents]


def test_endless_file_is_refused_at_the_limit(serve: Serve) -> None:
    sent = 0

    def respond(exchange: Exchange) -> None:
        nonlocal sent
        exchange.send_response(200)
        exchange.end_headers()
        with contextlib.suppress(OSError):
            while sent < 2**30:
                sent += exchange.wfile.write(bytes(2**16))
        exchange.close_connection = True

    url = serve(respond).url
    sizes: list[int] = []

    def get() -> None:
        with http.open_client(DownloadSettings(url=url)) as client:
            http.download_file(client, f"{url}x", attempts=3, limit=2**20, report=sizes.append)

    assert fault(get) == "x: larger than 1,048,576 bytes; not downloaded"
    assert max(sizes) <= 2**20
    assert sent < 2**30


def write_netrc(home: Path, monkeypatch: pytest.MonkeyPatch, mode: int = 0o600) -> None:
    monkeypatch.setenv("HOME", str(home))
    path = home / ".netrc"
    path.write_text("machine 127.0.0.1 login me password secret")
    path.chmod(mode)


def test_login_from_netrc(
    serve: Serve,
    settings: MakeSettings,
    run: Run,
    contents: Contents,
    archives: Contents,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = "Basic " + base64.b64encode(b"me:secret").decode()

    def respond(exchange: Exchange) -> None:
        allowed = exchange.request.authorization == expected
        exchange.answer(200, archives[exchange.path]) if allowed else exchange.answer(401)

    server = serve(respond)
    monkeypatch.setenv("HOME", str(tmp_path))
    message = fault(lambda: run(settings(server)))
    assert "HTTP 401 Unauthorized; a user name and password may stand in ~/.netrc" in message
    write_netrc(tmp_path, monkeypatch)
    assert run(settings(server)) == contents


def test_login_is_not_sent_to_another_host_after_a_redirect(
    serve: Serve,
    settings: MakeSettings,
    run: Run,
    contents: Contents,
    archives: Contents,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = serve(serve_files(archives))
    write_netrc(tmp_path, monkeypatch)
    elsewhere = other.url.replace("127.0.0.1", "localhost")
    server = serve(lambda e: e.answer(302, Location=f"{elsewhere}{e.path[1:]}"))
    assert run(settings(server)) == contents
    assert {request.authorization is not None for request in server.requests} == {True}
    assert {request.authorization for request in other.requests} == {None}


def test_public_mirrors_receive_no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_netrc(tmp_path, monkeypatch)
    with http.open_client(DownloadSettings()) as client:
        assert client.auth is None


def test_netrc_readable_by_others_is_refused_in_one_line(
    settings: MakeSettings, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_netrc(tmp_path, monkeypatch, mode=0o644)
    assert "~/.netrc: " in fault(lambda: run(DownloadSettings(url=unused_url())))


def test_proxy_of_the_environment_is_used(
    serve: Serve,
    settings: MakeSettings,
    run: Run,
    contents: Contents,
    archives: Contents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = serve(lambda e: e.answer(200, archives[e.path.removeprefix("http://data.invalid")]))
    for name in ("http_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("http_proxy", proxy.url)
    assert run(settings(proxy, url="http://data.invalid/")) == contents
    assert len(proxy.requests) == 4


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ConnectTimeout])
def test_refused_connection_is_not_retried(error: type[httpx.TransportError]) -> None:
    requests: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        raise error("refused")

    def get() -> bytes:
        with httpx.Client(transport=httpx.MockTransport(refuse)) as client:
            return http.download_file(
                client, "http://127.0.0.1/x", attempts=3, limit=1, report=lambda _: None
            )

    assert fault(get) == "no connection (refused)"
    assert len(requests) == 1


# Several sources in order
