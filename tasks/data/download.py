"""Stage: sources → the four IDX files, extracted and verified."""

import contextlib
from pathlib import Path

from tasks.data.fetch import fetch
from tasks.data.sources import IDX_FILES
from tasks.engine.digests import sha256
from tasks.engine.stage import stage
from tasks.engine.store import Workspace
from tasks.records import Download, IdxFiles
from tasks.settings import DownloadSettings


def source_digests(settings: DownloadSettings) -> dict[str, str]:
    """Digests of a user's own files, so that changing one of them is noticed.

    Returns:
        File name → SHA-256; empty where the data comes from elsewhere.
    """
    if settings.source in (None, "digits"):
        return {}
    folder = Path(settings.source).expanduser()
    digests = {}
    for name in IDX_FILES:
        for path in (folder / name, folder / f"{name}.gz"):
            with contextlib.suppress(OSError):  # what cannot be read is for `fetch` to tell
                digests[path.name] = sha256(path)
    return digests


# Only the bundled digits come out of a library, and their values have never changed; yet
# what is not checked by digest is keyed by version.
@stage(libraries=("scikit-learn",), extra=source_digests, local_only=True)
def download(work: Workspace, settings: DownloadSettings) -> Download:
    """Get the four IDX files, whichever way they can be had.

    Raises:
        PipelineError: no source has them; the message names each with its reason.
    """
    work.scratch.mkdir(exist_ok=True)
    source = fetch(settings, work.folder, work.scratch)
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
