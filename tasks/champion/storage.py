"""Writing the files of a registry of champions: in a folder, or on S3.

Names are relative to the artifact root. Files are copied before the history names them, and the
history is replaced as a whole: in a folder under a lock, by a rename; on S3 by one conditional
write, so that of two promotions at the same moment one fails.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.engine.layout import LOCKS
from tasks.engine.models import FileRef
from tasks.engine.remote import Remote
from tasks.engine.store import Store
from tasks.runtime.errors import PipelineError


@contextmanager
def writing(store: Store, registry: str) -> Iterator[None]:
    """Keep other writers out of a registry in a folder; on S3 the conditional write decides."""
    if store.remote:
        yield
        return
    store.inside(LOCKS).mkdir(parents=True, exist_ok=True)
    store.inside(registry).mkdir(parents=True, exist_ok=True)
    with store.lock(registry.replace("/", ".")).acquire():
        yield


def copy_file(store: Store, source: FileRef, copy: FileRef) -> None:
    """Copy a file within the artifact root, and flush it to the disk.

    Raises:
        PipelineError: the copy differs from its source.
    """
    if store.remote:
        store.remote.upload(store.path(source), copy.path, copy.sha256)
    else:
        place = store.inside(copy.path)
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(store.path(source), place)
        flush(place)
    if problem := store.problem(copy):
        problem = problem.replace("output", "challenger")
        raise PipelineError(f"champion: {problem}; run it again")


def replace(store: Store, name: str, content: bytes, expected: bytes | None) -> bool:
    """Replace a small file if it has the expected content (None: if there is none).

    Returns:
        Whether it had.
    """
    if store.remote:
        return replace_at_url(store.remote, name, content, expected)
    place = store.inside(name)
    if (place.read_bytes() if place.exists() else None) != expected:
        return False
    new = place.with_name(f".{place.name}.new")
    new.unlink(missing_ok=True)  # a writer was killed
    new.write_bytes(content)
    flush(new)
    new.replace(place)
    flush(place.parent)
    return True


def replace_at_url(remote: Remote, name: str, content: bytes, expected: bytes | None) -> bool:
    """Replace a small file by one conditional write; see `replace`."""
    try:
        careful = expected is None or remote.checks_conditions(name)
        # If the answer was lost on its way, the file system has sent the request twice.
        replaced = careful and (
            remote.replace(name, content, expected) or remote.read(name) == content
        )
    except FileNotFoundError:
        return False
    if careful:
        return replaced
    raise PipelineError(
        f"champion: the server of {remote.address} ignores the conditions If-Match and"
        " If-None-Match of writes, so it cannot keep two promotions apart; name another server,"
        " or a folder"
    )


def flush(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
