"""Writing the files of a registry of champions: in a folder, or on S3.

Names are relative to the artifact root. Files are copied before the history names them, and the
history is replaced as a whole: in a folder under a lock, by a rename; on S3 by one conditional
write, so that of two promotions at the same moment one fails.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.engine.layout import LOCKS
from tasks.engine.models import FileRef
from tasks.engine.remote import Remote
from tasks.engine.store import Store
from tasks.runtime.errors import PipelineError


@dataclass(frozen=True)
class FolderStorage:
    """Registries in a folder. Symbolic links are refused: they may lead out of the root."""

    store: Store

    @contextmanager
    def writing(self, registry: str) -> Iterator[None]:
        """Keep other writers out of a registry for the time of the block."""
        self.store.inside(LOCKS).mkdir(parents=True, exist_ok=True)
        self.store.inside(registry).mkdir(parents=True, exist_ok=True)
        with self.store.lock(registry.replace("/", ".")).acquire():
            yield

    def copy(self, source: Path, file: FileRef) -> None:
        """Copy a file to its place, and flush it to the disk."""
        place = self.store.inside(file.path)
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, place)
        flush(place)

    def replace(self, name: str, content: bytes, expected: bytes | None) -> bool:
        """Replace a small file if it has the expected content; return whether it had.

        Args:
            name: name of the file.
            content: new content.
            expected: content to replace; None: there is no such file yet.
        """
        place = self.store.inside(name)
        if (place.read_bytes() if place.exists() else None) != expected:
            return False
        new = place.with_name(f".{place.name}.new")
        new.unlink(missing_ok=True)  # a writer was killed
        new.write_bytes(content)
        flush(new)
        new.replace(place)
        flush(place.parent)
        return True


@dataclass(frozen=True)
class UrlStorage:
    """Registries on S3; the methods are those of `FolderStorage`."""

    remote: Remote

    @contextmanager
    def writing(self, registry: str) -> Iterator[None]:  # noqa: ARG002
        """Keep nobody out: the conditional write decides."""
        yield

    def copy(self, source: Path, file: FileRef) -> None:
        """Upload a file; S3 checks its digest."""
        self.remote.upload(source, file.path, file.sha256)

    def replace(self, name: str, content: bytes, expected: bytes | None) -> bool:
        """Replace a file by one conditional write.

        Raises:
            PipelineError: the server ignores the condition.
        """
        try:
            careless = expected is not None and not self.remote.checks_conditions(name)
            # If the answer was lost on its way, the file system has sent the request twice.
            replaced = not careless and (
                self.remote.replace(name, content, expected) or self.remote.read(name) == content
            )
        except FileNotFoundError:
            return False
        if careless:
            raise PipelineError(
                f"champion: the server of {self.remote.address} ignores the conditions If-Match and"
                " If-None-Match of writes, so it cannot keep two promotions apart; name another"
                " server, or a folder"
            )
        return replaced


Storage = FolderStorage | UrlStorage


def flush(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
