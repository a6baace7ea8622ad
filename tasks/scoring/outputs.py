"""Checks of the files that scoring writes: nothing but its own earlier output is replaced."""

import stat
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.decode import SUFFIXES, open_regular, printable
from tasks.runtime.errors import PipelineError
from tasks.scoring.contact_sheet import is_contact_sheet
from tasks.scoring.tables import is_predictions_schema


def check_output(out: Path, paths: list[str]) -> None:
    """Refuse a predictions file that would lose something of the user's.

    Args:
        out: the file that is to be written.
        paths: inputs.

    Raises:
        PipelineError: it is a folder, a device, one of the inputs, or a file that is not a
            predictions file.
    """
    check_replaceable(out, paths, "--out", "a predictions file", is_predictions_file)


def check_sheet(sheet: Path, paths: list[str]) -> None:
    """Refuse a contact sheet that would lose something of the user's; see `check_output`."""
    if sheet.suffix.lower() != ".png":
        raise PipelineError(f"--contact-sheet {printable(sheet)}: should end in .png")
    check_replaceable(sheet, paths, "--contact-sheet", "a contact sheet", is_sheet_file)


def check_replaceable(
    file: Path, paths: list[str], option: str, kind: str, is_own: Callable[[Path], bool]
) -> None:
    """Refuse an output that would lose something of the user's.

    Args:
        file: that is to be written.
        paths: inputs.
        option: that names it.
        kind: of file that may be replaced.
        is_own: tells whether a file is of that kind.

    Raises:
        PipelineError: it would.
    """
    name, advice = printable(file), f"name another file with {option}"
    try:
        info = file.stat()
    except FileNotFoundError:
        if file.is_symlink():
            raise PipelineError(f"{name}: a symbolic link to nothing; {advice}") from None
        return
    except OSError as error:
        raise PipelineError(
            f"{name}: {(error.strerror or 'unreadable').lower()}; {advice}"
        ) from error
    if stat.S_ISDIR(info.st_mode):
        raise PipelineError(f"{name}: a folder, not a file; {advice}")
    if file.is_symlink() or not stat.S_ISREG(info.st_mode):
        raise PipelineError(f"{name}: not a regular file; {advice}")
    if is_own(file) and not any(is_same(path, file) for path in paths):
        return
    if any(is_same(path, file) or is_in_folder(file, Path(path)) for path in paths):
        raise PipelineError(f"{name}: is one of the inputs and would be lost; {advice}")
    raise PipelineError(
        f"{name}: exists, is not {kind}, and would be lost ({info.st_size:,} bytes); {advice}"
    )


def is_same(path: str, file: Path) -> bool:
    """Tell whether two paths are of one file."""
    try:
        return Path(path).samefile(file)
    except (OSError, ValueError):
        return False


def is_in_folder(file: Path, folder: Path) -> bool:
    """Tell whether a file is one of the pictures that a folder stands for."""
    inside = folder.is_dir() and file.resolve().is_relative_to(folder.resolve())
    return inside and file.suffix.lower() in SUFFIXES


def is_predictions_file(path: Path) -> bool:
    """Tell whether a file is an earlier output of `score_files`."""
    try:
        return is_predictions_schema(pq.read_schema(path))
    except (pa.ArrowException, OSError, ValueError):
        return False


def is_sheet_file(path: Path) -> bool:
    """Tell whether a file is an earlier contact sheet."""
    with open_regular(path) as file:
        return is_contact_sheet(file.read(200))
