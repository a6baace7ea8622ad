"""The artifact root: where files lie, how they get there, and whether they are intact.

The names below the root are in layout.py. A root may also be on S3 (see remote.py). Then the folder
is a working copy of this machine, and the bucket holds the results under the same names: outputs
are uploaded when a stage is done, its record after them; inputs are fetched when they are read.
Locks are those of one machine: two machines that compute the same result write the same bytes
twice. A bucket has no symbolic links: `latest/` holds the page and metrics.json, and files.json
says where everything else is.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from tasks.engine import layout
from tasks.engine.digests import sha256
from tasks.engine.models import FileRef, StageRecord
from tasks.engine.remote import Remote
from tasks.runtime.console import log
from tasks.runtime.errors import PipelineError, without_secrets

PROJECT = Path(__file__).resolve().parents[2]
"""The folder of this project, if it is installed from one."""

SECONDS_PER_DAY = 86_400

DISK_ERRORS = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "raise the quota or free some space",
    errno.EFBIG: "raise the file-size limit",
    errno.ELOOP: "remove the symbolic link that leads back to itself",
    errno.ENAMETOOLONG: "choose a folder with a shorter path",
    errno.EIO: "check the disk",
    errno.ESTALE: "mount the network drive again",
    **dict.fromkeys(
        (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK),
        "choose a folder on a file system with locks and symbolic links",
    ),
}
"""What to do about an error of the disk; for all others, a folder that can be written."""


@contextmanager
def disk_errors(
    what: str, where: Path, instead: str = "name another folder with --artifacts"
) -> Iterator[None]:
    """Turn an error of the disk or its permissions into one that a user can act on."""
    try:
        yield
    except OSError as error:
        if error.errno in (None, errno.ENOENT):  # a missing file is a fault of the code
            raise
        remedy = DISK_ERRORS.get(error.errno, "choose a folder that can be written")
        raise PipelineError(
            f"{what}: cannot write to {error.filename or where}:"
            f" {os.strerror(error.errno).lower()}; {remedy}, or {instead}"
        ) from error


def default_root() -> Path:
    """Return `artifacts/` beside the project, or in the current folder if installed elsewhere."""
    home = PROJECT if (PROJECT / "pyproject.toml").is_file() else Path.cwd()
    return home / "artifacts"


def open_store(artifacts: str | Path | None = None) -> "Store":
    """Return the artifact root at a folder or URL.

    Args:
        artifacts: folder (`~` stands for the home folder) or URL; None: the project's own.

    Raises:
        PipelineError: the URL is not one of S3.
    """
    address = str(artifacts or default_root()).removeprefix("file://")
    if not re.match(r"s3a?:|\w+://", address):
        return Store(Path(address).expanduser())
    url = address.rstrip("/")
    if "@" in url:  # whatever stands before it may be a secret
        raise PipelineError(
            "--artifacts: the address of a bucket holds no key or password; name it s3://bucket/folder"
            " and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if not re.fullmatch(r"s3a?://[^/:]+(/.*)?", url):
        raise PipelineError(
            f"--artifacts {url}: results are kept in a folder, or on S3 as in s3://bucket/folder"
        )
    return Store(working_copy(url), Remote(url))


def working_copy(url: str) -> Path:
    """Return this machine's folder for the files of a URL; deleting it is safe."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    digest = hashlib.sha256(url.encode()).hexdigest()
    return Path(caches) / "mnist-pipeline" / layout.short_key(digest)


@dataclass(frozen=True)
class Workspace:
    """The inputs of one stage run, and a place for its outputs."""

    store: "Store"
    folder: Path
    """Outputs are written here; moved to their place when the stage returns."""
    scratch: Path
    """Folder that outlives an interrupted run, so that the next one with the same key can resume
    from it; removed when the stage is done. The stage creates it if it needs one."""
    destination: str
    """Final place of the folder, relative to the artifact root."""

    def input(self, file: FileRef) -> Path:
        """Return the path of an input file."""
        return self.store.path(file)

    def output(self, name: str) -> Path:
        """Return the path for an output file."""
        return self.folder / name

    def finished(self, name: str) -> FileRef:
        """Return the reference of an output that has been written."""
        path = self.output(name)
        return FileRef(
            path=f"{self.destination}/{name}", sha256=sha256(path), size=path.stat().st_size
        )


@dataclass(frozen=True)
class Store:
    """The artifact root."""

    root: Path
    """Local folder; with a `remote`, a working copy."""
    remote: Remote | None = None
    """The URL that holds the results, if not the folder itself."""

    def __reduce__(self) -> "tuple[Callable[..., Store], tuple[str]]":
        # Another machine opens the same address; its working copy may lie elsewhere.
        return open_store, (self.remote.url if self.remote else str(self.root.absolute()),)

    @property
    def address(self) -> str:
        """The root as `--artifacts` names it, without passwords."""
        return without_secrets(self.remote.url) if self.remote else str(self.root)

    @property
    def records(self) -> Path:
        """Folder of the cache entries."""
        return self.root / layout.RECORDS

    @property
    def latest(self) -> Path:
        """Link to the files of the last run."""
        return self.root / layout.LATEST

    def has_latest(self) -> bool:
        """Return whether a run has written a report."""
        if self.remote:
            return bool(self.remote.listing("latest/report"))
        return self.latest.exists()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Prepare the root, and keep `cache prune` from it for the time of the block."""
        self.prepare()
        name = layout.run_lock_name(uuid.uuid4().hex)
        try:
            with self.lock(name).acquire():
                yield
        finally:
            self.lock_file(name).unlink(missing_ok=True)

    def is_in_use(self) -> bool:
        """Return whether a run of this machine uses the root now."""
        for path in (self.root / layout.LOCKS).glob(self.lock_file(layout.run_lock_name("*")).name):
            try:
                with FileLock(path).acquire(timeout=0):
                    path.unlink(missing_ok=True)
            except Timeout:
                return True
        return False

    def prepare(self) -> None:
        """Create the root, and remove unfinished outputs of killed runs.

        Raises:
            PipelineError: the root cannot be created, reached or written to, or the folder holds
                something else.
        """
        with disk_errors("artifacts", self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            self.mark()
            for name in (layout.RECORDS, layout.LOCKS):
                self.inside(name).mkdir(exist_ok=True)
            with self.lock("prepare").acquire():
                check_symbolic_links(self.root)
        if self.remote:
            self.remote.write(".probe", b"")
            self.remote.remove(".probe")
        self.remove_leftovers()

    def remove_leftovers(self) -> None:
        """Remove what killed runs left behind: unfinished outputs, records and scratch files.

        A scratch folder is left over if there is a newer cache entry of the same stage run.
        """
        for scratch in self.unfinished():
            entries = f"{scratch.parent.name}-{layout.visible_name(scratch.name)}*.json"
            if any(modified(entry) >= modified(scratch) for entry in self.records.glob(entries)):
                self.remove_if_free(scratch)
        for folder in self.hidden_folders(layout.TEMPORARY):
            self.remove_if_free(folder)
        for path in self.records.glob(".*"):
            if record := layout.unfinished_record(path.name):
                with self.if_free(layout.record_lock_name(record)) as free:
                    if free:
                        path.unlink(missing_ok=True)

    def mark(self) -> None:
        """Put a marker into a new root; nothing is deleted in a folder without one.

        Raises:
            PipelineError: the folder is not empty and no artifact root.
        """
        if self.remote:
            entries = {name.rstrip("/") for name in self.remote.names()}
            needed = {layout.RECORDS}
        else:
            entries = {entry.name for entry in self.root.iterdir()}
            needed = {layout.RECORDS, layout.LOCKS}
        if layout.MARKER in entries:
            return
        if entries and not entries >= needed:
            raise PipelineError(
                f"--artifacts {self.address}: the folder is not empty and holds no results of this"
                " pipeline; name a new or empty folder"
            )
        if self.remote:
            self.remote.write(layout.MARKER, layout.MARKER_TEXT.encode())
        else:
            (self.root / layout.MARKER).write_text(layout.MARKER_TEXT, encoding="utf-8")

    def inside(self, name: str) -> Path:
        """Return the path of a name below the root.

        Raises:
            PipelineError: a symbolic link on the way may lead out of the root.
        """
        path = self.root
        for part in Path(name).parts:
            path = path / part
            if path.is_symlink():
                raise PipelineError(
                    f"{path}: a symbolic link, which is not followed; replace it by a real folder"
                    " or file"
                )
        return path

    def hidden_folders(self, kinds: tuple[str, ...]) -> list[Path]:
        """Return the hidden folders of stage runs, by their suffixes; links are left out."""
        return sorted(
            path
            for path in self.root.glob("*/.*")
            if layout.is_hidden_name(path.name, kinds)
            and path.is_dir()
            and not path.is_symlink()
            and not path.parent.is_symlink()
        )

    def unfinished(self) -> list[Path]:
        """Return the scratch folders of interrupted runs."""
        return self.hidden_folders(layout.PARTIAL)

    def remove_if_free(self, leftover: Path) -> bool:
        """Remove a hidden folder of a stage run, unless the run is going on.

        Returns:
            Whether it was removed.
        """
        name = layout.lock_name(leftover.parent.name, layout.visible_name(leftover.name))
        with self.if_free(name) as free:
            if free:
                shutil.rmtree(leftover, ignore_errors=True)
        return free

    def place(self, file: FileRef) -> Path:
        """Return the path of a file on this machine, whether it exists or not."""
        return self.inside(file.path)

    def path(self, file: FileRef) -> Path:
        """Return the path of a file, fetched from the URL if necessary.

        Raises:
            PipelineError: the file at the URL is missing or damaged.
        """
        if self.remote and self.local_problem(file):
            self.fetch(file, self.remote)
        return self.place(file)

    def fetch(self, file: FileRef, remote: Remote) -> None:
        """Download a file into the working copy.

        A damaged output of a stage is removed from the URL, so that the next run computes it again.

        Raises:
            PipelineError: the file at the URL is missing or damaged.
        """
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
                if not whole and layout.is_output(file.path):
                    remote.remove(file.path)
                    raise PipelineError(
                        f"{remote.place(file.path)} was damaged and is removed; run it again"
                    )
                if not whole:
                    raise PipelineError(f"{remote.place(file.path)} is damaged")
                fetched.replace(place)

    def problem(self, file: FileRef) -> str | None:
        """Return why a file cannot be used, or None if it is there and intact.

        S3 knows size and digest; a downloaded file is checked once more.
        """
        if not self.remote:
            return self.local_problem(file)
        try:
            head = self.remote.head(file.path)
        except FileNotFoundError:
            return f"output missing: {file.name}"
        if (head.size, head.sha256) != (file.size, file.sha256):
            return f"output damaged: {file.name}"
        return None

    def local_problem(self, file: FileRef) -> str | None:
        """Return why a file on this machine cannot be used, or None if it can."""
        try:
            path = self.place(file)
            if not path.is_file():
                return f"output missing: {file.name}"
            if path.stat().st_size != file.size or sha256(path) != file.sha256:
                return f"output damaged: {file.name}"
        except PipelineError:
            return f"output is a symbolic link: {file.name}"
        except OSError as error:
            return f"output unreadable: {file.name} ({error.strerror})"
        return None

    def lock(self, name: str) -> FileLock:
        """Return a lock of this machine, which ends with its process."""
        return FileLock(self.lock_file(name), thread_local=False)

    def lock_file(self, name: str) -> Path:
        """Return the path of a lock on this machine."""
        return self.root / layout.LOCKS / f"{name}.lock"

    @contextmanager
    def if_free(self, name: str) -> Iterator[bool]:
        """Hold a lock if it is free, and yield whether it is held."""
        try:
            lock = self.lock(name).acquire(timeout=0)
        except Timeout:
            yield False
            return
        with lock:
            yield True

    def read_record(self, name: str) -> StageRecord:
        """Return a cache entry.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is no cache entry, or has another name.
        """
        try:
            content = self.read(f"{layout.RECORDS}/{name}")
            record = StageRecord.model_validate_json(content)
        except ValidationError as error:
            raise ValueError(f"record unreadable: {name}") from error
        if layout.record_name(record.stage, record.key) != name:
            raise ValueError(f"record of another run: {name}")
        return record

    def folders(self, name: str) -> list[str]:
        """Return the names of the folders in a folder, sorted; symbolic links are left out.

        Args:
            name: relative to the root; empty for the root itself.
        """
        if self.remote:
            return [n.rstrip("/") for n in self.remote.names(name) if n.endswith("/")]
        place = self.inside(name)
        found = place.iterdir() if place.is_dir() else iter(())
        return sorted(path.name for path in found if path.is_dir() and not path.is_symlink())

    def read(self, name: str) -> bytes:
        """Return the content of a small file, such as a cache entry.

        Raises:
            FileNotFoundError: there is none.
        """
        return self.remote.read(name) if self.remote else (self.root / name).read_bytes()

    def files(self, folder: str) -> list[str]:
        """Return the names of the files in a folder of the root, sorted."""
        if self.remote:
            return [n for n in self.remote.names(folder) if not n.endswith("/")]
        place = self.inside(folder)
        return sorted(p.name for p in place.iterdir() if p.is_file()) if place.is_dir() else []

    def write(self, name: str, content: bytes) -> None:
        """Replace a small file, such as a run's numbers.

        Args:
            name: relative to the root, with a folder.
            content: of the file.

        Raises:
            PipelineError: the disk fails.
        """
        folder, _, file = name.rpartition("/")
        with disk_errors("file", self.root / folder):
            self.inside(folder).mkdir(parents=True, exist_ok=True)
            replace_file(self.inside(folder), file, content)
        if self.remote:
            self.remote.write(name, content)

    def write_record(self, name: str, content: bytes) -> None:
        """Write a cache entry, after all files that it names.

        Only then is the scratch folder removed: without the entry, the next run computes the
        stage again and resumes from there.

        Raises:
            PipelineError: the disk fails.
        """
        with disk_errors("cache entry", self.records):
            replace_file(self.inside(layout.RECORDS), name, content)
        if self.remote:
            self.remote.write(f"{layout.RECORDS}/{name}", content)
        shutil.rmtree(self.inside(layout.scratch_folder(name)), ignore_errors=True)

    def fetch_records(self, remote: Remote, stage: str, newest: int | None) -> None:
        """Copy the URL's cache entries and their times to the working copy."""
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

    def record_path(self, record: StageRecord) -> Path:
        """Return the path of a cache entry."""
        return self.records / layout.record_name(record.stage, record.key)

    def all_records(self, stage: str = "", newest: int | None = None) -> list[StageRecord]:
        """Return every readable cache entry.

        Args:
            stage: only those of this stage.
            newest: maximum number, those used last.
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
                continue  # an unreadable entry counts as missing
        return found

    def mark_used(self, name: str) -> None:
        """Record the time of use, which `cache prune` looks at; at a URL, to the day."""
        with contextlib.suppress(OSError):
            if not self.remote:
                os.utime(self.records / name)
                return
            place = f"{layout.RECORDS}/{name}"
            if time.time() - self.remote.head(place).modified > SECONDS_PER_DAY:
                self.remote.write(place, self.remote.read(place))

    def remove_run(self, record: StageRecord) -> None:
        """Remove a stage run, its cache entry first; the lock file stays for waiting runs."""
        name, folder = self.record_path(record).name, layout.stage_folder(record.stage, record.key)
        if self.remote:
            self.remote.remove(f"{layout.RECORDS}/{name}")
            self.remote.remove_folder(folder)
        self.record_path(record).unlink(missing_ok=True)
        shutil.rmtree(self.root / folder, ignore_errors=True)

    @contextmanager
    def workspace(self, stage: str, key: str) -> Iterator[Workspace]:
        """Yield a workspace whose outputs are moved to their place at the end.

        The caller holds the lock of this key. After an error, earlier outputs stay. The scratch
        folder remains until `write_record`.
        """
        destination = layout.stage_folder(stage, key)
        final = self.inside(destination)
        temporary = final.with_name(layout.temporary_name(final.name))
        scratch = final.with_name(layout.partial_name(final.name))
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        if scratch.is_symlink():
            raise PipelineError(f"{scratch}: a symbolic link, which is not followed; remove it")
        try:
            yield Workspace(self, temporary, scratch, destination)
            replace_folder(temporary, final)
            if self.remote:
                upload_folder(final, destination, self.remote)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            if scratch.is_dir() and not any(scratch.iterdir()):
                scratch.rmdir()

    def replace_latest(self, fill: Callable[[Path], None]) -> str:
        """Point `latest` at a new folder, in one step.

        Args:
            fill: writes all files into a given folder.

        Returns:
            The address of `latest`.
        """
        with disk_errors("report", self.root), self.lock("latest").acquire():
            runs = self.inside(layout.RUNS)
            runs.mkdir(exist_ok=True)
            before = self.latest.readlink() if self.latest.is_symlink() else None
            used = (
                int(found[0]) for p in runs.iterdir() if (found := re.fullmatch(r"\d{6}", p.name))
            )
            folder = runs / layout.run_name(max(used, default=0) + 1)
            folder.mkdir(parents=True)
            try:
                fill(folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            link = self.root / layout.temporary_name(layout.LATEST)
            link.unlink(missing_ok=True)
            link.symlink_to(folder.relative_to(self.root), target_is_directory=True)
            move_aside(self.latest)
            link.replace(self.latest)
            if before and layout.is_run_folder(before.as_posix()):  # nobody else's folder
                shutil.rmtree(self.root / before, ignore_errors=True)
            if self.remote:
                upload_latest(folder, self.root, self.remote)
        return f"{self.address}/{layout.LATEST}"

    def write_study(self, name: str, content: bytes) -> str:
        """Replace a file in the folder of studies, and return its address."""
        with disk_errors("study", self.root / layout.STUDIES):
            replace_file(self.inside(layout.STUDIES), name, content)
        if self.remote:
            self.remote.write(f"{layout.STUDIES}/{name}", content)
        return f"{self.address}/{layout.STUDIES}/{name}"


def modified(path: Path) -> float:
    """Return when a file was last written, in seconds since 1970; 0 if it is missing."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def check_symbolic_links(folder: Path) -> None:
    """Check that the file system has symbolic links, which `latest` needs.

    Raises:
        OSError: it has none, or the folder cannot be written to.
    """
    probe = folder / layout.temporary_name("probe")
    probe.unlink(missing_ok=True)
    probe.symlink_to(layout.MARKER)
    probe.unlink()


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Write a file in one step; a symbolic link of that name is replaced, not followed."""
    folder.mkdir(exist_ok=True)
    temporary = folder / layout.temporary_name(f"{name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
        temporary.replace(folder / name)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def move_aside(path: Path) -> None:
    """Rename a real folder that stands where a link belongs, such as a copied `latest`."""
    if path.is_symlink() or not path.exists():
        return
    numbers = (number for number in range(1, 1_000_000))
    aside = next(name for n in numbers if not (name := path.with_name(f"{path.name}.{n}")).exists())
    path.rename(aside)
    log.warning(f"{path} was a folder, not a link; it is now {aside.name}")


def replace_folder(new: Path, place: Path) -> None:
    """Move a folder to its place; the previous one is removed after that."""
    old = place.with_name(layout.replaced_name(place.name))
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        try:
            place.rename(old)
        except OSError as error:
            if error.errno != errno.EXDEV:  # in a layer of Docker's overlay file system
                raise
            shutil.rmtree(place)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def upload_folder(folder: Path, name: str, remote: Remote) -> None:
    """Upload the files of a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            remote.upload(path, f"{name}/{path.relative_to(folder).as_posix()}", sha256(path))


def upload_latest(folder: Path, root: Path, remote: Remote) -> None:
    """Upload `latest`: its files, and a list of its links' targets.

    The page comes last. Two runs that end at the same moment may mix their files, each intact.
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
