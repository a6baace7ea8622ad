"""Download of whole files over HTTP, with a limit on their size."""

import netrc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from tasks.runtime.errors import PipelineError
from tasks.settings import DownloadSettings

BACKOFF_SECONDS = 0.5  # before the second attempt; doubled before each further one


class TransientError(PipelineError):
    """Failure that may not occur in another attempt."""


def open_client(settings: DownloadSettings) -> httpx.Client:
    """Return an HTTP client with the time limits of the settings.

    Proxies and certificates come from the environment. A server at `--url` gets the login that
    ~/.netrc has for it; the public mirrors get none.

    Raises:
        PipelineError: the proxies or certificates of the environment or ~/.netrc are invalid.
    """
    auth = read_netrc() if settings.url is not None else None
    try:
        return httpx.Client(
            auth=auth,
            timeout=httpx.Timeout(settings.read_timeout, connect=settings.connect_timeout),
            follow_redirects=True,
        )
    except (httpx.InvalidURL, ImportError, OSError, ValueError) as error:
        raise PipelineError(f"proxy or certificates of the environment: {error}") from error


def read_netrc() -> httpx.NetRCAuth | None:
    """Return the logins in ~/.netrc, or None if there is no such file.

    Raises:
        PipelineError: the file cannot be read, or other users can read it.
    """
    try:
        return httpx.NetRCAuth()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeError, netrc.NetrcParseError) as error:
        raise PipelineError(f"~/.netrc: {str(error).splitlines()[0]}") from error


def download_file(
    client: httpx.Client,
    url: str,
    attempts: int,
    limit: int,
    report: Callable[[int], None],
) -> bytes:
    """Download a file.

    Args:
        client: carries the time limits.
        url: of the file.
        attempts: number of attempts, at least 1.
        limit: largest accepted size in bytes.
        report: called with the number of bytes received so far.

    Returns:
        The file.

    Raises:
        PipelineError: the server refuses or fails at each attempt, or the file is too large.
    """
    for attempt in range(attempts - 1):
        try:
            return receive(client, url, limit, report)
        except TransientError:
            time.sleep(BACKOFF_SECONDS * 2**attempt)
    return receive(client, url, limit, report)


def receive(client: httpx.Client, url: str, limit: int, report: Callable[[int], None]) -> bytes:
    """Request a file once.

    Raises:
        TransientError: another attempt may succeed.
        PipelineError: another attempt would fail in the same way.
    """
    name = url.rpartition("/")[2]
    data = bytearray()
    # "identity": with compression on the way, the size would be that of something else.
    headers = {"Accept-Encoding": "identity"}
    with translate_errors(name), client.stream("GET", url, headers=headers) as response:
        check_status(response, name)
        check_length(declared_size(response), limit, name)
        for chunk in response.iter_raw():
            data += chunk
            check_length(len(data), limit, name)
            report(len(data))
    return bytes(data)


def check_status(response: httpx.Response, name: str) -> None:
    """Accept status 200 only.

    Raises:
        TransientError: the server is busy.
        PipelineError: the server refuses.
    """
    status = response.status_code
    reason = f"{name}: HTTP {status} {response.reason_phrase}"
    if status in (408, 429) or status >= 500:
        raise TransientError(reason)
    if status == 401:
        raise PipelineError(f"{reason}; a user name and password may stand in ~/.netrc")
    if status != 200:
        raise PipelineError(reason)


def declared_size(response: httpx.Response) -> int:
    """Return the Content-Length of a response, 0 if it has none."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else 0


def check_length(size: int, limit: int, name: str) -> None:
    """Refuse a file that is too large.

    Raises:
        PipelineError: `size` is above `limit`, both in bytes.
    """
    if size > limit:
        raise PipelineError(f"{name}: larger than {limit:,} bytes; not downloaded")


@contextmanager
def translate_errors(name: str) -> Iterator[None]:
    """Turn errors of the HTTP client into `PipelineError` or `TransientError`."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        # Not tried again: without a network every mirror fails here, at the price of a time-out
        # each, and the package index may still be in reach.
        raise PipelineError(f"no connection ({error})") from error
    except httpx.TimeoutException as error:
        raise TransientError(f"{name}: stalled ({error})") from error
    except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
        raise TransientError(f"{name}: connection lost ({error})") from error
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise PipelineError(f"{name}: {error}") from error
