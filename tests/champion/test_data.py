"""Tests of facts about data, and of the comparison of a challenger's data with a champion's."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tasks.champion.data import (
    TrainingData,
    champion_data,
    check_same_task,
    ground_of,
)
from tasks.champion.registry import Champion, Champions, Facts
from tasks.engine.models import FileRef
from tasks.records import Shape
from tasks.runtime.errors import PipelineError
from tasks.settings import DownloadSettings

from .conftest import facts

DIGIT = np.zeros((1, 9, 7), np.uint8)
DIGIT[:, 2:7, 2:5] = 255
SETTINGS = DownloadSettings(source="digits", digests="none")


@pytest.fixture
def champion(champions: Champions, model: Callable[[str], FileRef]) -> Champion:
    known = facts().model_copy(update={"source": "http://a.org/", "ground": "dark"})
    return champions.promote(model("first"), known, "a test", "good", expected_current=None)


@pytest.fixture
def same(champion: Champion) -> TrainingData:
    return champion_data(champion)


@pytest.mark.parametrize(
    ("light", "expected"), [(0, "dark"), (1, "dark"), (2, "mixed"), (98, "mixed"), (99, "light")]
)
def test_data_set_has_a_background_if_nearly_all_images_have_it(light: int, expected: str) -> None:
    images = np.concatenate([DIGIT] * (100 - light) + [255 - DIGIT] * light)
    assert ground_of(images) == expected


def test_new_images_from_the_same_source_are_accepted(
    champion: Champion, same: TrainingData
) -> None:
    check_same_task(champion, replace(same, validation="new", test="new"), SETTINGS)


def test_the_same_images_from_another_source_are_accepted(
    champion: Champion, same: TrainingData
) -> None:
    check_same_task(champion, replace(same, source="http://b.org/"), SETTINGS)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"shape": Shape(height=8, width=8, classes=4)}, "number of classes"),
        ({"shape": Shape(height=8, width=9, classes=3)}, "image size"),
        ({"ground": "light"}, "ground"),
        ({"source": "http://b.org/", "test": "new"}, "source"),
        ({"source": "http://b.org/", "validation": "new"}, "source"),
    ],
)
def test_incompatible_data_are_refused_in_one_line(
    champion: Champion, same: TrainingData, change: dict[str, object], difference: str
) -> None:
    other = replace(same, **change)  # type: ignore[arg-type]
    with pytest.raises(PipelineError) as caught:
        check_same_task(champion, other, SETTINGS)
    message = str(caught.value)
    assert f"({difference}): champion: {same}; challenger: {other}; " in message
    assert "--new-task" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("change", "accepted"), [({"class_names": ("x", "y", "z")}, True), ({"test": "new"}, False)]
)
def test_other_names_for_the_same_images_are_accepted(
    champions: Champions,
    model: Callable[[str], FileRef],
    change: dict[str, object],
    accepted: bool,
) -> None:
    named = facts().model_copy(update={"source": "a", "class_names": ("a", "b", "c")})
    champion = champions.promote(model("m"), named, "a test", "good", expected_current=None)
    assert champion.facts.named_classes() == ("a", "b", "c")
    data = replace(champion_data(champion), **{"class_names": ("x", "b", "c")} | change)  # type: ignore[arg-type]
    if accepted:
        check_same_task(champion, data, SETTINGS)
    else:
        with pytest.raises(PipelineError, match=r"\(names of the classes\)"):
            check_same_task(champion, data, SETTINGS)


@pytest.mark.parametrize(("source", "accepted"), [("digits", True), ("/data/clothes", False)])
def test_champion_of_an_earlier_version_is_compared_by_its_settings(
    champions: Champions, model: Callable[[str], FileRef], source: str, accepted: bool
) -> None:
    """Records of earlier versions have neither source nor background."""
    old = facts().model_dump(exclude={"source", "train", "ground", "class_names"})
    old["settings"] = {"download": {"source": "digits", "url": None}}
    champion = champions.promote(
        model("old"), Facts.model_validate(old), "a test", "good", expected_current=None
    )
    settings = DownloadSettings(source=source, digests="none")
    data = replace(
        champion_data(champion), source="new", validation="new", test="new", ground="light"
    )
    if accepted:
        check_same_task(champion, data, settings)
    else:
        with pytest.raises(PipelineError, match=r"\(source\): champion: unknown source \(3 cl"):
            check_same_task(champion, data, settings)
