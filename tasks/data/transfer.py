"""One file over HTTP: resumed where it broke off, tried again where that may help.

A file is collected in a `.part`. Beside it lies the server's ETag or date of that
version (`.part.version`), so that bytes of two versions are never put together.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tasks.runtime.errors import PipelineError
from tasks.settings import DownloadSettings

BACKOFF_SECONDS = 0.5  # before the second try; twice as long before each further one


class TransientError(PipelineError):
    """A failure that may be gone at the next try."""


def open_client(settings: DownloadSettings) -> httpx.Client:
    """An HTTP client with the settings' time limits.

    Raises:
        PipelineError: the proxies or certificates set in the environment are no good.
    """
    try:
        return httpx.Client(
            timeout=httpx.Timeout(settings.read_timeout, connect=settings.connect_timeout),
            follow_redirects=True,
        )
    except (httpx.InvalidURL, ImportError, OSError, ValueError) as error:
        raise PipelineError(f"proxy or certificates of the environment: {error}") from error


def download(
    client: httpx.Client,
    url: str,
    part: Path,
    attempts: int,
    check: Callable[[bytes], bytes],
    report: Callable[[int], None],
) -> bytes:
    """Download a file and check it.

    Args:
        client: carries the time limits.
        url: of the file.
        part: where it is collected. What is there is gone on from; once the file is whole
            it stays, so that a run which dies later need not fetch it again.
        attempts: how often to try, at least 1.
        check: returns the content, or raises `PipelineError` for a file that is wrong.
        report: is told the size of `part` in bytes as it grows.

    Returns:
        What `check` returned.

    Raises:
        PipelineError: the file is not to be had, or it is wrong; in that case `part` is gone.
    """
    for attempt in range(attempts - 1):
        try:
            return attempt_download(client, url, part, check, report)
        except TransientError:
            time.sleep(BACKOFF_SECONDS * 2**attempt)
    return attempt_download(client, url, part, check, report)


def attempt_download(
    client: httpx.Client,
    url: str,
    part: Path,
    check: Callable[[bytes], bytes],
    report: Callable[[int], None],
) -> bytes:
    """As `download`, once.

    Raises:
        TransientError: another try may help.
        PipelineError: it would not.
    """
    with network_errors(url.rpartition("/")[2]):
        resumed = receive(client, url, part, report)
    try:
        return check(part.read_bytes())
    except PipelineError as error:
        discard(part)
        if resumed:  # perhaps only its front was bad
            raise TransientError(str(error)) from error
        raise


def receive(client: httpx.Client, url: str, part: Path, report: Callable[[int], None]) -> bool:
    """Request a file and write it to `part`, going on from what is there if the server can.

    Returns:
        Whether `part` holds bytes of an earlier request.

    Raises:
        TransientError: the server is busy, or less came than it said.
        PipelineError: the server refuses.
        httpx.HTTPError: the network fails.
    """
    start = part.stat().st_size if part.exists() else 0
    with client.stream("GET", url, headers=request_headers(part, start)) as response:
        status, name = response.status_code, url.rpartition("/")[2]
        if status in (408, 429) or status >= 500:
            raise TransientError(f"{name}: HTTP {status} {response.reason_phrase}")
        if start and status in (206, 416):
            first, total = content_range(response)
            if status == 416 and total == start and version_of(part).exists():
                report(start)
                return True  # it is whole already, and of the server's version
            if status == 416 or first != start:
                discard(part)
                return receive(client, url, part, report)
        elif status == 200:
            discard(part)
            start, total = 0, whole_number(response.headers.get("Content-Length"))
            remember_version(part, response)
        else:
            raise PipelineError(f"{name}: HTTP {status} {response.reason_phrase}")
        size = start
        with part.open("ab") as file:
            # As they come: a chunk size would hold bytes back, and lose them with the connection.
            for chunk in response.iter_raw():
                file.write(chunk)
                size += len(chunk)
                report(size)
    if total is not None and size != total:
        raise TransientError(f"{name}: only {size:,} of {total:,} bytes came")
    return start > 0


def request_headers(part: Path, start: int) -> dict[str, str]:
    """Ask for what follows the first `start` bytes, if the file is still the same."""
    # "identity": compressed on the way, sizes and ranges would be those of something else.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if version_of(part).exists():
            headers["If-Range"] = version_of(part).read_text("ascii")
    return headers


def content_range(response: httpx.Response) -> tuple[int | None, int | None]:
    """First byte and total size from a 206's or 416's Content-Range; None if not told."""
    found = re.fullmatch(
        r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", "")
    )
    return (whole_number(found[1]), whole_number(found[2])) if found else (None, None)


def whole_number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def version_of(part: Path) -> Path:
    """The file that says which version of the original `part` is from."""
    return part.with_name(part.name + ".version")


def remember_version(part: Path, response: httpx.Response) -> None:
    """Keep what `If-Range` takes: the ETag unless it is a weak one, or the date."""
    tag = response.headers.get("ETag", "")
    version = response.headers.get("Last-Modified", "") if tag[:2] in ("", "W/") else tag
    if version and version.isascii():
        version_of(part).write_text(version, "ascii")


def discard(part: Path) -> None:
    """Remove a part and what is known of it."""
    part.unlink(missing_ok=True)
    version_of(part).unlink(missing_ok=True)


@contextmanager
def network_errors(name: str) -> Iterator[None]:
    """Turn errors of the HTTP client into `PipelineError`, or `TransientError` where that is so."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        # Would pass as seldom as it is costly to try: without a network every mirror ends
        # here, and the package index may still be in reach.
        raise PipelineError(f"no connection ({error})") from error
    except httpx.TimeoutException as error:
        raise TransientError(f"{name}: stalled ({error})") from error
    except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
        raise TransientError(f"{name}: connection lost ({error})") from error
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise PipelineError(f"{name}: {error}") from error
