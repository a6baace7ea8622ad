"""A web folder with the files of a data set, and messages of failed downloads."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tasks.data.sources.mnist import IDX_FILES
from tasks.runtime.errors import PipelineError
from tasks.settings import DownloadSettings

if TYPE_CHECKING:
    from tests.data.conftest import Exchange, Respond, Server

    Serve = Callable[[Respond], Server]
    MakeSettings = Callable[..., DownloadSettings]
    Contents = dict[str, bytes]
    Run = Callable[[DownloadSettings], Contents]

FIRST = f"/{IDX_FILES[0]}.gz"


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
