"""An artifact root on S3, `s3://bucket/folder`.

Files are worked on in a local working copy (see store.py) and kept in the bucket. Credentials and
endpoint come from the usual environment, `AWS_…`.
"""

import base64
import contextlib
import functools
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.runtime.errors import PipelineError, without_secrets

REFUSED_BY_CONDITION = ("PreconditionFailed", "ConditionalRequestConflict")
"""S3's error codes for conditional writes; the second: another write at the same moment."""
NO_TAG = '"0"'
"""No file has this tag: S3's have at least 32 digits."""


class RemoteError(PipelineError):
    """The bucket cannot be reached or used."""


@contextmanager
def name_stage(label: str) -> Iterator[None]:
    """Put a stage's label in front of errors of the bucket."""
    try:
        yield
    except RemoteError as error:
        raise PipelineError(f"{label}: {error}") from error


@dataclass(frozen=True)
class Head:
    """Facts about a file in the bucket."""

    size: int
    sha256: str = ""
    """Hexadecimal; empty in a listing, or if another program wrote the file."""
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
    def files(self) -> Any:
        """The file system.

        Raises:
            RemoteError: s3fs is not installed.
        """
        try:
            from s3fs import S3FileSystem
        except ImportError as error:
            raise RemoteError(
                f"--artifacts {self.address}: s3fs is not installed: pip install -e '.[s3]'"
            ) from error
        # Three attempts with short pauses; then the run ends with an error.
        os.environ.setdefault("AWS_RETRY_MODE", "standard")
        logging.getLogger("asyncio").addFilter(not_about_a_connection)
        # No cached listings: other machines write there, too.
        return S3FileSystem(use_listings_cache=False)

    def place(self, name: str) -> str:
        """Return the URL of a file, without user and password."""
        return f"{self.address}/{name}"

    def path(self, name: str) -> str:
        """Return the path of a file in the file system: bucket and key."""
        return f"{self.url.partition('://')[2]}/{name}"

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
        except Exception as error:  # botocore's, aiohttp's and s3fs's own
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
            self.files.pipe_file(self.path(name), content)

    def replace(self, name: str, content: bytes, expected: bytes | None) -> bool:
        """Replace a small file by one conditional write.

        Args:
            name: name of the file.
            content: new content.
            expected: content to replace; None: the file does not exist yet.

        Returns:
            Whether the file still had the expected content and was replaced.
        """
        with self.reached():
            if expected is None:
                return self.write_if(name, content, mode="create")
            try:
                # The tag is that of the expected content or of an older one, never of a newer one.
                tag = self.ask(name)["ETag"]
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
        try:
            self.files.pipe_file(self.path(name), content, **condition)
        except FileExistsError:
            return False
        except OSError as error:
            if error_code(error) in REFUSED_BY_CONDITION:
                return False
            raise
        return True

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        with self.reached(), contextlib.suppress(FileNotFoundError):
            self.files.rm_file(self.path(name))

    def upload(self, path: Path, name: str, sha256: str) -> None:
        """Upload a file; S3 checks and keeps its digest."""
        with self.reached():
            self.files.put_file(
                str(path),
                self.path(name),
                chunksize=2**31,  # in one part: parts have no digest of the whole
                Metadata={"sha256": sha256},
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
            )

    def download(self, name: str, path: Path) -> None:
        """Download a file.

        Raises:
            FileNotFoundError: it is not there.
        """
        with self.reached():
            self.files.get_file(self.path(name), str(path))

    def head(self, name: str) -> Head:
        """Return what S3 knows of a file.

        Raises:
            FileNotFoundError: it is not there.
        """
        with self.reached():
            answer = self.ask(name)
        # A store that keeps no checksums keeps what else it is told; a file that somebody else
        # put there has neither, or another.
        kept = answer.get("ChecksumSHA256")
        digest = base64.b64decode(kept).hex() if kept else answer["Metadata"].get("sha256", "")
        modified = answer["LastModified"].timestamp()
        return Head(size=answer["ContentLength"], sha256=digest, modified=modified)

    def ask(self, name: str) -> Any:
        """Return S3's facts about a file."""
        bucket, key, _ = self.files.split_path(self.path(name))
        return self.files.call_s3("head_object", Bucket=bucket, Key=key, ChecksumMode="ENABLED")

    def listing(self, folder: str, prefix: str = "") -> dict[str, Head]:
        """Return the files in a folder with a prefix, by name, without digests."""
        try:
            with self.reached():
                # S3 lists a thousand names per request, so the prefix is sent along.
                found = self.files.find(self.path(folder), detail=True, prefix=prefix).values()
        except FileNotFoundError:
            return {}
        heads = {
            entry["name"].rsplit("/", 1)[-1]: Head(
                size=entry["size"], modified=entry["LastModified"].timestamp()
            )
            for entry in found
            if entry["type"] == "file"
        }
        return dict(sorted(heads.items()))

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
