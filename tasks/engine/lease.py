"""A lock between machines: a lease in a file at the artifact root's URL.

A free lease is a missing file, which is created; only one process can do that. A lease whose owner
is silent is taken over by whoever creates a second file, named after the content that the owner
left behind: every content is written once, so only one process can succeed to it.
"""

import contextlib
import hashlib
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
SETTLE_SECONDS = 2.0
"""Where two processes may both create a file, the later content stands after so long."""


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
    `EXPIRE_SECONDS`. An owner that could not renew its lease for that long has lost it, and leaves
    the file alone. It still ends its stage: it computes the same result as its successor.
    """

    def __init__(self, remote: Remote, name: str, local: BaseFileLock) -> None:
        self.remote = remote
        self.name = name
        self.local = local
        self.token = uuid.uuid4().hex
        self.renewed = 0.0
        """Monotonic time of the last renewal."""
        self.seen: set[str] = set()
        """Files of other successors that were there at the last attempt to take over."""
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
        self.token = uuid.uuid4().hex  # contents are not to be repeated
        try:
            self.take(until)
            self.renewed = time.monotonic()
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
        while not self.create():
            now, content = time.monotonic(), self.content()
            if content != before:
                before, since = content, now
            elif content and now - since > EXPIRE_SECONDS:
                if self.succeed(content):
                    return
                since = now
            if now >= until:
                raise Timeout(self.name)
            time.sleep(POLL_SECONDS)

    def create(self) -> bool:
        """Create the file; return whether this lease now holds it."""
        created = self.remote.create(self.name, self.text(0))
        if created and not self.remote.creates_alone:
            time.sleep(SETTLE_SECONDS)
            return self.content() == self.text(0)
        return created

    def succeed(self, silent: bytes) -> bool:
        """Take over from a silent owner; return whether this lease now holds the file.

        Args:
            silent: content that the owner left behind.
        """
        claim = f"{self.name}.after-{hashlib.sha256(silent).hexdigest()[:16]}"
        if not self.remote.create(claim, self.text(0)):
            self.drop_abandoned(claim)
            return False
        begun = time.monotonic()
        try:
            if self.content() != silent:  # the owner lives, or somebody else was faster
                return False
            self.remote.write(self.name, self.text(0))
        finally:
            self.remote.remove(claim)
        if time.monotonic() - begun > EXPIRE_SECONDS:  # others may have dropped the claim
            return False
        if not self.remote.creates_alone:
            time.sleep(SETTLE_SECONDS)
        return self.content() == self.text(0)

    def drop_abandoned(self, claim: str) -> None:
        """Remove the file of a successor that died before it took over.

        The caller has waited `EXPIRE_SECONDS` once more if it comes here twice.
        """
        if claim in self.seen:
            self.remote.remove(claim)
        self.seen ^= {claim}

    def text(self, number: int) -> bytes:
        """Return the content of the file after a number of renewals."""
        return f"{self.token} {number}".encode()

    def content(self) -> bytes:
        """Return the content of the file, empty if it is missing."""
        try:
            return self.remote.read(self.name)
        except FileNotFoundError:
            return b""

    def renew(self) -> None:
        """Rewrite the file from time to time, until the lease is released or lost."""
        number = 0
        while not self.released.wait(RENEW_SECONDS) and self.is_held():
            number += 1
            begun = time.monotonic()
            with contextlib.suppress(PipelineError):  # the next renewal comes soon
                self.remote.write(self.name, self.text(number))
                self.renewed = begun

    def is_held(self) -> bool:
        """Return whether nobody can have taken over: the last renewal is recent enough."""
        return time.monotonic() - self.renewed < EXPIRE_SECONDS - RENEW_SECONDS

    def release(self) -> None:
        """Release the lease."""
        self.released.set()
        self.renewal.join()  # otherwise it might write the file once more
        try:
            with contextlib.suppress(PipelineError):  # it will expire
                if self.is_held() and self.content().startswith(self.token.encode()):
                    self.remote.remove(self.name)
        finally:
            self.local.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
