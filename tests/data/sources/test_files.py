"""Folders and archives: what is listed, what is refused, and nothing unpacked to the disk."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.data_sets import WRITERS, write_tar, write_tree, write_zip

from tasks.data.sources import files as module
from tasks.data.sources.files import Files, Folder, open_files
from tasks.runtime.errors import PipelineError

CONTENT = {"a/1.txt": b"one", "a/b/2.txt": b"two", "3.txt": b"three"}
HIDDEN = {".x": b"", "a/.y/z.txt": b"", "__MACOSX/a": b"", "a/Thumbs.db": b""}


def opened(path: Path) -> Files:
    """Return the files at a path that is there."""
    found = open_files(path)
    assert found is not None
    return found


def everything(path: Path) -> dict[str, bytes]:
    """Return all contents at a path."""
    files = opened(path)
    return dict(files.read(files.names()))


@pytest.mark.parametrize("container", WRITERS)
def test_all_files_but_hidden_ones(tmp_path: Path, container: str) -> None:
    path = WRITERS[container](tmp_path / container, CONTENT | HIDDEN)
    before = sorted(tmp_path.rglob("*"))
    assert everything(path) == CONTENT
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("container", WRITERS)
def test_a_path_inside_chooses_some(tmp_path: Path, container: str) -> None:
    path = WRITERS[container](tmp_path / container, CONTENT)
    assert everything(path / "a") in (
        {"1.txt": b"one", "b/2.txt": b"two"},
        {name: data for name, data in CONTENT.items() if name.startswith("a/")},
    )


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_tar_of_any_compression(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    content = gzip.decompress(write_tar(tmp_path / "x", CONTENT).read_bytes())
    path = tmp_path / "any-name"
    path.write_bytes(compress(content))
    assert everything(path) == CONTENT


def test_nothing_there(tmp_path: Path) -> None:
    assert open_files(tmp_path / "nowhere") is None
    assert open_files(tmp_path / "no" / "where") is None


@pytest.mark.parametrize("container", ["set.zip", "set.tar.gz"])
def test_a_damaged_archive_is_named(tmp_path: Path, container: str) -> None:
    path = WRITERS[container](tmp_path / container, {"1": os.urandom(5000), "2": b"x"})
    data = bytearray(path.read_bytes())
    data[2000:2010] = bytes(10)
    path.write_bytes(data)
    with pytest.raises(PipelineError, match=f"{container}.*: damaged archive") as caught:
        everything(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["set.zip", "set.npz"])
def test_a_zip_archive_damaged_at_its_start_is_named(tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path / name, {"1": b"x"})
    path.write_bytes(b"?" + path.read_bytes()[1:-10])
    with pytest.raises(PipelineError, match=rf"{name}: damaged archive \(File is not a zip file\)"):
        everything(path)


def test_a_tar_archive_damaged_at_its_start_is_named(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "set.tgz", {"1": os.urandom(5000)})
    path.write_bytes(path.read_bytes()[:15] + b"\xff" * 20)
    with pytest.raises(PipelineError, match=r"set\.tgz: damaged archive"):
        everything(path)


def test_a_truncated_tar_archive_is_named(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "set.tar.gz", {"1": os.urandom(5000)})
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(PipelineError, match=r"set\.tar\.gz: damaged archive"):
        everything(path)


def test_members_without_a_name_are_left_out(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", {"?": b"x", "1": b"y", "folder/": b""})
    path.write_bytes(path.read_bytes().replace(b"?", b"\0"))
    assert everything(path) == {"1": b"y"}


def test_an_encrypted_member_is_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", {"1.txt": b"secret"})
    data = path.read_bytes()
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # local and central header
        place = data.index(mark) + flags
        data = data[:place] + b"\x01" + data[place + 1 :]
    path.write_bytes(data)
    with pytest.raises(PipelineError, match=r"set\.zip: 1\.txt: encrypted"):
        everything(path)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that tests reach with small files."""
    monkeypatch.setattr(module, "MOST_UNPACKED", 2**20)
    monkeypatch.setattr(module, "MAX_BYTES", 2**18)
    monkeypatch.setattr(module, "MOST_FILES", 20)


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("container", WRITERS)
@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"1": bytes(2**18 + 1)}, "too large, 262,145 bytes"),
        ({str(n): b"" for n in range(21)}, "more than 20 files"),
    ],
)
def test_too_much_is_refused(
    tmp_path: Path, container: str, files: dict[str, bytes], problem: str
) -> None:
    path = WRITERS[container](tmp_path / container, files)
    with pytest.raises(PipelineError, match=problem):
        everything(path)


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("container", ["set.zip", "set.tar.gz"])
def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, container: str) -> None:
    path = WRITERS[container](tmp_path / container, {str(n): bytes(2**18) for n in range(5)})
    assert path.stat().st_size < 10_000
    with pytest.raises(PipelineError, match="more than 1,048,576 bytes when unpacked"):
        opened(path).names()


def test_a_zip_member_larger_than_declared_is_not_unpacked(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zip", {"1": bytes(2**20)})
    declared = (2**20).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(declared, (10).to_bytes(4, "little")))
    with pytest.raises(PipelineError, match="damaged archive"):
        everything(path)


def test_links_and_devices_of_a_tar_archive_are_no_files(tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            member = tarfile.TarInfo(f"special{kind!r}")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        member = tarfile.TarInfo("../../up.txt")
        member.size = 2
        archive.addfile(member, io.BytesIO(b"up"))
    assert everything(path) in ({}, {"../../up.txt": b"up"})
    assert not (tmp_path.parent / "up.txt").exists()


def test_a_zip_inside_a_zip_is_a_file_like_others(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("x", b"x")
    path = write_zip(tmp_path / "set.zip", {"inner.zip": inner.getvalue()})
    assert opened(path).names() == ["inner.zip"]


def test_listing_digest_changes_with_every_changed_file(tmp_path: Path) -> None:
    folder = Folder(write_tree(tmp_path / "set", CONTENT))
    path = tmp_path / "set" / "3.txt"
    first = folder.listing_digest(folder.names())
    assert folder.listing_digest(folder.names()) == first
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_bytes(b"THREE")
    os.utime(path, ns=times)  # the same size and time of modification
    assert folder.listing_digest(folder.names()) != first


def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    folder = write_tree(tmp_path / "set", CONTENT)
    folder.chmod(0)
    with pytest.raises(PipelineError, match=r"cannot read .*: permission denied"):
        opened(folder).names()
