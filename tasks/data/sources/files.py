"""Files of a data set: in a folder, or in a ZIP or tar archive that is read in place."""

import bz2
import gzip
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from tasks.data.decode import printable
from tasks.data.idx import GZIP_MAGIC, MAX_BYTES
from tasks.engine.digests import json_sha256, sha256
from tasks.runtime.errors import PipelineError

MOST_FILES = 1_000_000
MOST_UNPACKED = 2**32  # bytes of all files in an archive
SYSTEM_FILES = {"__MACOSX", "Thumbs.db", "desktop.ini"}
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")  # APPNOTE.TXT, sections 4.3.7 and 4.3.16
ZIP_SUFFIXES = (".zip", ".npz")
TAR_MAGIC = b"ustar"  # POSIX.1-1988, section 10.1.1, …
TAR_MAGIC_PLACE = 257  # … at this place
TAR_SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
OPENERS: dict[bytes, Callable[[BinaryIO], Any]] = {
    GZIP_MAGIC: gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}

DAMAGES = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a ZIP's compression method
)
"""Errors of damaged archives, beside `OSError` without a number."""


class Files(Protocol):
    """The files of a data set, named by their paths in a folder or an archive."""

    path: Path
    """Of the folder or archive."""
    label: str
    """Path for messages, with what was chosen of it."""

    def place(self, name: str) -> str:
        """Return a file's path, for messages."""

    def names(self) -> list[str]:
        """Return the names of all files, without hidden ones, in the order of reading.

        Raises:
            PipelineError: the folder or archive cannot be read, or holds too much.
        """

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the name and content of each file in `names`, in the order of `self.names()`.

        Raises:
            PipelineError: a file cannot be read, is damaged or too large.
        """


class Folder:
    """Files in a folder at any depth; links are followed, each folder once."""

    def __init__(self, path: Path, prefix: str = "") -> None:
        """Name the folder.

        Args:
            path: of the folder.
            prefix: start of the names that count, at the top of the folder.
        """
        self.path = path
        self.prefix = prefix
        self.label = printable(path / prefix if prefix else path)

    def place(self, name: str) -> str:
        """Return a file's path, for messages."""
        return printable(self.path / name)

    def names(self) -> list[str]:
        """Return the names of all regular files; see `Files.names`."""
        found: list[str] = []
        try:
            self.walk(self.path, "", set(), found)
        except OSError as error:
            raise unreadable(self.label, error) from error
        return sorted(found)

    def walk(self, folder: Path, before: str, seen: set[str], found: list[str]) -> None:
        """Add the names of the files in a folder and its subfolders."""
        real = os.path.realpath(folder)
        if real in seen:
            return
        seen.add(real)
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_hidden(entry.name) or not (before or entry.name.startswith(self.prefix)):
                    continue
                if entry.is_dir():
                    self.walk(folder / entry.name, f"{before}{entry.name}/", seen, found)
                elif entry.is_file():
                    found.append(before + entry.name)
                    check_count(len(found), self.label)

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield names and contents; see `Files.read`."""
        for name in sorted(names):
            path = self.path / name
            try:
                check_file_size(path.stat().st_size, self.place(name))
                content = path.read_bytes()
            except OSError as error:
                raise unreadable(self.label, error) from error
            yield name, content

    def digests(self, names: Collection[str]) -> dict[str, str]:
        """Return name → SHA-256 of the content."""
        return {printable(name): sha256(self.path / name) for name in sorted(names)}

    def listing_digest(self, names: Collection[str]) -> str:
        """Return a digest of names, sizes and times, for files too many to be read each time.

        The time of the last change of the inode is part of it. Unlike the time of the last
        modification, users cannot set it, so that every changed file is noticed. A file that was
        only copied or touched counts as changed, too.
        """
        return json_sha256([[name, *identity((self.path / name).stat())] for name in sorted(names)])


class OneFile(Folder):
    """One file that is no archive."""

    def __init__(self, path: Path) -> None:
        """Name the file."""
        super().__init__(path.parent)
        self.name = path.name
        self.label = printable(path)

    def names(self) -> list[str]:
        """Return the file's own name."""
        return [self.name]


class Archive:
    """What ZIP and tar archives have in common."""

    def __init__(self, path: Path, inside: str = "") -> None:
        """Name the archive.

        Args:
            path: of the archive.
            inside: start of the paths that count, from any folder in the archive on.
        """
        self.path = path
        self.inside = inside
        self.label = printable(path / inside)

    def place(self, name: str) -> str:
        """Return a member's path, for messages."""
        return f"{printable(self.path)}: {printable(name)}"


class ZipArchive(Archive):
    """Files in a ZIP archive."""

    def members(self, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
        """Return the members that are files and count."""
        infos = archive.infolist()
        check_count(len(infos), self.label)
        # Not `is_dir`, which fails for a member without a name.
        files = [m for m in infos if m.filename and not m.filename.endswith("/")]
        members = [member for member in files if counts(member.filename, self.inside)]
        check_total(sum(member.file_size for member in members), self.label)
        return members

    def names(self) -> list[str]:
        """Return the names of all files; see `Files.names`."""
        with archive_errors(self.label), zipfile.ZipFile(self.path) as archive:
            return [member.filename for member in self.members(archive)]

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield names and contents; see `Files.read`. No more is unpacked than was declared."""
        with zipfile.ZipFile(self.path) as archive:
            for member in self.members(archive):
                if member.filename not in names:
                    continue
                name = self.place(member.filename)
                check_file_size(member.file_size, name)
                if member.flag_bits & 1:
                    raise PipelineError(f"{name}: encrypted; unpack the archive yourself")
                with archive_errors(name):
                    content = archive.read(member)
                yield member.filename, content


class TarArchive(Archive):
    """Files in a tar archive, compressed or not."""

    @contextmanager
    def open(self) -> Iterator[Iterator[tuple[tarfile.TarFile, tarfile.TarInfo, str]]]:
        """Open the archive for one pass over the members that are files and count."""
        with archive_errors(self.label), decompressed(self.path) as stream:
            bounded = cast("BinaryIO", BoundedStream(stream, self.label))
            with tarfile.open(fileobj=bounded, mode="r:") as archive:
                yield self.members(archive)
                while bounded.read(2**16):  # the checksum stands at the end
                    pass

    def members(
        self, archive: tarfile.TarFile
    ) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo, str]]:
        """Yield the members that are files and count, with their names."""
        for number, member in enumerate(archive, start=1):
            check_count(number, self.label)
            name = member.name.removeprefix("./")
            if member.isfile() and counts(name, self.inside):
                yield archive, member, name

    def names(self) -> list[str]:
        """Return the names of all files; see `Files.names`."""
        with self.open() as members:
            return [name for _, _, name in members]

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield names and contents; see `Files.read`."""
        with self.open() as members:
            for archive, member, name in members:
                if name not in names:
                    continue
                check_file_size(member.size, self.place(name))
                file = archive.extractfile(member)
                if file is not None:
                    yield name, file.read()


class BoundedStream:
    """A stream that refuses to go on after `MOST_UNPACKED` bytes."""

    def __init__(self, stream: BinaryIO, label: str) -> None:
        """Wrap a stream; `label` names the archive in messages."""
        self.stream = stream
        self.label = label

    def read(self, size: int = -1) -> bytes:
        """Read bytes from the present position."""
        self.check(self.stream.tell() + max(size, 0))
        return self.stream.read(size)

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position from the start."""
        self.check(position)
        return self.stream.seek(position, whence)

    def tell(self) -> int:
        """Return the present position."""
        return self.stream.tell()

    def check(self, position: int) -> None:
        """Refuse positions after the limit."""
        check_total(position, self.label)


@contextmanager
def decompressed(path: Path) -> Iterator[BinaryIO]:
    """Open a file, decompressing it if it is compressed."""
    with path.open("rb") as file:
        start = file.read(max(map(len, OPENERS)))
        file.seek(0)
        opener = next((o for magic, o in OPENERS.items() if start.startswith(magic)), None)
        if opener is None:
            yield file
            return
        with opener(file) as stream:
            yield stream


def open_files(path: Path) -> Files | None:
    """Open the files at a path.

    Args:
        path: of a folder, an archive or another file; or of something in a folder or archive,
            such as `gzip.zip/emnist-letters`: then only files whose names begin so count.

    Returns:
        None if there is nothing at that path.

    Raises:
        PipelineError: the path cannot be read.
    """
    try:
        return look_up(path)
    except OSError as error:
        raise unreadable(printable(path), error) from error


def look_up(path: Path) -> Files | None:
    """Open the files at a path; see `open_files`."""
    place, inside = path, ""
    while not place.exists():
        inside = f"{place.name}/{inside}" if inside else place.name
        if place == place.parent:
            return None
        place = place.parent
    if place.is_file():
        kind = archive_kind(place)
        if kind is not None:
            return kind(place, inside)
        return OneFile(place) if not inside else None
    if not inside:
        return Folder(place)
    begun = "/" not in inside and any(p.name.startswith(inside) for p in place.iterdir())
    return Folder(place, inside) if begun else None


def archive_kind(path: Path) -> type[ZipArchive | TarArchive] | None:
    """Tell an archive by its content, a damaged one by its name; None if a file is none."""
    with path.open("rb") as file:
        if file.read(4).startswith(ZIP_MAGICS) or path.name.lower().endswith(ZIP_SUFFIXES):
            return ZipArchive
    try:
        with decompressed(path) as stream:
            start = stream.read(TAR_MAGIC_PLACE + len(TAR_MAGIC))
    except (OSError, *DAMAGES):
        return TarArchive if path.name.lower().endswith(TAR_SUFFIXES) else None
    return TarArchive if start[TAR_MAGIC_PLACE:] == TAR_MAGIC else None


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is not part of a data set."""
    return name.startswith(".") or name in SYSTEM_FILES


def counts(name: str, inside: str) -> bool:
    """Return whether a member of an archive is not hidden and lies where it should."""
    return not any(map(is_hidden, name.split("/"))) and f"/{inside}" in f"/{name}"


def identity(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return values that change whenever a file changes."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def check_count(count: int, label: str) -> None:
    """Refuse more files than a data set has."""
    if count > MOST_FILES:
        raise PipelineError(
            f"--source {label}: more than {MOST_FILES:,} files; name the folder of the data set"
        )


def check_file_size(size: int, name: str) -> None:
    """Refuse a file that would fill the memory."""
    if size > MAX_BYTES:
        raise PipelineError(f"{name}: too large, {size:,} bytes; at most {MAX_BYTES:,} are read")


def check_total(size: int, label: str) -> None:
    """Refuse an archive that would fill the memory."""
    if size > MOST_UNPACKED:
        raise PipelineError(
            f"--source {label}: too large, more than {MOST_UNPACKED:,} bytes when unpacked"
        )


def unreadable(label: str, error: OSError) -> PipelineError:
    """Return the error for a folder or file that the system does not give."""
    name = printable(error.filename) if error.filename else label
    return PipelineError(
        f"--source {label}: cannot read {name}: {(error.strerror or str(error)).lower()}"
    )


@contextmanager
def archive_errors(label: str) -> Iterator[None]:
    """Turn the errors of damaged archives into `PipelineError`."""
    try:
        yield
    except DAMAGES as error:
        words = " ".join(str(error).split()) or "it ends early"
        raise PipelineError(f"{label}: damaged archive ({words}); get it again") from error
    except OSError as error:
        if error.errno is not None:
            raise unreadable(label, error) from error
        raise PipelineError(f"{label}: damaged archive ({error}); get it again") from error
