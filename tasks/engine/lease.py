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


def any_held(remote: Remote, folder: str, prefix: str) -> bool:
    """Return whether one of several leases has a living owner, and remove those without.

    This takes up to `EXPIRE_SECONDS` if there are leases.

    Args:
        remote: the URL.
        folder: folder of the leases.
        prefix: beginning of their names.
    """

    def contents() -> dict[str, bytes]:
        found = {}
        for name in remote.listing(folder, prefix):
            with contextlib.suppress(FileNotFoundError):  # released meanwhile
                found[name] = remote.read(f"{folder}/{name}")
        return found

    before, until = contents(), time.monotonic() + EXPIRE_SECONDS
    left = before
    while left and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
        now = contents()
        if any(before.get(name) != content for name, content in now.items()):
            return True  # renewed, or a new one
        left = now
    for name in left:
        remote.remove(f"{folder}/{name}")
    return False


class Lease:
    """A lock between machines: a small file that its owner rewrites every few seconds.

    Processes of one machine share the working copy, so a lease includes a local lock. Clocks are
    not compared: a waiting process watches the file, and takes over when it has not changed for
    `EXPIRE_SECONDS`. If the network fails for longer, two processes may hold the lease. Both then
    compute the same bytes and write the same cache entry.
    """

    def __init__(self, remote: Remote, name: str, local: BaseFileLock) -> None:
        self.remote = remote
        self.name = name
        self.local = local
        self.token = uuid.uuid4().hex
        self.released = threading.Event()
        self.renewal = threading.Thread(target=self.renew, daemon=True)

    def acquire(self, timeout: float = -1) -> Self:
        """Acquire the lease.

        Args:
            timeout: seconds to wait; negative: forever.

        Raises:
            Timeout: another owner holds it.
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
        """Create the file once no other owner's is there.

        Args:
            until: monotonic time when to give up.
        """
        before, since = b"", time.monotonic()
        while not self.remote.create(self.name, f"{self.token} 0".encode()):
            now, content = time.monotonic(), self.content()
            if content != before:
                before, since = content, now
            elif now - since > EXPIRE_SECONDS:
                if self.content() == before:  # nobody has taken over meanwhile
                    self.remote.remove(self.name)
                continue
            if now >= until:
                raise Timeout(self.name)
            time.sleep(POLL_SECONDS)

    def content(self) -> bytes:
        """Return the content of the file, empty if it is missing."""
        try:
            return self.remote.read(self.name)
        except FileNotFoundError:
            return b""

    def renew(self) -> None:
        """Rewrite the file from time to time, until the lease is released."""
        number = 0
        while not self.released.wait(RENEW_SECONDS):
            number += 1
            with contextlib.suppress(PipelineError):  # the next renewal comes soon
                self.remote.write(self.name, f"{self.token} {number}".encode())

    def release(self) -> None:
        """Release the lease."""
        self.released.set()
        self.renewal.join()  # otherwise it might write the file once more
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
