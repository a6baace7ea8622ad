"""A lock between machines: a lease in a file at the artifact root's URL."""

import contextlib
import threading
import time
import uuid
from typing import Self

from filelock import BaseFileLock, Timeout

from tasks.engine.remote import Remote
from tasks.runtime.errors import PipelineError

POLL_SECONDS = 1.0
RENEW_SECONDS = 3.0
EXPIRE_SECONDS = 15.0
"""An owner renews its lease every few seconds; a lease without renewal for so long is expired."""


class Lease:
    """A lock between machines: a small file that its owner writes anew every few seconds.

    Within a machine it is an ordinary lock besides, since processes share the working copy. No
    clocks are compared: who waits watches the file, and takes over when it stays the same for
    `EXPIRE_SECONDS`. If the network is cut for longer, two may come to hold it: both then compute
    the same bytes, and the record is written last. So nothing comes out wrong, only twice.
    """

    def __init__(self, remote: Remote, name: str, local: BaseFileLock) -> None:
        self.remote = remote
        self.name = name
        self.local = local
        self.token = uuid.uuid4().hex
        self.released = threading.Event()
        self.renewal = threading.Thread(target=self.renew, daemon=True)

    def acquire(self, timeout: float = -1) -> Self:
        """
        Raises:
            Timeout: it is held by another.
        """
        until = time.monotonic() + timeout if timeout >= 0 else float("inf")
        self.local.acquire(timeout=timeout)
        try:
            self.take(until)
        except BaseException:
            self.local.release()
            raise
        self.released.clear()
        self.renewal = threading.Thread(target=self.renew, daemon=True)
        self.renewal.start()
        return self

    def take(self, until: float) -> None:
        """Write the file once nobody else's is there."""
        before, since = b"", time.monotonic()
        while not self.remote.create(self.name, f"{self.token} 0".encode()):
            now, content = time.monotonic(), self.content()
            if content != before:
                before, since = content, now
            elif now - since > EXPIRE_SECONDS:
                self.remote.remove(self.name)
                continue
            if now >= until:
                raise Timeout(self.name)
            time.sleep(POLL_SECONDS)

    def content(self) -> bytes:
        try:
            return self.remote.read(self.name)
        except FileNotFoundError:
            return b""

    def renew(self) -> None:
        """Show that the owner is alive, until it lets go."""
        number = 0
        while not self.released.wait(RENEW_SECONDS):
            number += 1
            with contextlib.suppress(PipelineError):  # there is another beat soon
                self.remote.write(self.name, f"{self.token} {number}".encode())

    def release(self) -> None:
        self.released.set()
        self.renewal.join()  # or it might write the file once more
        try:
            with contextlib.suppress(PipelineError):  # it will expire
                if self.content().startswith(self.token.encode()):
                    self.remote.remove(self.name)
        finally:
            self.local.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
