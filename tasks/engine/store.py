"""The artifact root: where files lie, how they get there, and whether they are intact.

The names below the root are in layout.py. A root may also be a URL such as `s3://bucket/mnist`
(see remote.py). Then the folder is a working copy of this machine, and the URL holds the results
under the same names: outputs are uploaded when a stage is done, its record after them; inputs are
fetched when they are read. A URL has no symbolic links: `latest/` holds the page and metrics.json,
and files.json says where everything else is.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from tasks.engine import layout
from tasks.engine.digests import sha256
from tasks.engine.lease import Lease
from tasks.engine.models import FileRef, StageRecord
from tasks.engine.remote import Remote
from tasks.runtime.errors import PipelineError

PROJECT = Path(__file__).resolve().parents[2]
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


def open_store(artifacts: str | Path | None = None) -> "Store":
    """The artifact root at a folder or URL; by default that of this project."""
    address = str(artifacts or default_root())
    if "://" not in address:
        return Store(Path(address))
    url = address.rstrip("/")
    return Store(working_copy(url), Remote(url))


def working_copy(url: str) -> Path:
    """Where this machine works on the files of a URL. Deleting it is safe, and costs downloads."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "mnist-pipeline" / hashlib.sha256(url.encode()).hexdigest()[:12]


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
    """Where files are worked on; without a `remote`, also where they are kept."""
    remote: Remote | None = None
    """Where they are kept, if on another machine."""

    def __reduce__(self) -> "tuple[Callable[..., Store], tuple[str]]":
        # To another machine travels the address: its working copy may lie elsewhere.
        return open_store, (self.address if self.remote else str(self.root.absolute()),)

    @property
    def address(self) -> str:
        """What `--artifacts` calls it."""
        return self.remote.url if self.remote else str(self.root)

    def must_be_local(self, what: str, instead: str) -> None:
        """
        Raises:
            PipelineError: the root is a URL, which will not do for this.
        """
        if self.remote:
            raise PipelineError(
                f"{what} needs a folder, of this machine or shared, not {self.address}; {instead}"
            )

    @property
    def records(self) -> Path:
        return self.root / layout.RECORDS

    @property
    def latest(self) -> Path:
        return self.root / layout.LATEST

    @property
    def studies(self) -> Path:
        return self.root / layout.STUDIES

    def has_latest(self) -> bool:
        """Whether any run has left a report."""
        if self.remote:
            return bool(self.remote.listing("latest/report"))
        return self.latest.exists()

    def prepare(self) -> None:
        """Make the root, and clear away what killed runs left half-written.

        Raises:
            PipelineError: the root cannot be made, reached or written to.
        """
        with disk_errors("artifacts", self.root):
            for folder in (self.root, self.records, self.root / layout.LOCKS):
                folder.mkdir(parents=True, exist_ok=True)
            with self.lock("prepare").acquire():
                (self.root / ".probe").write_bytes(b"")
                (self.root / ".probe").unlink()
        if self.remote:
            self.remote.write(".probe", b"")
            self.remote.remove(".probe")
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
        with self.if_free(
            layout.lock_name(leftover.parent.name, layout.visible_name(leftover.name))
        ) as free:
            if free:
                shutil.rmtree(leftover, ignore_errors=True)
        return free

    def place(self, file: FileRef) -> Path:
        """Where a file is on this machine, if it is."""
        return self.root / file.path

    def path(self, file: FileRef) -> Path:
        """A file to be read; fetched if need be.

        Raises:
            PipelineError: it is not there or damaged, and kept on another machine.
        """
        if self.remote and self.local_problem(file):
            self.fetch(file, self.remote)
        return self.place(file)

    def fetch(self, file: FileRef, remote: Remote) -> None:
        """Bring a file into the working copy. One that is damaged is removed where it is kept, so
        that the next run makes it again."""
        place = self.place(file)
        with disk_errors("working copy", place, "name another cache folder with XDG_CACHE_HOME"):
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.root, prefix=".fetch-") as folder:
                fetched = Path(folder) / file.name
                try:
                    remote.download(file.path, fetched)
                    whole = sha256(fetched) == file.sha256
                except FileNotFoundError as error:
                    raise PipelineError(
                        f"{remote.place(file.path)} has gone during the run; run it again"
                    ) from error
                if not whole:
                    remote.remove(file.path)
                    raise PipelineError(
                        f"{remote.place(file.path)} was damaged and is removed; run it again"
                    )
                fetched.replace(place)

    def problem(self, file: FileRef) -> str | None:
        """What is wrong with a file where it is kept, or None if it is there and whole.

        At a URL this is as far as the file system can tell: S3 knows size and digest, others
        the size alone. What is fetched is checked once more.
        """
        if not self.remote:
            return self.local_problem(file)
        try:
            head = self.remote.head(file.path)
        except FileNotFoundError:
            return f"output missing: {file.name}"
        if head.size != file.size or head.sha256 not in (file.sha256, None):
            return f"output damaged: {file.name}"
        return None

    def local_problem(self, file: FileRef) -> str | None:
        """What is wrong with a file on this machine."""
        path = self.place(file)
        try:
            if not path.is_file():
                return f"output missing: {file.name}"
            if path.stat().st_size != file.size or sha256(path) != file.sha256:
                return f"output damaged: {file.name}"
        except OSError as error:
            return f"output unreadable: {file.name} ({error.strerror})"
        return None

    def lock(self, name: str) -> FileLock | Lease:
        """A lock between processes, dropped by the operating system with its owner; between
        machines, one that expires some seconds after its owner has gone."""
        lock = FileLock(self.root / layout.LOCKS / f"{name}.lock", thread_local=False)
        return Lease(self.remote, f"{layout.LOCKS}/{name}", lock) if self.remote else lock

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
            content = self.read(f"{layout.RECORDS}/{name}")
            record = StageRecord.model_validate_json(content)
        except ValidationError as error:
            raise ValueError(f"record unreadable: {name}") from error
        if layout.record_name(record.stage, record.key) != name:
            raise ValueError(f"record of another run: {name}")
        return record

    def read(self, name: str) -> bytes:
        """What a small file holds, such as a record.

        Raises:
            FileNotFoundError: there is none.
        """
        return self.remote.read(name) if self.remote else (self.root / name).read_bytes()

    def write_record(self, name: str, content: bytes) -> None:
        """Write a record, after all that it names."""
        self.records.mkdir(parents=True, exist_ok=True)
        (self.records / name).write_bytes(content)
        if self.remote:
            self.remote.write(f"{layout.RECORDS}/{name}", content)

    def fetch_records(self, remote: Remote, stage: str, newest: int | None) -> None:
        """Make the working copy's records those of the URL, with their times."""
        self.records.mkdir(parents=True, exist_ok=True)
        there = remote.listing(layout.RECORDS, prefix=stage and f"{stage}-")
        for path in self.records.glob(f"{stage}-*.json" if stage else "*.json"):
            if path.name not in there:
                path.unlink(missing_ok=True)
        last = sorted(there, key=lambda name: there[name].modified, reverse=True)[:newest]
        for name in last:
            path, modified = self.records / name, there[name].modified
            if path.is_file() and path.stat().st_mtime == modified:
                continue
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                path.write_bytes(remote.read(f"{layout.RECORDS}/{name}"))
                os.utime(path, (modified, modified))

    def remove_link(self, name: str) -> None:
        """Remove a record that is a symbolic link: it was none of ours, and may lead anywhere."""
        if (self.records / name).is_symlink():
            (self.records / name).unlink()

    def record_path(self, record: StageRecord) -> Path:
        return self.records / layout.record_name(record.stage, record.key)

    def all_records(self, stage: str = "", newest: int | None = None) -> list[StageRecord]:
        """Every readable record.

        Args:
            stage: only those of this stage.
            newest: only so many, those made or used last.
        """
        if self.remote:
            self.fetch_records(self.remote, stage, newest)
        here = Store(self.root)
        paths = list(self.records.glob(f"{stage}-*.json" if stage else "*.json"))
        if newest is not None and len(paths) > newest:
            paths = sorted(paths, key=modified, reverse=True)[:newest]
        found = []
        for path in paths:
            try:
                found.append(here.read_record(path.name))
            except (ValueError, OSError):
                continue  # as good as none
        return found

    def mark_used(self, name: str) -> None:
        """Note that a record was used just now: what is not used for long may be removed.

        At a URL nothing is noted, and nothing removed.
        """
        if self.remote:
            return
        with contextlib.suppress(OSError):
            os.utime(self.records / name)

    @contextmanager
    def workspace(self, stage: str, key: str) -> Iterator[Workspace]:
        """A folder for the outputs of one stage run, moved to its place at the end.

        The caller holds the lock of this key. On an error nothing is left behind but
        what the stage put into its scratch folder, and what stood there stays.
        """
        destination = layout.stage_folder(stage, key)
        final = self.root / destination
        temporary = final.with_name(layout.temporary_name(final.name))
        scratch = final.with_name(layout.partial_name(final.name))
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield Workspace(self, temporary, scratch, destination)
            replace_folder(temporary, final)
            if self.remote:
                upload_folder(final, destination, self.remote)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            if scratch.is_dir() and not any(scratch.iterdir()):
                scratch.rmdir()
        shutil.rmtree(scratch, ignore_errors=True)

    def replace_latest(self, fill: Callable[[Path], None]) -> str:
        """Point `latest` at a new folder, in one step.

        Args:
            fill: writes everything into the folder that it is given.

        Returns:
            The address of `latest`.
        """
        runs = self.root / layout.RUNS
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
            link = self.root / layout.temporary_name(layout.LATEST)
            link.unlink(missing_ok=True)
            link.symlink_to(folder.relative_to(self.root), target_is_directory=True)
            link.replace(self.latest)
            for name in before:
                shutil.rmtree(runs / name, ignore_errors=True)
            if self.remote:
                upload_latest(folder, self.root, self.remote)
        return f"{self.address}/{layout.LATEST}"

    def replace_study(self, name: str, fill: Callable[[Path], None]) -> str:
        """Put a new folder in the place of a study's, in one step.

        Args:
            name: of the study.
            fill: writes everything into the folder that it is given.

        Returns:
            The folder's address.
        """
        place = self.studies / name
        temporary = place.with_name(layout.temporary_name(name))
        with disk_errors("study", self.studies), self.lock(f"studies-{name}").acquire():
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            fill(temporary)
            replace_folder(temporary, place)
            if self.remote:
                upload_folder(place, f"{layout.STUDIES}/{name}", self.remote)
        return f"{self.address}/{layout.STUDIES}/{name}"

    def write_studies_index(self, page: str) -> None:
        """Replace the page that leads to all studies."""
        name, temporary = "studies/index.html", self.studies / ".index.tmp"
        with disk_errors("study", temporary):
            temporary.write_text(page, encoding="utf-8")
            temporary.replace(self.root / name)
        if self.remote:
            self.remote.write(name, page.encode())


def modified(path: Path) -> float:
    """When a file was last written, in seconds since 1970; 0 if it has gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def replace_folder(new: Path, place: Path) -> None:
    """Move a folder to its place; what stood there is gone only once it is there."""
    old = place.with_name(layout.replaced_name(place.name))
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def upload_folder(folder: Path, name: str, remote: Remote) -> None:
    """Copy a stage's outputs to where they are kept."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            remote.upload(path, f"{name}/{path.relative_to(folder).as_posix()}", sha256(path))


def upload_latest(folder: Path, root: Path, remote: Remote) -> None:
    """Put `latest` to where it is kept: its files, and instead of its links where they lead.

    The page comes last. Two runs that end at the same moment may mix theirs, each file whole.
    """
    where = {
        path.relative_to(folder).as_posix(): os.path.relpath(path.parent / path.readlink(), root)
        for path in sorted(folder.rglob("*"))
        if path.is_symlink()
    }
    remote.write("latest/files.json", json.dumps(where, indent=1).encode())
    for path in sorted(folder.rglob("*"), key=lambda path: path.suffix == ".html"):
        if path.is_file() and not path.is_symlink():
            remote.upload(path, f"latest/{path.relative_to(folder).as_posix()}", sha256(path))
