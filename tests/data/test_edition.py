"""A server is asked whether its files are still the same; where that is known, it is not."""

from collections.abc import Callable
from typing import Any

import pytest

from tasks.data.edition import ask_edition, may_change
from tasks.runtime.errors import PipelineError
from tasks.settings import DownloadSettings

PINNED = ",".join(["0" * 64] * 4)


def settings(server: Any, **changes: object) -> DownloadSettings:
    return DownloadSettings.model_validate({"url": server.url, "digests": "none", **changes})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, False),
        ({"url": "http://a/"}, False),
        ({"url": "http://a/", "digests": PINNED}, False),
        ({"url": "http://a/", "digests": "none"}, True),
        ({"url": "http://a/", "digests": "none", "edition": "mine"}, False),
        ({"source": "digits", "digests": "none"}, False),
        ({"source": "/data", "digests": "none"}, False),
    ],
)
def test_only_unknown_files_of_a_server_may_change(values: dict[str, str], expected: bool) -> None:
    assert may_change(DownloadSettings.model_validate(values)) is expected


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_an_edition_is_what_the_server_says_of_all_files(
    serve: Callable[..., Any], header: str
) -> None:
    said = {"/t10k-labels-idx1-ubyte.gz": "old"}
    server = serve(lambda ask: ask.answer(200, b"x", **{header: said.get(ask.path, "same")}))
    first = ask_edition(settings(server))
    assert first
    assert len(first) == 12
    assert ask_edition(settings(server)) == first
    said["/t10k-labels-idx1-ubyte.gz"] = "new"
    assert ask_edition(settings(server)) not in (None, first)
    assert {request.sent for request in server.requests} == {0}, "nothing but headers was sent"


def test_a_server_that_says_nothing_has_no_edition(serve: Callable[..., Any]) -> None:
    assert ask_edition(settings(serve(lambda ask: ask.answer(200, b"x")))) is None
    assert ask_edition(settings(serve(lambda ask: ask.answer(405)))) is None


def test_a_busy_server_is_asked_again(serve: Callable[..., Any]) -> None:
    server = serve(
        lambda ask: ask.answer(200, ETag="1") if ask.times_asked > 2 else ask.answer(503)
    )
    assert ask_edition(settings(server, attempts=3))
    with pytest.raises(PipelineError, match="HTTP 503"):
        ask_edition(settings(serve(lambda ask: ask.answer(503)), attempts=2))


def test_a_file_that_is_gone_is_an_error(serve: Callable[..., Any]) -> None:
    with pytest.raises(PipelineError, match=r"--url: train-images-idx3-ubyte\.gz: HTTP 404"):
        ask_edition(settings(serve(lambda ask: ask.answer(404))))
