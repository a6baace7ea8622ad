"""Stage: sources → the four IDX files, extracted and verified."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.data import idx
from tasks.data.resize import resize_all_to_squares
from tasks.data.sources.base import Contents, Source
from tasks.data.sources.digits import Digits
from tasks.data.sources.index import PackageIndex
from tasks.data.sources.known import known_class_names
from tasks.data.sources.labelled import DataSet
from tasks.data.sources.local import Local, check_mnist
from tasks.data.sources.mirror import Mirror
from tasks.data.sources.mnist import IDX_FILES, MIRRORS
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.records import Download, IdxFiles
from tasks.runtime.console import log
from tasks.runtime.errors import PipelineError
from tasks.settings import DownloadSettings
from tasks.words import joined

HELP = "put the four files into a folder and name it with --source DIR"


def choose_sources(settings: DownloadSettings, scratch: Path) -> list[Source]:
    """Return the sources in the network for these settings, in the order in which they are tried.

    Args:
        settings: where to look, and the expected digests.
        scratch: existing folder for temporary files.
    """
    if settings.url is not None:
        return [Mirror(settings.url, settings)]
    return [*(Mirror(url, settings) for url in MIRRORS), PackageIndex(settings, scratch)]


def choose_local(source: str, settings: DownloadSettings) -> Digits | Local:
    """Return the source that `--source` names."""
    return Digits() if source == "digits" else Local(source, settings)


def may_change(settings: DownloadSettings) -> bool:
    """Return whether the source may hold other files later, unnoticed by the cache key.

    Files with known digests never change, and those in a folder are part of the key.
    """
    return settings.url is not None and settings.source is None and settings.digests == "none"


def source_key_inputs(settings: DownloadSettings) -> dict[str, object]:
    """Return what a user's own data set depends on; empty for the other sources."""
    if settings.source in (None, "digits"):
        return {}
    return Local(settings.source, settings).key_inputs()


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
            return joined(served), found
    raise PipelineError(f"no source has the data set: {'; '.join(reasons)}; {HELP}")


@dataclass(frozen=True)
class Obtained:
    """A data set as it came."""

    source: str
    """A URL, `package index: …`, `directory …`, `file …` or `scikit-learn digits`."""
    contents: Contents
    """File name → uncompressed IDX."""
    class_names: tuple[str, ...] = ()
    """In the order of the labels; empty if unknown."""
    notes: tuple[str, ...] = ()
    """What was done to the data on the way."""


def get_files(settings: DownloadSettings, scratch: Path) -> Obtained:
    """Get the four IDX files.

    Args:
        settings: where to look, and the expected digests.
        scratch: existing folder for temporary files.

    Raises:
        PipelineError: no source has sound files.
    """
    if settings.source is None:
        obtained = Obtained(*collect_files(choose_sources(settings, scratch)))
    else:
        local = choose_local(settings.source, settings)
        data = local.load()
        obtained = Obtained(local.name, to_contents(data), data.class_names, data.notes)
        if settings.digests == "auto":
            check_mnist(obtained.contents)
    names = obtained.class_names or known_class_names(obtained.contents)
    obtained = replace(obtained, class_names=names)
    return obtained if settings.image_size is None else scale(obtained, settings.image_size)


def to_contents(data: DataSet) -> Contents:
    """Return a data set as the four files."""
    arrays = data.train.images, data.train.labels, data.test.images, data.test.labels
    return dict(zip(IDX_FILES, map(idx.dumps, arrays), strict=True))


def scale(obtained: Obtained, side: int) -> Obtained:
    """Scale the images of a data set to squares, unless they have that size already."""
    contents = dict(obtained.contents)
    notes = obtained.notes
    for name in IDX_FILES[::2]:
        images = idx.loads(contents[name], name)
        if images.shape[1:] != (side, side):
            contents[name] = idx.dumps(resize_all_to_squares(images, side))
            notes = (*obtained.notes, f"images scaled to {side} × {side} pixels")
    return replace(obtained, contents=contents, notes=notes)


# Only the bundled digits come from a library. Their values have never changed, but content
# that is not checked by digest is keyed by version.
@stage(extra=source_key_inputs)
def download(work: Workspace, settings: DownloadSettings) -> Download:
    """Get the four IDX files from the first source that has them.

    Raises:
        PipelineError: no source has them; the message names each with its reason.
    """
    work.scratch.mkdir(exist_ok=True)
    if settings.source == "digits" and Path("digits").exists():
        log.warning(
            "--source digits is the data set of scikit-learn; for the folder of that name, write"
            " --source ./digits"
        )
    obtained = get_files(settings, work.scratch)
    for note in obtained.notes:
        log.info(f"{obtained.source}: {note}")
    for name, content in obtained.contents.items():
        (work.folder / name).write_bytes(content)
    train_images, train_labels, test_images, test_labels = map(work.finished, IDX_FILES)
    return Download(
        files=IdxFiles(
            train_images=train_images,
            train_labels=train_labels,
            test_images=test_images,
            test_labels=test_labels,
            class_names=obtained.class_names,
        ),
        source=obtained.source,
        notes=obtained.notes,
    )
