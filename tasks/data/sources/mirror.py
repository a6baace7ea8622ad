"""A web folder with the four files as `.gz`."""

from collections.abc import Callable

from tasks.data import http, idx
from tasks.data.sources.base import Contents, check_pairs, expected_digests, verify
from tasks.data.sources.mnist import MNIST
from tasks.runtime.console import track
from tasks.runtime.errors import PipelineError
from tasks.settings import DownloadSettings


class Mirror:
    """A web folder with the four `.gz` files."""

    def __init__(self, url: str, settings: DownloadSettings) -> None:
        """Name the web folder.

        Args:
            url: of the folder.
            settings: time limits, attempts and the expected digests.
        """
        self.name = url.rstrip("/") + "/"
        self.settings = settings
        self.expected = expected_digests(settings.digests)

    def collect(self, found: Contents) -> None:
        """Add the missing files.

        Raises:
            PipelineError: a file cannot be downloaded or is not sound, or the files do not fit
                together; in the last case `found` is empty afterwards.
        """
        is_mnist = self.settings.digests == "mnist"
        total = sum(file.archive_size for file in MNIST) if is_mnist else -1
        done = 0
        with http.open_client(self.settings) as client, track("Downloading", total) as update:
            for file in MNIST:
                if file.name in found:
                    continue
                archive = f"{file.name}.gz"
                data = http.download_file(
                    client,
                    self.name + archive,
                    attempts=self.settings.attempts,
                    limit=archive_limit(file.size if is_mnist else idx.MAX_BYTES),
                    report=offset_progress(update, done, archive),
                )
                found[file.name] = verify(data, archive, file, self.expected[file.name])
                done += len(data)
        try:
            check_pairs(found)
        except PipelineError:
            found.clear()  # each file is sound, the set is not: the next source starts anew
            raise


def archive_limit(size: int) -> int:
    """Return the largest size of a gzip file for an IDX file of `size` bytes.

    Incompressible data grow by 5 bytes per block of up to 64 KiB (RFC 1951, section 3.2.4);
    zlib writes blocks of at least 16 KiB. Header and trailer take well below 64 KiB.
    """
    return size + 5 * (size // 2**14) + 2**16


def offset_progress(
    update: Callable[[int, str], None], before: int, note: str
) -> Callable[[int], None]:
    """Return a function that reports one file's size to a progress bar for several files.

    Args:
        update: of the bar.
        before: bytes of the files before this one.
        note: text beside the bar.
    """
    return lambda size: update(before + size, note)
