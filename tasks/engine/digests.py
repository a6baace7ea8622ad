"""SHA-256 of files and of plain values."""

import functools
import hashlib
import json
import time
from pathlib import Path

RESOLUTION_NS = 100_000_000
"""Upper bound of the resolution of file times in nanoseconds; Linux's is one tick, up to 10 ms."""


def json_sha256(value: object) -> str:
    """Return the digest of a value's JSON form, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def sha256(path: Path) -> str:
    """Return the digest of a file, remembered while the file's identity stays the same.

    The identity includes the time of the last change of the inode. Unlike the time of the last
    modification, users cannot set it. A file that has just been changed is not remembered: a
    second change within the clock's resolution would keep its identity.
    """
    status = path.stat()
    if time.time_ns() - status.st_ctime_ns < RESOLUTION_NS:
        return digest_of(path)
    identity = status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return remembered_digest(path, identity)


@functools.lru_cache(maxsize=4096)
def remembered_digest(path: Path, _identity: tuple[int, ...]) -> str:
    """Return the digest of a file with this identity."""
    return digest_of(path)


def digest_of(path: Path) -> str:
    """Return the digest of a file as it is now."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
