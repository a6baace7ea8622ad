"""Fixtures of data tests: a small data set, and local HTTP servers that serve it."""

import gzip
import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.data import http, idx
from tasks.data.download import get_files
from tasks.data.sources.mnist import IDX_FILES
from tasks.settings import DownloadSettings


@pytest.fixture
def contents() -> dict[str, bytes]:
    """Uncompressed IDX by file name: 40 and 10 images of incompressible noise."""
    rng = np.random.default_rng(0)
    arrays = []
    for count in (40, 10):
        arrays.append(rng.integers(0, 256, (count, 12, 9), dtype=np.uint8))
        arrays.append(rng.integers(0, 10, count, dtype=np.uint8))
    return dict(zip(IDX_FILES, map(idx.dumps, arrays), strict=True))


@pytest.fixture
def archives(contents: dict[str, bytes]) -> dict[str, bytes]:
    """Gzipped files by URL path."""
    return {f"/{name}.gz": gzip.compress(data, mtime=0) for name, data in contents.items()}


@pytest.fixture
def digests(contents: dict[str, bytes]) -> str:
    """Return the value of `--digests` for the contents."""
    return ",".join(hashlib.sha256(data).hexdigest() for data in contents.values())


@dataclass
class Request:
    path: str
    encoding: str | None
    authorization: str | None


class Exchange(BaseHTTPRequestHandler):
    """One HTTP request, with basic responses for the tests."""

    respond: Callable[[Any], None]
    request_log: list[Request]
    stalled: threading.Event

    def do_GET(self) -> None:
        headers = self.headers
        self.request = Request(self.path, headers["Accept-Encoding"], headers["Authorization"])
        self.request_log.append(self.request)
        self.respond(self)

    def log_message(self, *_: object) -> None:
        """Log nothing on standard error."""

    @property
    def attempt(self) -> int:
        """Return the number of requests for this path, this one included."""
        return sum(request.path == self.path for request in self.request_log)

    def answer(
        self, status: int, body: bytes = b"", send: int | None = None, **headers: str
    ) -> None:
        """Send a response, or the first `send` bytes of its body, and close the connection."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        part = body[:send]
        self.wfile.write(part)
        self.wfile.flush()
        if len(part) < len(body):
            self.close_connection = True

    def answer_and_stall(self, body: bytes, send: int) -> None:
        """Send the first bytes, then keep the connection open without sending more."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:send])
        self.wfile.flush()
        self.stalled.wait(30)
        self.close_connection = True


Respond = Callable[[Exchange], None]


@dataclass
class Server:
    url: str
    requests: list[Request] = field(default_factory=list)

    def requests_for(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]


@pytest.fixture
def serve() -> Iterator[Callable[[Respond], Server]]:
    """Return a function that starts a server which answers every GET with a given function."""
    running: list[tuple[ThreadingHTTPServer, threading.Thread]] = []
    stalled = threading.Event()

    def start(respond: Respond) -> Server:
        requests: list[Request] = []
        handler = type(
            "Handler",
            (Exchange,),
            {"respond": staticmethod(respond), "request_log": requests, "stalled": stalled},
        )
        httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((httpd, thread))
        return Server(f"http://127.0.0.1:{httpd.server_port}/", requests)

    yield start
    stalled.set()
    for httpd, thread in running:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@pytest.fixture
def settings(digests: str) -> Callable[[Server], DownloadSettings]:
    """Return a function that makes settings for a download from a server, with a short timeout."""

    def make(server: Server, **changes: object) -> DownloadSettings:
        values = {"url": server.url, "digests": digests, "read_timeout": 0.3} | changes
        return DownloadSettings.model_validate(values)

    return make


@pytest.fixture
def run(tmp_path: Path) -> Callable[[DownloadSettings], dict[str, bytes]]:
    """Return the files that `get_files` finds."""
    return lambda settings: get_files(settings, tmp_path).contents


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BACKOFF_SECONDS", 0.0)
