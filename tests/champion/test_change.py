"""Changed data: which images are new, and which of them a champion was trained on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import bars

from tasks.champion.change import change_markdown, check_validation_is_new, compare_data
from tasks.champion.registry import Champion, Champions
from tasks.data import idx
from tasks.data.convert import convert
from tasks.data.dataset import read_split
from tasks.data.download import download
from tasks.data.sources.mnist import IDX_FILES
from tasks.engine.executors import LocalExecutor
from tasks.engine.models import FileRef
from tasks.engine.store import Store
from tasks.records import Splits
from tasks.runtime.errors import PipelineError
from tasks.settings import ConvertSettings, DownloadSettings
from tasks.words import percent

from .conftest import facts

Make = Callable[..., Splits]


@pytest.fixture
def split(store: Store) -> Make:
    """Download and convert the files of a folder."""

    def make(source: Path, validation: int | None = None) -> Splits:
        executor = LocalExecutor(store, refresh=frozenset(["download"]))
        settings = DownloadSettings(source=str(source), digests="none")
        files = executor.call(download, settings).files
        return executor.call(convert, files, ConvertSettings(validation=validation))

    return make


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return bars.write(tmp_path / "source")


@pytest.fixture
def champion(
    champions: Champions, model: Callable[[str], FileRef], split: Make, source: Path
) -> Champion:
    splits = split(source)
    known = facts()
    known = known.model_copy(
        update={
            "train": splits.train.file.sha256,
            "validation": known.validation.model_copy(
                update={"data": splits.validation.file.sha256}
            ),
            "test": known.test.model_copy(update={"data": splits.test.file.sha256}),
        }
    )
    return champions.promote(model("first"), known, "a test", "good", expected_current=None)


def replace_training_file(source: Path, images: np.ndarray, labels: np.ndarray) -> None:
    for name, array in zip(IDX_FILES[:2], (images, labels), strict=True):
        (source / name).write_bytes(idx.dumps(array))


def test_the_same_data_have_not_changed(
    store: Store, champion: Champion, split: Make, source: Path
) -> None:
    assert compare_data(store, champion, split(source)) is None


def test_new_images_are_counted(
    store: Store, champion: Champion, split: Make, source: Path
) -> None:
    images, labels = bars.draw(1200, seed=0)
    more, their_labels = bars.draw(400, seed=7)
    replace_training_file(
        source, np.concatenate([images, more]), np.concatenate([labels, their_labels])
    )
    splits = split(source)
    change = compare_data(store, champion, splits)
    assert change
    assert change.before
    assert change.after["train"].sum() == splits.train.rows
    assert change.known == 0, "no earlier image has changed its split"
    assert change.before["train"].sum() + change.before["validation"].sum() == 1200
    train = read_split(store.path(splits.train.file)).images
    known = {image.tobytes() for image in images}
    new = sum(image.tobytes() not in known for image in train) / splits.train.rows
    assert change.new == pytest.approx(new)
    markdown = change_markdown(change)
    assert f"{percent(new, 1)} of the training images are new" in markdown
    expected = f"| 0 | {change.before['train'][0]:,} → {change.after['train'][0]:,} |"
    assert expected in markdown


def test_validation_images_that_the_champion_was_trained_on_are_refused(
    store: Store, champion: Champion, split: Make, source: Path
) -> None:
    """`--validation` draws other images."""
    change = compare_data(store, champion, split(source, validation=100))
    assert change
    assert change.known
    assert change.new == 0
    with pytest.raises(PipelineError) as caught:
        check_validation_is_new(champion, change)
    message = str(caught.value)
    assert message.startswith(
        f"champion {champion.id} was trained on {change.known} of the 100 validation"
    )
    assert "--new-task" in message


def test_other_images_can_be_compared(
    store: Store, champion: Champion, split: Make, source: Path
) -> None:
    bars.write(source, seed=20)
    change = compare_data(store, champion, split(source))
    assert change
    assert (change.known, change.new) == (0, 1)
    check_validation_is_new(champion, change)


def test_earlier_data_that_are_gone_are_named(
    store: Store, champion: Champion, split: Make, source: Path
) -> None:
    for record in store.records.glob("convert-*.json"):
        record.unlink()
    bars.write(source, seed=20)
    change = compare_data(store, champion, split(source))
    assert change
    assert change.before is None
    check_validation_is_new(champion, change)
    assert "no longer in the artifact root" in change_markdown(change)
