"""An S3 server on this machine, behind a proxy whose connections can be cut.

The server is moto's. It handles one request at a time, once it has received all of it: moto by
itself checks the condition of a conditional write in one step and writes in another. Below
`without-conditions/` it ignores the conditions, as other servers do.
"""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from s3fs import S3FileSystem

from tasks.runtime.server import free_port

BUCKET = "s3://artifacts"
SERVER = """
import io, sys, threading
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple

application, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()

def one_at_a_time(environ, start_response):
    chunked = environ.get("wsgi.input_terminated")
    size = -1 if chunked else int(environ.get("CONTENT_LENGTH") or 0)
    environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(size))
    if "/without-conditions/" in environ["PATH_INFO"]:
        environ.pop("HTTP_IF_MATCH", None)
        environ.pop("HTTP_IF_NONE_MATCH", None)
    with lock:
        return application(environ, start_response)

WSGIRequestHandler.disable_nagle_algorithm = True  # otherwise each answer takes 40 ms
run_simple("127.0.0.1", int(sys.argv[1]), one_at_a_time, threaded=True)
"""


@contextmanager
def running(*command: str, **options: object) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a process until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **options,  # type: ignore[call-overload]
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(port: int) -> None:
    """Return once something listens on a port of this machine."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens on {port}")


class Wire:
    """TCP proxy between two ports of this machine, whose connections can be cut."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.whole = True
        self.ends: set[socket.socket] = set()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        """Accept connections and forward them to the target."""
        with suppress(OSError):
            while True:
                here, _ = self.server.accept()
                if not self.whole:
                    here.close()
                    continue
                there = socket.create_connection(("127.0.0.1", self.target))
                self.ends |= {here, there}
                for end in (here, there):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for a, b in ((here, there), (there, here)):
                    threading.Thread(target=self.carry, args=(a, b), daemon=True).start()

    def carry(self, a: socket.socket, b: socket.socket) -> None:
        """Forward bytes from one socket to another."""
        with suppress(OSError):
            while content := a.recv(65536):
                b.sendall(content)
        for end in (a, b):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()  # otherwise a long test runs out of file descriptors
            self.ends.discard(end)

    def cut(self) -> None:
        """Break all connections, and refuse new ones."""
        self.whole = False
        for end in tuple(self.ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Accept connections again."""
        self.whole = True


@contextmanager
def s3_server(attempts: int = 3) -> Iterator[Wire]:
    """Yield the proxy of an S3 server with an empty bucket; the environment has its address.

    Args:
        attempts: number of times that botocore sends a request.
    """
    port = free_port()
    with running("-c", SERVER, str(port)), pytest.MonkeyPatch.context() as patch:
        wait_for(port)
        wire = Wire(port)
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{wire.port}")
        patch.setenv("AWS_MAX_ATTEMPTS", str(attempts))
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        # Connections to an earlier server are kept with the file system.
        S3FileSystem.clear_instance_cache()
        bucket().mkdir(BUCKET)
        yield wire
        S3FileSystem.clear_instance_cache()


def bucket() -> "Callable[..., object]":
    """Return the S3 file system without a cache of listings."""
    return S3FileSystem(use_listings_cache=False)  # type: ignore[no-any-return]
