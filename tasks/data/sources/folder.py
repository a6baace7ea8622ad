"""The four IDX files in a folder of the user's."""

import contextlib
from pathlib import Path

from tasks.data.sources.base import Contents, check_pairs, expected_digests, verify
from tasks.data.sources.mnist import IDX_FILES, MNIST
from tasks.engine.digests import sha256
from tasks.runtime.errors import PipelineError


class Folder:
    """A folder with the four files, each gzipped or not, with or without `.gz`."""

    def __init__(self, path: str, digests: str) -> None:
        """Name the folder.

        Args:
            path: of the folder; `~` stands for the home directory.
            digests: `DownloadSettings.digests`.
        """
        self.name = f"directory {path}"
        self.path = Path(path).expanduser()
        self.expected = expected_digests(digests)

    def collect(self, found: Contents) -> None:
        """Add the four files.

        Raises:
            PipelineError: the folder or a file is missing, cannot be read or is not sound.
        """
        try:
            found.update(self.read())
        except OSError as error:
            raise PipelineError(
                f"--source {self.path}: cannot read {error.filename}: {error.strerror}"
            ) from error

    def read(self) -> Contents:
        """Read and verify the four files.

        Raises:
            PipelineError: the folder or a file is missing or not sound.
            OSError: a file cannot be read.
        """
        if not self.path.is_dir():
            raise PipelineError(f"--source {self.path}: no such directory")
        paths = {
            name: next((p for p in candidates(self.path, name) if p.is_file()), None)
            for name in IDX_FILES
        }
        missing = [name for name, path in paths.items() if path is None]
        if missing:
            raise PipelineError(
                f"--source {self.path}: missing {', '.join(missing)} (each may end in .gz)"
            )
        contents = {
            file.name: verify(path.read_bytes(), str(path), file, self.expected[file.name])
            for file in MNIST
            if (path := paths[file.name]) is not None
        }
        check_pairs(contents)
        return contents


def candidates(folder: Path, name: str) -> tuple[Path, Path]:
    """Return the paths at which one of the four files may lie, the preferred one first."""
    return folder / name, folder / f"{name}.gz"


def file_digests(folder: Path) -> dict[str, str]:
    """Return the digests of the files in a folder, so that a changed file is noticed.

    Returns:
        File name → SHA-256; without the files that cannot be read.
    """
    digests = {}
    for name in IDX_FILES:
        for path in candidates(folder, name):
            with contextlib.suppress(OSError):  # `Folder.collect` reports it
                digests[path.name] = sha256(path)
    return digests
