"""A data set of the user's, in any usual form, in a folder, an archive or a file."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from tasks.data.decode import printable
from tasks.data.sources.arrays import ArraySet, find_arrays, load_arrays
from tasks.data.sources.base import Contents, expected_digests
from tasks.data.sources.files import (
    TAR_SUFFIXES,
    ZIP_SUFFIXES,
    Files,
    Folder,
    OneFile,
    open_files,
)
from tasks.data.sources.idx_files import IdxSet, find_idx, load_idx, missing_files
from tasks.data.sources.labelled import DataSet, describe_found
from tasks.data.sources.mnist import IDX_FILES, MNIST
from tasks.data.sources.pictures import (
    PictureSet,
    find_pictures,
    find_tabled,
    load_pictures,
    pictures_without_class,
)
from tasks.data.sources.tables import (
    CSV_SUFFIXES,
    PARQUET_SUFFIXES,
    TableSet,
    find_tables,
    load_tables,
)
from tasks.engine.stage import library_version
from tasks.runtime.errors import PipelineError
from tasks.settings import DownloadSettings

FORMS = (
    "docs/DATA.md lists the forms that are read: IDX, pictures in class folders, Parquet, CSV,"
    " NumPy's arrays, each also in a .zip or .tar.gz"
)

Found = IdxSet | ArraySet | PictureSet | TableSet
"""The files of a data set in one of the forms."""


class Local:
    """A folder, an archive or a file with a data set."""

    def __init__(self, source: str, settings: DownloadSettings) -> None:
        """Name the source.

        Args:
            source: its path; `~` stands for the home directory.
            settings: digests and size of the images.
        """
        self.source = source
        self.path = Path(source).expanduser()
        self.name = f"{'directory' if self.path.is_dir() else 'file'} {source}"
        self.settings = settings

    def open(self) -> Files:
        """Open the folder, archive or file.

        Raises:
            PipelineError: there is none.
        """
        if files := open_files(self.path):
            return files
        advice = "; a web address belongs to --url" if "://" in self.source else ""
        raise PipelineError(f"--source {printable(self.source)}: no such file or folder{advice}")

    def load(self) -> DataSet:
        """Read the data set.

        Raises:
            PipelineError: there is none in a form that is read, or it is not sound.
        """
        files = self.open()
        names = files.names()
        found = find(files, names)
        if found is None:
            raise refusal(names, files.label)
        if isinstance(found, PictureSet):
            return load_pictures(found, files, self.settings.image_size)
        if isinstance(found, ArraySet):
            return load_arrays(found, files)
        if isinstance(found, TableSet):
            return load_tables(found, files, self.settings.image_size)
        return load_idx(found, files, expected_digests(self.settings.digests))

    def key_inputs(self) -> dict[str, object]:
        """Return what the data set depends on, so that a changed file is noticed.

        Files count by their content. Pictures are too many to be read in each run: they count by
        their names, sizes and times.
        """
        versions = {name: library_version(name) for name in ("pillow", "pyarrow")}
        return {"files": self.file_digests(), "libraries": versions}

    def file_digests(self) -> dict[str, str]:
        """Return file name → digest; empty if there is nothing to read, which `load` reports."""
        try:
            files = self.open()
            if isinstance(files, OneFile):
                return files.digests(files.names())
            if not isinstance(files, Folder):
                return Folder(files.path.parent).digests([files.path.name])
            found = find(files, files.names())
            if found is None:
                return {}
            if isinstance(found, PictureSet):
                pictures = {f"{len(found.names):,} pictures": files.listing_digest(found.names)}
                return pictures | files.digests(found.tables)
            return files.digests(found.names)
        except (OSError, PipelineError):
            return {}


def find(files: Files, names: Sequence[str]) -> Found | None:
    """Find a data set among the files of a source; a CSV may hold the labels of pictures.

    Raises:
        PipelineError: several data sets are there, or a table beside pictures is not plain.
    """
    found = find_data_set(names, files.label)
    if found is None or (isinstance(found, TableSet) and found.kind == "CSV"):
        return find_tabled(names, files) or found
    return found


def find_data_set(names: Sequence[str], label: str) -> Found | None:
    """Find a data set among files, in the first form that fits.

    Args:
        names: of all files of the source.
        label: of the source, for the error.

    Raises:
        PipelineError: several data sets are there.
    """
    return (
        find_idx(names, label)
        or find_arrays(names, label)
        or find_tables(names, "Parquet", PARQUET_SUFFIXES, label)
        or find_pictures(names)
        or find_tables(names, "CSV", CSV_SUFFIXES, label)
    )


def refusal(names: Sequence[str], label: str) -> PipelineError:
    """Return the error for files in no form that is read; it says what was found."""
    archives = [name for name in names if name.lower().endswith((*TAR_SUFFIXES, *ZIP_SUFFIXES))]
    advice = f"name the archive: --source {label}/{printable(archives[0])}" if archives else FORMS
    return (
        missing_files(names, label)
        or pictures_without_class(names, label)
        or PipelineError(
            f"--source {label}: no data set; {describe_found([*map(printable, names)])}; {advice}"
        )
    )


def check_mnist(contents: Contents) -> None:
    """Refuse files that are MNIST's in part: the others are probably damaged.

    Args:
        contents: the four files.

    Raises:
        PipelineError: some, but not all, have MNIST's digests.
    """
    other = [
        file.name
        for file in MNIST
        if hashlib.sha256(contents[file.name]).hexdigest() != file.sha256
    ]
    if other and len(other) < len(IDX_FILES):
        raise PipelineError(
            f"{', '.join(other)}: not MNIST's, but the other files are; get"
            f" {'it' if len(other) == 1 else 'them'} again, or take the files as they are with"
            " --digests none"
        )
