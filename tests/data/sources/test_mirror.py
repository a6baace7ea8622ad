"""Tests of a web folder as source: valid and faulty servers, archives above a limit."""

from __future__ import annotations

import gzip
import hashlib
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from helpers.web_folder import FIRST, fault, instead_of_first, serve_files, unused_url

from tasks.data.download import (
    Obtained,
    get_files,
)
from tasks.data.sources.base import verify
from tasks.data.sources.mirror import archive_limit
from tasks.data.sources.mnist import IDX_FILES, MNIST
from tasks.settings import DownloadSettings

if TYPE_CHECKING:
    from tests.data.conftest import Exchange, Respond, Server

    Serve = Callable[[Respond], Server]
    MakeSettings = Callable[..., DownloadSettings]
    Contents = dict[str, bytes]
    Run = Callable[[DownloadSettings], Contents]


def test_files_are_downloaded(
    serve: Serve, settings: MakeSettings, tmp_path: Path, contents: Contents, archives: Contents
) -> None:
    server = serve(serve_files(archives))
    assert get_files(settings(server), tmp_path) == Obtained(server.url, contents)
    assert [request.path for request in server.requests] == list(archives)
    assert {request.encoding for request in server.requests} == {"identity"}


def test_base_url_without_slash(
    serve: Serve, settings: MakeSettings, run: Run, contents: Contents, archives: Contents
) -> None:
    server = serve(lambda e: e.answer(200, archives[e.path.removeprefix("/data/set")]))
    assert run(settings(server, url=f"{server.url}data/set")) == contents


def test_recompressed_archives_are_accepted(
    serve: Serve, settings: MakeSettings, run: Run, contents: Contents, archives: Contents
) -> None:
    again = {path: gzip.compress(gzip.decompress(a), 1, mtime=9) for path, a in archives.items()}
    assert again[FIRST] != archives[FIRST]
    assert run(settings(serve(serve_files(again)))) == contents


def test_url_with_a_password_is_refused() -> None:
    with pytest.raises(ValueError, match="no user name, password, query or fragment"):
        DownloadSettings(url=unused_url().replace("//", "//me:secret@"))


@pytest.mark.parametrize("status", [403, 404, 410])
def test_client_errors_are_not_retried(
    serve: Serve, settings: MakeSettings, run: Run, archives: Contents, status: int
) -> None:
    server = serve(instead_of_first(archives, lambda e: e.answer(status)))
    message = fault(lambda: run(settings(server)))
    assert f"{FIRST[1:]}: HTTP {status}" in message
    assert server.url in message
    assert "--source DIR" in message
    assert len(server.requests_for(FIRST)) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_server_errors_are_retried(
    serve: Serve,
    settings: MakeSettings,
    run: Run,
    contents: Contents,
    archives: Contents,
    status: int,
) -> None:
    def busy_twice(exchange: Exchange) -> None:
        if exchange.attempt <= 2:
            exchange.answer(status, b"later")
        else:
            exchange.answer(200, archives[exchange.path])

    server = serve(instead_of_first(archives, busy_twice))
    assert run(settings(server)) == contents
    assert len(server.requests_for(FIRST)) == 3


def test_server_errors_fail_after_the_last_attempt(
    serve: Serve, settings: MakeSettings, run: Run, archives: Contents
) -> None:
    server = serve(instead_of_first(archives, lambda e: e.answer(503)))
    assert f"{FIRST[1:]}: HTTP 503" in fault(lambda: run(settings(server, attempts=2)))
    assert len(server.requests_for(FIRST)) == 2


def test_web_page_instead_of_a_file_is_refused(
    serve: Serve, settings: MakeSettings, run: Run, archives: Contents
) -> None:
    page = b"<!DOCTYPE html><html>Log in to the network</html>"
    server = serve(
        instead_of_first(archives, lambda e: e.answer(200, page, Content_Type="text/html"))
    )
    message = fault(lambda: run(settings(server)))
    assert f"{FIRST[1:]}: neither gzip nor IDX" in message
    assert "web page" in message
    assert len(server.requests_for(FIRST)) == 1


def test_changed_content_of_equal_size_is_refused(
    serve: Serve,
    settings: MakeSettings,
    run: Run,
    contents: Contents,
    archives: Contents,
) -> None:
    content = contents[IDX_FILES[0]]
    wrong = content[:-1] + bytes([content[-1] ^ 1])
    server = serve(instead_of_first(archives, lambda e: e.answer(200, wrong)))
    message = fault(lambda: run(settings(server)))
    assert f"{FIRST[1:]}: its content is not what --digests says" in message
    assert len(server.requests_for(FIRST)) == 1


def test_other_data_than_mnist_are_refused(
    serve: Serve, settings: MakeSettings, run: Run, archives: Contents
) -> None:
    server = serve(serve_files(archives))
    message = fault(lambda: run(settings(server, digests="mnist")))
    assert f"{FIRST[1:]}: its content is not MNIST's; --digests none" in message


def test_digests_none_accepts_any_data(
    serve: Serve, settings: MakeSettings, run: Run, contents: Contents, archives: Contents
) -> None:
    assert run(settings(serve(serve_files(archives)), digests="none")) == contents


def test_digests_none_checks_the_structure(
    serve: Serve, settings: MakeSettings, run: Run, contents: Contents, archives: Contents
) -> None:
    labels = archives[f"/{IDX_FILES[1]}.gz"]
    server = serve(instead_of_first(archives, lambda e: e.answer(200, labels)))
    message = fault(lambda: run(settings(server, digests="none")))
    assert f"{FIRST[1:]}: wrong rank 1; images have 3" in message


def test_stalled_server_times_out(
    serve: Serve, settings: MakeSettings, run: Run, archives: Contents
) -> None:
    server = serve(
        instead_of_first(archives, lambda e: e.answer_and_stall(archives[e.path], send=100))
    )
    message = fault(lambda: run(settings(server, attempts=2)))
    assert f"{FIRST[1:]}: stalled" in message
    assert len(server.requests_for(FIRST)) == 2


def test_lost_connection_is_retried(
    serve: Serve, settings: MakeSettings, run: Run, contents: Contents, archives: Contents
) -> None:
    def respond(exchange: Exchange) -> None:
        exchange.answer(200, archives[exchange.path], 1000 if exchange.attempt == 1 else None)

    server = serve(instead_of_first(archives, respond))
    assert run(settings(server)) == contents
    assert len(server.requests_for(FIRST)) == 2


def test_connection_lost_at_each_attempt_fails(
    serve: Serve, settings: MakeSettings, run: Run, archives: Contents
) -> None:
    server = serve(instead_of_first(archives, lambda e: e.answer(200, archives[e.path], 1000)))
    assert f"{FIRST[1:]}: connection lost" in fault(lambda: run(settings(server, attempts=2)))


# Size limits


def test_file_with_a_declared_size_above_the_limit_is_not_downloaded(
    serve: Serve, settings: MakeSettings, run: Run
) -> None:
    def respond(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Content-Length", str(2**40))
        exchange.end_headers()
        exchange.close_connection = True

    server = serve(respond)
    message = fault(lambda: run(settings(server, digests="none")))
    assert f"{FIRST[1:]}: larger than 1,07" in message
    assert len(server.requests) == 1


def test_gzip_with_another_declared_size_than_mnist_is_not_decompressed(
    serve: Serve, settings: MakeSettings, run: Run
) -> None:
    bomb = gzip.compress(bytes.fromhex("00000803 00000400 00000400 00000040") + bytes(2**26))
    server = serve(lambda e: e.answer(200, bomb))
    tracemalloc.start()
    message = fault(lambda: run(settings(server, digests="mnist")))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "its content is not MNIST's" in message
    assert peak < 2**23


@pytest.mark.parametrize("size", [0, 10, 2**16, 2**22])
def test_limit_leaves_room_for_incompressible_data(size: int) -> None:
    noise = np.random.default_rng(0).bytes(size)
    for level in (0, 1, 9):
        assert len(gzip.compress(noise, level)) <= archive_limit(size)


# Logins and proxies


def test_archive_with_the_known_digest_is_accepted(contents: Contents, archives: Contents) -> None:
    archive = archives[FIRST]
    size = len(contents[IDX_FILES[0]])
    digest = hashlib.sha256(archive).hexdigest()
    known = replace(MNIST[0], size=size, archive_sha256=digest)
    content = verify(archive, "x", known, known.sha256)
    assert content == contents[IDX_FILES[0]]
    assert "not what --digests says" in fault(lambda: verify(archive, "x", known, "0" * 64))


# A folder
