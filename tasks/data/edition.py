"""Whether the files at a URL are still the ones that were fetched."""

import hashlib
import time

import httpx

from tasks.data import transfer
from tasks.data.sources import IDX_FILES
from tasks.runtime.errors import PipelineError
from tasks.settings import DownloadSettings

NOT_TOLD = (405, 501)  # the server does not know HEAD requests


def may_change(settings: DownloadSettings) -> bool:
    """Whether other files may come from the same place without the settings telling.

    Files with known digests are always the same, and those in a folder are looked at anyway.
    """
    return (
        settings.url is not None
        and settings.source is None
        and settings.digests == "none"
        and settings.edition is None
    )


def ask_edition(settings: DownloadSettings) -> str | None:
    """What the server says of the four files: a digest of their ETags or dates.

    Returns:
        12 hexadecimal digits; None if the server says nothing of at least one file.

    Raises:
        PipelineError: a file is not there, or the server cannot be reached.
    """
    base = (settings.url or "").rstrip("/") + "/"
    versions = []
    with transfer.open_client(settings) as client:
        for name in IDX_FILES:
            versions.append(ask_version(client, f"{base}{name}.gz", settings.attempts))
    if not all(versions):
        return None
    return hashlib.sha256("\n".join(map(str, versions)).encode()).hexdigest()[:12]


def ask_version(client: httpx.Client, url: str, attempts: int) -> str | None:
    """ETag or date of one file; None if the server tells neither."""
    for attempt in range(attempts - 1):
        try:
            return attempt_version(client, url)
        except transfer.TransientError:
            time.sleep(transfer.BACKOFF_SECONDS * 2**attempt)
    return attempt_version(client, url)


def attempt_version(client: httpx.Client, url: str) -> str | None:
    name = url.rpartition("/")[2]
    with transfer.network_errors(name):
        response = client.head(url, headers={"Accept-Encoding": "identity"})
    code = response.status_code
    if code in NOT_TOLD:
        return None
    status = f"{name}: HTTP {code} {response.reason_phrase}"
    if code in (408, 429) or code >= 500:
        raise transfer.TransientError(status)
    if not response.is_success:
        raise PipelineError(f"--url: {status}")
    version: str | None = response.headers.get("ETag") or response.headers.get("Last-Modified")
    return version
