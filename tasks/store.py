"""The artifact root: where files lie, how they get there, and whether they are whole.

No other module knows the layout:

    <stage>/<first 12 of key>/   what a stage run left behind; moved there in one step
    <stage>/.<…>.tmp/            outputs being written; swept by the next run if orphaned
    <stage>/.<…>.partial/        what a run that died leaves for the next to go on from
    records/<stage>-<key>.json   what was run and what came out; written last
    locks/                       one lock file per stage run; held only while one runs
    latest -> runs/<…>           what the last run used, and its report
    studies/<name>/              the page of a study; see study/publish.py
    champion/                    see champion/registry.py
"""

import contextlib
import errno
import functools
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from tasks.errors import PipelineError

PROJECT = Path(__file__).resolve().parents[1]
"""The folder of this project, if it is installed from one."""

DISK_ERRORS = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "raise the quota or free some space",
    errno.EFBIG: "raise the file-size limit",
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "choose a folder that can be written",
    errno.EPERM: "choose a folder that can be written",
    errno.ENOTDIR: "choose a folder that can be written",
    errno.ELOOP: "remove the symbolic link that leads back to itself",
}


class FileRef(BaseModel):
    """A file below the artifact root, and what it must hold."""

    model_config = ConfigDict(frozen=True)

    path: str
    """Relative to the artifact root, with forward slashes."""
    sha256: str
    size: int
    """Bytes."""

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


class Record(BaseModel):
    """Base of what stages hand to each other: facts and `FileRef`s, no arrays."""

    model_config = ConfigDict(frozen=True)


def json_sha256(value: object) -> str:
    """Digest of a value's JSON form, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


class StageRecord(BaseModel):
    """The file `records/<stage>-<key>.json`: one finished stage run."""

    model_config = ConfigDict(frozen=True)

    stage: str
    label: str
    """What the run was called, e.g. train-100."""
    key: str
    material: dict[str, Any]
    """What the key is the digest of."""
    reason: str
    """Why it ran."""
    seconds: float
    output: dict[str, Any]
    """The stage's own record."""
    output_sha256: str
    """Digest of the output, made with the record: one that was changed since is not used."""

    @model_validator(mode="before")
    @classmethod
    def seal(cls, values: Any) -> Any:
        if isinstance(values, dict) and "output" in values:
            values = {"output_sha256": json_sha256(values["output"]), **values}
        return values

    @model_validator(mode="after")
    def intact(self) -> Self:
        if self.output_sha256 != json_sha256(self.output):
            raise ValueError("the output was changed")
        return self


def file_refs(value: object) -> Iterator[FileRef]:
    """Every `FileRef` in a record, or in a record's JSON form."""
    if isinstance(value, FileRef):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from file_refs(getattr(value, name))
    elif isinstance(value, dict):
        if value.keys() == FileRef.model_fields.keys():
            yield FileRef.model_validate(value)
        else:
            for item in value.values():
                yield from file_refs(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from file_refs(item)


def sha256(path: Path) -> str:
    """Digest of a file, remembered for as long as the file's identity stays the same.

    The time of modification can be set by anyone, and a clock can be set back; the time of
    the last change of the inode only by the system.
    """
    status = path.stat()
    return _sha256(path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@functools.lru_cache(maxsize=4096)
def _sha256(path: Path, inode: int, size: int, mtime_ns: int, ctime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def disk_errors(
    what: str, where: Path, instead: str = "name another folder with --artifacts"
) -> Iterator[None]:
    """Turn an error of the disk or its permissions into one that a user can act on."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        reason = os.strerror(error.errno).lower()
        raise PipelineError(
            f"{what}: cannot write to {error.filename or where}: {reason};"
            f" {DISK_ERRORS[error.errno]}, or {instead}"
        ) from error


def default_root() -> Path:
    """`artifacts/` beside the project; in the current directory if installed without one."""
    home = PROJECT if (PROJECT / "pyproject.toml").is_file() else Path.cwd()
    return home / "artifacts"


@dataclass(frozen=True)
class Workspace:
    """What one run of a stage sees of the store: its inputs, and a place for its outputs."""

    store: "Store"
    folder: Path
    """Outputs are written here; moved to their place when the stage returns."""
    scratch: Path
    """Survives a run that dies, so that the next one with the same key can go on from
    what is in it; removed when the stage is done. Made by who needs it."""
    destination: str
    """Where the folder will be, relative to the artifact root."""

    def input(self, file: FileRef) -> Path:
        """Path of an input file."""
        return self.store.path(file)

    def output(self, name: str) -> Path:
        """Path to write an output file to."""
        return self.folder / name

    def finished(self, name: str) -> FileRef:
        """The reference of an output that has been written."""
        path = self.output(name)
        return FileRef(
            path=f"{self.destination}/{name}", sha256=sha256(path), size=path.stat().st_size
        )


@dataclass(frozen=True)
class Store:
    """The artifact root."""

    root: Path

    @property
    def records(self) -> Path:
        return self.root / "records"

    @property
    def latest(self) -> Path:
        return self.root / "latest"

    @property
    def studies(self) -> Path:
        return self.root / "studies"

    def prepare(self) -> None:
        """Make the root, and clear away what killed runs left half-written.

        Raises:
            PipelineError: the root cannot be made or written to.
        """
        with disk_errors("artifacts", self.root):
            for folder in (self.root, self.records, self.root / "locks"):
                folder.mkdir(parents=True, exist_ok=True)
            with self.lock("prepare").acquire():
                (self.root / ".probe").write_bytes(b"")
                (self.root / ".probe").unlink()
        for leftover in [*self.root.glob("*/.*.tmp"), *self.root.glob("*/.*.old")]:
            self.remove_if_free(leftover)

    def unfinished(self) -> list[Path]:
        """What runs that died have left for the next one with the same key."""
        return sorted(self.root.glob("*/.*.partial"))

    def remove_if_free(self, leftover: Path) -> bool:
        """Remove a hidden folder of a stage run, unless the run is going on.

        Returns:
            Whether it was removed.
        """
        with self.if_free(f"{leftover.parent.name}-{leftover.name.split('.')[1]}") as free:
            if free:
                shutil.rmtree(leftover, ignore_errors=True)
        return free

    def path(self, file: FileRef) -> Path:
        return self.root / file.path

    def fault(self, file: FileRef) -> str | None:
        """What is wrong with a file, or None if it is there and whole."""
        path = self.path(file)
        try:
            if not path.is_file():
                return f"output missing: {file.name}"
            if path.stat().st_size != file.size or sha256(path) != file.sha256:
                return f"output damaged: {file.name}"
        except OSError as error:
            return f"output unreadable: {file.name} ({error.strerror})"
        return None

    def lock(self, name: str) -> FileLock:
        """A lock between processes, dropped by the operating system with its owner."""
        return FileLock(self.root / "locks" / f"{name}.lock", thread_local=False)

    @contextmanager
    def if_free(self, name: str) -> Iterator[bool]:
        """Hold a lock if nobody else does; yields whether it is held."""
        try:
            lock = self.lock(name).acquire(timeout=0)
        except Timeout:
            yield False
            return
        with lock:
            yield True

    def read_record(self, name: str) -> StageRecord:
        """A stage record.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is not a stage record, or not the one that its name says.
        """
        try:
            content = (self.records / name).read_bytes()
            record = StageRecord.model_validate_json(content)
        except ValidationError as error:
            raise ValueError(f"record unreadable: {name}") from error
        if f"{record.stage}-{record.key}.json" != name:
            raise ValueError(f"record of another run: {name}")
        return record

    def remove_link(self, name: str) -> None:
        """Remove a record that is a symbolic link: it was none of ours, and may lead anywhere."""
        if (self.records / name).is_symlink():
            (self.records / name).unlink()

    def record_path(self, record: StageRecord) -> Path:
        return self.records / f"{record.stage}-{record.key}.json"

    def all_records(self) -> list[StageRecord]:
        """Every readable record."""
        found = []
        for path in self.records.glob("*.json"):
            try:
                found.append(self.read_record(path.name))
            except (ValueError, OSError):
                continue  # as good as none
        return found

    def mark_used(self, name: str) -> None:
        """Note that a record was used just now: what is not used for long may be removed."""
        with contextlib.suppress(OSError):
            os.utime(self.records / name)

    @contextmanager
    def workspace(self, stage: str, key: str) -> Iterator[Workspace]:
        """A folder for the outputs of one stage run, moved to its place at the end.

        The caller holds the lock of this key. On an error nothing is left behind but
        what the stage put into its scratch folder, and what stood there stays.
        """
        short = key[:12]
        final = self.root / stage / short
        temporary = final.with_name(f".{short}.tmp")
        scratch = final.with_name(f".{short}.partial")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield Workspace(self, temporary, scratch, f"{stage}/{short}")
            replace_folder(temporary, final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            if scratch.is_dir() and not any(scratch.iterdir()):
                scratch.rmdir()
        shutil.rmtree(scratch, ignore_errors=True)

    def replace_latest(self, fill: Callable[[Path], None]) -> Path:
        """Point `latest` at a new folder, in one step.

        Args:
            fill: writes everything into the folder that it is given.

        Returns:
            The path of `latest`.
        """
        runs = self.root / "runs"
        with disk_errors("report", self.root), self.lock("latest").acquire():
            before = {p.name for p in runs.iterdir()} if runs.is_dir() else set()
            number = max((int(n) for n in before if n.isdigit()), default=0) + 1
            folder = runs / f"{number:06}"
            folder.mkdir(parents=True)
            try:
                fill(folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            link = self.root / ".latest.tmp"
            link.unlink(missing_ok=True)
            link.symlink_to(folder.relative_to(self.root), target_is_directory=True)
            link.replace(self.latest)
            for name in before:
                shutil.rmtree(runs / name, ignore_errors=True)
        return self.latest

    def replace_study(self, name: str, fill: Callable[[Path], None]) -> Path:
        """Put a new folder in the place of a study's, in one step.

        Args:
            name: of the study.
            fill: writes everything into the folder that it is given.

        Returns:
            The folder's place.
        """
        place = self.studies / name
        temporary = place.with_name(f".{name}.tmp")
        with disk_errors("study", self.studies), self.lock(f"studies-{name}").acquire():
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            fill(temporary)
            replace_folder(temporary, place)
        return place


def replace_folder(new: Path, place: Path) -> None:
    """Move a folder to its place; what stood there is gone only once it is there."""
    old = place.with_name(f".{place.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)
