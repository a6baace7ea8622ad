"""SHA-256 of files and of plain values."""

import functools
import hashlib
import json
from pathlib import Path


def json_sha256(value: object) -> str:
    """Return the digest of a value's JSON form, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def sha256(path: Path) -> str:
    """Return the digest of a file, remembered while the file's identity stays the same.

    The identity includes the time of the last change of the inode. Unlike the time of the last
    modification, users cannot set it.
    """
    status = path.stat()
    identity = status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return _sha256(path, identity)


@functools.lru_cache(maxsize=4096)
def _sha256(path: Path, _identity: tuple[int, ...]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
