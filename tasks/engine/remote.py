"""An artifact root on another machine: an fsspec URL.

Files are worked on in a local working copy (see store.py) and kept at the URL. Host, port and user
come from the URL; credentials and endpoint from the file system's usual environment: `AWS_…` for
S3, `FSSPEC_FTP_PASSWORD` for FTP, and likewise for fsspec's other protocols.
"""

import base64
import contextlib
import datetime
import functools
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.runtime.errors import PipelineError, without_secrets

EXTRAS = {"s3": "s3", "s3a": "s3"}
"""Extras of this project that bring the file system of a protocol."""
REFUSED_BY_CONDITION = ("PreconditionFailed", "ConditionalRequestConflict")
"""S3's error codes for conditional writes; the second: another write at the same moment."""
NO_TAG = '"0"'
"""No file has this tag: S3's have at least 32 digits."""
IDLE_SECONDS = 30.0
"""After this time without a request, a thread connects again: FTP servers close idle connections,
some after one minute."""


CREATE_ALONE = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory")
"""Protocols whose file systems create a file by one conditional request."""


class RemoteError(PipelineError):
    """The artifact root's URL cannot be reached or used."""


@contextmanager
def name_stage(label: str) -> Iterator[None]:
    """Put a stage's label in front of errors of the artifact root's URL."""
    try:
        yield
    except RemoteError as error:
        raise PipelineError(f"{label}: {error}") from error


@dataclass(frozen=True)
class Head:
    """Facts about a file at a URL."""

    size: int
    sha256: str | None
    """Hexadecimal; empty if another program wrote the file, None if the file system keeps none."""
    modified: float = 0.0
    """Seconds since 1970."""


@dataclass(frozen=True)
class Remote:
    """Files below a URL, by names with forward slashes."""

    url: str
    """Without a slash at its end."""

    def __reduce__(self) -> tuple[type["Remote"], tuple[str]]:
        return Remote, (self.url,)  # connections do not travel

    @property
    def address(self) -> str:
        """The URL without user and password."""
        return without_secrets(self.url)

    @functools.cached_property
    def connections(self) -> threading.local:
        """The connection of each thread: a connection to FTP or SFTP carries one request."""
        return threading.local()

    @property
    def files(self) -> Any:
        """The file system, connected for the current thread.

        Raises:
            RemoteError: there is none for this protocol, or it is not installed.
        """
        mine, now = self.connections, time.monotonic()
        if not hasattr(mine, "files") or now - mine.used > IDLE_SECONDS:
            mine.files, root = self.shared or self.connect()
            mine.root = root.rstrip("/")
        mine.used = now
        return mine.files

    @functools.cached_property
    def shared(self) -> tuple[Any, str] | None:
        """The connection of all threads, if the file system takes several requests at a time."""
        files, root = self.connect()
        return (files, root) if files.async_impl else None

    def connect(self) -> tuple[Any, str]:
        """Return the file system that the URL names, and the path of the root in it.

        Raises:
            RemoteError: there is none for this protocol, or it is not installed.
        """
        import fsspec

        protocol = self.url.partition("://")[0]
        # Three attempts with short pauses; then the run ends with an error.
        os.environ.setdefault("AWS_RETRY_MODE", "standard")
        logging.getLogger("asyncio").addFilter(not_about_a_connection)
        try:
            fsspec.get_filesystem_class(protocol)
        except ImportError as error:
            how = f"pip install -e '.[{EXTRAS[protocol]}]'" if protocol in EXTRAS else str(error)
            raise RemoteError(
                f"--artifacts {self.address}: {protocol} is not installed: {how}"
            ) from error
        except ValueError as error:
            raise RemoteError(f"{self.address}: {error}") from error
        # No cached listings: other machines write there, too.
        files, root = fsspec.url_to_fs(self.url, use_listings_cache=False)
        return files, root

    def place(self, name: str) -> str:
        """Return the URL of a file, without user and password."""
        return f"{self.address}/{name}"

    def path(self, name: str) -> str:
        """Return the path of a file in the file system."""
        _ = self.files  # connected
        return f"{self.connections.root}/{name}"

    def make_parent(self, name: str) -> None:
        """Create the folder of a file; S3 has no folders."""
        if not self.is_s3:
            self.files.makedirs(self.path(name).rpartition("/")[0] or "/", exist_ok=True)

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Turn errors of the file system into one line, except missing and existing files."""
        try:
            yield
        except (FileNotFoundError, FileExistsError, PipelineError) as error:
            if error_code(error) == "NoSuchBucket":
                raise RemoteError(
                    f"--artifacts {self.address}: {error}; create the bucket, or name another URL"
                ) from error
            raise
        except Exception as error:  # each file system has its own
            self.connections.__dict__.clear()  # the next request connects again
            reason = without_secrets(" ".join(str(error).split())) or type(error).__name__
            raise RemoteError(
                f"{self.address} cannot be used: {reason}; check the network, the address and the"
                " credentials, and run it again: finished stages are kept"
            ) from error

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            FileNotFoundError: it is not there.
        """
        with self.reached():
            content: bytes = self.files.cat_file(self.path(name))
            return content

    def write(self, name: str, content: bytes) -> None:
        """Write a small file."""
        with self.reached():
            self.make_parent(name)
            self.files.pipe_file(self.path(name), content)

    def create(self, name: str, content: bytes) -> bool:
        """Create a file; return whether that worked, i.e. there was none."""
        with self.reached():
            return self.write_if(name, content, mode="create")

    def replace(self, name: str, content: bytes, expected: bytes | None) -> bool:
        """Replace a small file by one conditional write of S3; other file systems have none.

        Args:
            name: name of the file.
            content: new content.
            expected: content to replace; None: the file does not exist yet.

        Returns:
            Whether the file still had the expected content and was replaced.
        """
        if expected is None:
            return self.create(name, content)
        with self.reached():
            try:
                # The tag is that of the expected content or of an older one, never of a newer one.
                tag = self.ask_s3(name)["ETag"]
                if self.files.cat_file(self.path(name)) != expected:
                    return False
                return self.write_if(name, content, IfMatch=tag)
            except FileNotFoundError:
                return False

    def checks_conditions(self, name: str) -> bool:
        """Return whether the server refuses conditional writes whose condition does not hold.

        Some servers that speak S3 ignore the conditions.

        Args:
            name: name of a file, which keeps its content.
        """
        with self.reached():
            content = self.files.cat_file(self.path(name))
            replaced = self.write_if(name, content, IfMatch=NO_TAG)
            return not replaced and not self.write_if(name, content, mode="create")

    def write_if(self, name: str, content: bytes, **condition: str) -> bool:
        """Write a small file under a condition; return whether the condition held."""
        self.make_parent(name)
        try:
            self.files.pipe_file(self.path(name), content, **condition)
        except FileExistsError:
            return False
        except OSError as error:
            if error_code(error) in REFUSED_BY_CONDITION:
                return False
            raise
        return True

    @functools.cached_property
    def creates_alone(self) -> bool:
        """Whether `create` lets only one of several processes create a file.

        Other file systems, and S3 servers that ignore the condition, look first and then write.
        """
        if self.url.partition("://")[0] not in CREATE_ALONE:
            return False
        probe = f".probe-{uuid.uuid4().hex}"
        self.write(probe, b"")
        try:
            return not self.create(probe, b"")
        finally:
            self.remove(probe)

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        with self.reached(), contextlib.suppress(FileNotFoundError):
            # FTP says of a missing file only that it is unavailable.
            if self.is_s3 or self.files.exists(self.path(name)):
                self.files.rm_file(self.path(name))

    @property
    def is_s3(self) -> bool:
        """Whether the file system is S3, with digests of files and conditional writes."""
        return hasattr(self.files, "call_s3")

    def upload(self, path: Path, name: str, sha256: str) -> None:
        """Upload a file; S3 checks and keeps its digest."""
        options: dict[str, Any] = {}
        if self.is_s3:
            options = {
                "chunksize": 2**31,  # in one part: parts have no digest of the whole
                "Metadata": {"sha256": sha256},
                "ChecksumAlgorithm": "SHA256",
                "ChecksumSHA256": base64.b64encode(bytes.fromhex(sha256)).decode(),
            }
        with self.reached():
            self.files.put_file(str(path), self.path(name), **options)

    def download(self, name: str, path: Path) -> None:
        """Download a file.

        Raises:
            FileNotFoundError: it is not there.
        """
        with self.reached():
            self.files.get_file(self.path(name), str(path))

    def head(self, name: str) -> Head:
        """Return what the file system knows of a file.

        Raises:
            FileNotFoundError: it is not there.
        """
        with self.reached():
            return self.ask(name)

    def ask(self, name: str) -> Head:
        """Return the facts about a file."""
        if not self.is_s3:
            return as_head(self.files.info(self.path(name)))
        answer = self.ask_s3(name)
        # A store that keeps no checksums keeps what else it is told; a file that somebody else
        # put there has neither, or another.
        kept = answer.get("ChecksumSHA256")
        digest = base64.b64decode(kept).hex() if kept else answer["Metadata"].get("sha256", "")
        modified = answer["LastModified"].timestamp()
        return Head(size=answer["ContentLength"], sha256=digest, modified=modified)

    def ask_s3(self, name: str) -> Any:
        """Return S3's facts about a file."""
        bucket, key, _ = self.files.split_path(self.path(name))
        return self.files.call_s3("head_object", Bucket=bucket, Key=key, ChecksumMode="ENABLED")

    def listing(self, folder: str, prefix: str = "") -> dict[str, Head]:
        """Return the files in a folder with a prefix, by name, without digests."""
        try:
            with self.reached():
                found = (
                    # S3 lists a thousand names per request, so the prefix is sent along.
                    self.files.find(self.path(folder), detail=True, prefix=prefix).values()
                    if self.is_s3
                    else self.files.ls(self.path(folder), detail=True)
                )
        except FileNotFoundError:
            return {}
        names = {entry["name"].rsplit("/", 1)[-1]: entry for entry in found}
        return {
            name: as_head(entry)
            for name, entry in sorted(names.items())
            if name.startswith(prefix) and entry["type"] == "file"
        }

    def names(self, folder: str = "") -> list[str]:
        """Return the names in a folder, or at the URL itself; those of folders end in a slash."""
        try:
            with self.reached():
                place = self.path(folder).rstrip("/")
                found = self.files.ls(place, detail=True)
        except FileNotFoundError:
            return []
        return sorted(
            entry["name"].rstrip("/").rsplit("/", 1)[-1]
            + ("/" if entry["type"] == "directory" else "")
            for entry in found
            if entry["name"].rstrip("/") != place  # S3's console marks folders with such a file
        )

    def files_below(self, folder: str) -> list[str]:
        """Return the files in a folder, at any depth, relative to it."""
        try:
            with self.reached():
                start = self.path(folder).rstrip("/") + "/"
                found = self.files.find(start.rstrip("/"))
        except FileNotFoundError:
            return []
        return [path.removeprefix(start) for path in found if path.startswith(start)]

    def remove_folder(self, folder: str) -> None:
        """Remove all files in a folder, at any depth."""
        # One by one: fsspec's `rm` takes `*` in the URL for a pattern.
        for name in self.files_below(folder):
            self.remove(f"{folder}/{name}")


def error_code(error: Exception) -> str:
    """Return S3's code for an error; empty if it has none."""
    answer = getattr(error.__cause__, "response", None) or {}
    return str(answer.get("Error", {}).get("Code", ""))


def not_about_a_connection(record: logging.LogRecord) -> bool:
    """Return whether asyncio's log record is about something else than a broken connection.

    A broken connection also raises an error where it is used.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], ConnectionError))


def as_head(info: dict[str, Any]) -> Head:
    """Return the facts in fsspec's description of a file."""
    when = info.get("LastModified") or info.get("mtime") or info.get("created")
    if "modify" in info:  # FTP: YYYYMMDDHHMMSS, UTC
        when = datetime.datetime.strptime(f"{info['modify'][:14]}+0000", "%Y%m%d%H%M%S%z")
    modified = when.timestamp() if isinstance(when, datetime.datetime) else float(when or 0)
    return Head(size=info["size"], sha256=None, modified=modified)
