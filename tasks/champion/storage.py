"""Where champions are kept: folders that never change, and a pointer to one of them.

In a folder, the pointer is a symbolic link, replaced by a rename. On S3 it is a small file that
holds the champion's id, replaced by one conditional write: of two promotions at the same moment,
one fails. A lease only keeps their numbers apart. Nothing points at a champion before all of its
files are there. A folder without a record is no champion: a promotion that was killed left it, and
a promotion more than a day later removes it. Other file systems have no conditional writes and are
refused.
"""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tasks.engine.models import FileRef
from tasks.engine.remote import Remote
from tasks.engine.store import Store
from tasks.runtime.errors import PipelineError

CHAMPION_ID = re.compile(r"(\d{4,})-([0-9a-f]{12})")
RECORD_FILE = "record.json"
POINTER = "current"
LEFTOVER_SECONDS = 24 * 3600
CHOOSE = "remove it, and choose a champion with `python flows/retrain.py rollback --to ID`"


class ChampionStorage(Protocol):
    """Files of one registry of champions."""

    def current(self) -> str | None:
        """Return the id that the pointer names, or None if there is no pointer.

        Raises:
            PipelineError: it names something else.
        """

    def names(self) -> list[str]:
        """Return the ids of all champions, in any order."""

    def read_record(self, name: str) -> bytes:
        """Return the content of a champion's record.

        Raises:
            OSError: it cannot be read.
        """

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other writers out for the time of the block."""

    def add(self, name: str, files: dict[FileRef, FileRef], record: bytes) -> None:
        """Write the files of a new champion, its record last.

        Args:
            name: id of the champion.
            files: the champion's files, by the files to copy.
            record: content of its record.

        Raises:
            PipelineError: a copy differs from its source.
        """

    def point_at(self, name: str, expected: str | None) -> None:
        """Replace the pointer.

        Args:
            name: id of a complete champion.
            expected: result of `current` when the decision was made.

        Raises:
            PipelineError: the pointer has changed since.
        """


def open_storage(store: Store, path: str) -> ChampionStorage:
    """Return the storage of a registry.

    Args:
        store: the artifact root.
        path: folder of the registry, relative to the root.

    Raises:
        PipelineError: the root is at a URL without conditional writes.
    """
    if not store.remote:
        return FolderStorage(store, path)
    if not store.remote.is_s3:
        raise PipelineError(
            f"--artifacts {store.address}: a champion needs a folder or s3://…, since this file"
            " system cannot keep two promotions apart; flows/pipeline.py takes it"
        )
    return UrlStorage(store, path, store.remote)


def overtaken(current: str | None) -> PipelineError:
    """Return the error for a promotion that came second."""
    return PipelineError(f"champion: {current} was promoted in the meantime; run it again")


def check_copies(store: Store, copies: list[FileRef]) -> None:
    """Check the digests of copied files.

    Raises:
        PipelineError: one differs from its source.
    """
    for problem in filter(None, map(store.problem, copies)):
        raise PipelineError(f"champion: {problem.replace('output', 'challenger')}; run it again")


@dataclass(frozen=True)
class FolderStorage:
    """Champions in a folder."""

    store: Store
    path: str

    @property
    def folder(self) -> Path:
        """Return the folder of the registry.

        Raises:
            PipelineError: it is a symbolic link, which may lead out of the root.
        """
        return self.store.inside(self.path)

    @property
    def pointer(self) -> Path:
        """Return the path of the symbolic link to the current champion."""
        return self.folder / POINTER

    def current(self) -> str | None:
        """Return the name that the symbolic link holds."""
        try:
            target = self.pointer.readlink()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PipelineError(
                f"{self.pointer}: not a symbolic link to a champion ({error.strerror}); {CHOOSE}"
            ) from error
        if str(target) != target.name or not CHAMPION_ID.fullmatch(target.name):
            raise PipelineError(
                f"{self.pointer}: names {str(target)!r}, which is no champion; {CHOOSE}"
            )
        return target.name

    def names(self) -> list[str]:
        """Return the names of the champions' folders."""
        folder = self.folder
        try:
            names = [path.name for path in folder.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            reason = (error.strerror or "unreadable").lower()
            raise PipelineError(f"{folder}: {reason}; move it away or restore it") from error
        return list(filter(CHAMPION_ID.fullmatch, names))

    def read_record(self, name: str) -> bytes:
        """Return the content of a champion's record."""
        return self.store.inside(f"{self.path}/{name}/{RECORD_FILE}").read_bytes()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the registry's lock."""
        self.store.inside("locks").mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.store.lock(registry_lock(self.path)).acquire():
            yield

    def add(self, name: str, files: dict[FileRef, FileRef], record: bytes) -> None:
        """Write a folder under a hidden name, flush it to the disk, and rename it."""
        new = f"{self.path}/.new"
        folder = self.store.inside(new)
        shutil.rmtree(folder, ignore_errors=True)  # a writer was killed
        folder.mkdir()
        try:
            copies = []
            for source, file in files.items():
                shutil.copyfile(self.store.path(source), folder / file.name)
                copies.append(file.model_copy(update={"path": f"{new}/{file.name}"}))
            (folder / RECORD_FILE).write_bytes(record)
            check_copies(self.store, copies)
            for path in (*folder.iterdir(), folder):
                flush(path)
            folder.rename(self.folder / name)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        flush(self.folder)

    def point_at(self, name: str, expected: str | None) -> None:
        """Replace the symbolic link by a rename."""
        if (current := self.current()) != expected:
            raise overtaken(current)  # set by hand: the lock keeps other writers out
        link = self.folder / ".current"
        link.unlink(missing_ok=True)
        link.symlink_to(name, target_is_directory=True)
        link.replace(self.pointer)
        flush(self.folder)


@dataclass(frozen=True)
class UrlStorage:
    """Champions on S3. A champion exists once its record does."""

    store: Store
    path: str
    remote: Remote

    @property
    def pointer(self) -> str:
        """Return the address of the pointer, for messages."""
        return f"{self.store.address}/{self.path}/{POINTER}"

    def current(self) -> str | None:
        """Return the content of the pointer."""
        try:
            content = self.remote.read(f"{self.path}/{POINTER}")
        except FileNotFoundError:
            return None
        name = content.decode(errors="replace")
        if not CHAMPION_ID.fullmatch(name):
            raise PipelineError(
                f"{self.pointer}: names {name[:80]!r}, which is no champion; {CHOOSE}"
            )
        return name

    def names(self) -> list[str]:
        """Return the names of the folders that hold a record."""
        return list(with_record(self.remote.files_below(self.path)))

    def read_record(self, name: str) -> bytes:
        """Return the content of a champion's record."""
        return self.remote.read(f"{self.path}/{name}/{RECORD_FILE}")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the registry's lease."""
        self.store.inside("locks").mkdir(parents=True, exist_ok=True)
        with self.store.lock(registry_lock(self.path)).acquire():
            yield

    def add(self, name: str, files: dict[FileRef, FileRef], record: bytes) -> None:
        """Upload the files, then create the record."""
        self.remove_leftovers()
        for source, file in files.items():
            self.remote.upload(self.store.path(source), file.path, file.sha256)
        check_copies(self.store, list(files.values()))
        place = f"{self.path}/{name}/{RECORD_FILE}"
        if not self.remote.create(place, record):
            raise overtaken(name)  # the lease was lost to one with the same model
        if not self.remote.checks_conditions(place):
            raise PipelineError(
                f"champion: the server of {self.store.address} ignores the conditions If-Match and"
                " If-None-Match of writes, so it cannot keep two promotions apart; name another"
                " server, or a folder"
            )

    def remove_leftovers(self) -> None:
        """Remove the files of promotions that were killed before they wrote a record.

        Only after a day: a promotion that lost its lease may be at work beside this one.
        """
        files = self.remote.files_below(self.path)
        folders = {name.partition("/")[0] for name in files}
        for folder in set(filter(CHAMPION_ID.fullmatch, folders)) - with_record(files):
            left = [f"{self.path}/{name}" for name in files if name.startswith(f"{folder}/")]
            newest = max(self.remote.head(name).modified for name in left)
            if time.time() - newest > LEFTOVER_SECONDS:
                self.remote.remove_folder(f"{self.path}/{folder}")

    def point_at(self, name: str, expected: str | None) -> None:
        """Replace the pointer by one conditional write."""
        before = expected.encode() if expected else None
        if self.remote.replace(f"{self.path}/{POINTER}", name.encode(), before):
            return
        # If the answer was lost on its way, the file system has sent the request twice.
        if (current := self.current()) != name:
            self.remote.remove_folder(f"{self.path}/{name}")
            raise overtaken(current)


def with_record(files: list[str]) -> set[str]:
    """Return the ids of the champions that have a record.

    Args:
        files: names in a registry, relative to it.
    """
    folders = [name.removesuffix(f"/{RECORD_FILE}") for name in files]
    return set(filter(CHAMPION_ID.fullmatch, folders))


def registry_lock(path: str) -> str:
    """Return the name of the lock of a registry."""
    return path.replace("/", ".")


def flush(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
