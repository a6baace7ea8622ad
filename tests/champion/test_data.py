"""The data of a challenger and a champion: of the same kind, and what is new in them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import bars

from tasks.champion.data import background_of, change_markdown, check_comparable, differences
from tasks.champion.data import training_data as data_of_run
from tasks.champion.records import Champion, TrainingData
from tasks.champion.registry import Champions
from tasks.data import idx
from tasks.data.convert import convert
from tasks.data.dataset import read_split
from tasks.data.download import download
from tasks.data.sources.mnist import IDX_FILES
from tasks.engine.executors import LocalExecutor
from tasks.engine.store import Store
from tasks.records import Calibration, Shape
from tasks.runtime.errors import PipelineError
from tasks.settings import ConvertSettings, DownloadSettings

from .conftest import Make, facts, split, training_data

Prepare = Callable[..., TrainingData]
DIGIT = np.zeros((1, 9, 7), np.uint8)
DIGIT[:, 2:7, 2:5] = 255


@pytest.mark.parametrize(
    ("light", "expected"), [(0, "dark"), (1, "dark"), (2, "mixed"), (98, "mixed"), (99, "light")]
)
def test_data_set_has_a_background_if_nearly_all_images_have_it(light: int, expected: str) -> None:
    images = np.concatenate([DIGIT] * (100 - light) + [255 - DIGIT] * light)
    assert background_of(images) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"validation": split("new"), "test": split("new")}, []),
        ({"source": "b", "class_names": ("x", "y", "z")}, []),
        ({"background": "mixed"}, []),
        ({"shape": Shape(height=8, width=8, classes=4)}, ["number of classes"]),
        ({"shape": Shape(height=8, width=9, classes=3)}, ["image size"]),
        ({"background": "light"}, ["background"]),
        ({"source": "b", "test": split("new")}, ["source"]),
        ({"test": split("new"), "class_names": ("x", "b", "c")}, ["names of the classes"]),
    ],
)
def test_differences_in_kind(change: dict[str, object], expected: list[str]) -> None:
    assert differences(training_data(), training_data(**change)) == expected


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return bars.write(tmp_path / "source")


@pytest.fixture
def prepare(store: Store, source: Path) -> Prepare:
    """Download and convert the files of a folder."""

    def run(folder: Path = source, validation: int | None = None) -> TrainingData:
        executor = LocalExecutor(store, refresh=frozenset(["download"]))
        settings = DownloadSettings(source=str(folder), digests="none")
        downloaded = executor.call(download, settings)
        splits = executor.call(convert, downloaded.files, ConvertSettings(validation=validation))
        return data_of_run(store, downloaded, splits)

    return run


@pytest.fixture
def champion(
    champions: Champions, make: Make, calibration: Calibration, prepare: Prepare
) -> Champion:
    known = facts().model_copy(update={"data": prepare()})
    return champions.promote(make("model.keras"), calibration, known, "a test", "good", None)


def test_new_images_are_counted(
    store: Store, champion: Champion, prepare: Prepare, source: Path
) -> None:
    assert check_comparable(store, champion, prepare(), new_task=False) is None
    parts = bars.draw(1200, seed=0), bars.draw(400, seed=7)
    for name, arrays in zip(IDX_FILES[:2], zip(*parts, strict=True), strict=True):
        (source / name).write_bytes(idx.dumps(np.concatenate(arrays)))
    data = prepare()
    change = check_comparable(store, champion, data, new_task=False)
    assert change
    assert change.before
    assert change.known == 0, "no earlier image has changed its split"
    train = read_split(store.path(data.splits.train.file)).images
    known = {image.tobytes() for image in parts[0][0]}
    new = sum(image.tobytes() not in known for image in train) / len(train)
    assert change.new == pytest.approx(new)
    markdown = change_markdown(change)
    assert f"{100 * new:.1f}\N{NO-BREAK SPACE}% of the training images are new" in markdown
    assert f"train {change.before.train.rows:,} → {len(train):,}, " in markdown


def test_validation_images_that_the_champion_was_trained_on_are_refused(
    store: Store, champion: Champion, prepare: Prepare
) -> None:
    """`--validation` draws other images."""
    data = prepare(validation=100)
    known = f"champion {champion.id} was trained on [0-9]+ of the 100 validation .*--new-task"
    with pytest.raises(PipelineError, match=known):
        check_comparable(store, champion, data, new_task=False)
    change = check_comparable(store, champion, data, new_task=True)
    assert change
    assert change.known > 1
    assert change.new == 0


def test_data_of_another_kind_are_refused_in_one_line(
    store: Store, champion: Champion, prepare: Prepare, tmp_path: Path
) -> None:
    known, data = champion.facts.data, prepare(bars.write(tmp_path / "others", seed=20))
    with pytest.raises(PipelineError) as caught:
        check_comparable(store, champion, data, new_task=False)
    message = str(caught.value)
    assert f"other data (source): champion: {known}; challenger: {data}; " in message
    assert "--new-task" in message
    assert "\n" not in message
    change = check_comparable(store, champion, data, new_task=True)
    assert change
    assert (change.known, change.new) == (0, 1)
    store.path(known.splits.train.file).unlink()
    change = check_comparable(store, champion, data, new_task=True)
    assert change
    assert change.before is None
    assert "no longer in the artifact root" in change_markdown(change)
