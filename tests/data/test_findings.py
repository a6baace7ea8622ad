"""Findings about data as sentences."""

import numpy as np
import pytest

from tasks.data.findings import class_findings, image_findings
from tasks.records import Finding, Shape, SplitFacts

MNIST_LIKE = (500, 40, 80)
"""Images of each class in train, validation and test split."""


def facts(classes: list[tuple[int, int, int]], **changes: int) -> list[SplitFacts]:
    """Facts about splits with so many images of each class."""
    values = {"grey_levels": 256, "darkest": 0, "lightest": 255, "light_ground": 0} | changes
    return [
        SplitFacts(name=name, classes=counts, **values)
        for name, counts in zip(
            ("train", "validation", "test"), zip(*classes, strict=True), strict=True
        )
    ]


def about_classes(
    classes: list[tuple[int, int, int]], labels: np.ndarray | None = None
) -> list[Finding]:
    names = [str(c) for c in range(len(classes))]
    mixed = np.array([1, 0, 1], np.uint8)
    return list(class_findings(facts(classes), names, mixed if labels is None else labels))


def about_images(height: int = 28, width: int = 28, **changes: int) -> list[str]:
    shape = Shape(height=height, width=width, classes=2)
    return [f.text for f in image_findings(facts([MNIST_LIKE] * 2, **changes), shape)]


@pytest.mark.parametrize("classes", [2, 10, 26])
def test_nothing_is_said_about_sound_classes(classes: int) -> None:
    assert about_classes([MNIST_LIKE] * classes) == []


def test_labels_from_1_to_10() -> None:
    (finding,) = about_classes([(0, 0, 0), *[MNIST_LIKE] * 10])
    assert finding.severity == "warning"
    assert finding.text.startswith("the labels run from 1 to 10, but class 0 has no images;")


def test_labels_0_and_255() -> None:
    (finding,) = about_classes([MNIST_LIKE, *[(0, 0, 0)] * 254, MNIST_LIKE])
    assert "run from 0 to 255, but classes 1, 2, 3, 4, 5, 6, 7, 8 and 246 more have no" in (
        finding.text
    )


def test_a_class_that_is_only_in_the_test_split() -> None:
    (finding,) = about_classes([MNIST_LIKE, (0, 0, 12), MNIST_LIKE])
    assert finding.severity == "warning"
    assert finding.text == "class 1 is only in the test split, so the network cannot learn it"


def test_a_validation_split_of_one_class() -> None:
    (finding,) = about_classes([(500, 40, 80), (500, 0, 80), (500, 0, 80)])
    assert finding.severity == "warning"
    assert finding.text.startswith("the validation split has no image of classes 1 and 2, so")


def test_a_class_that_is_missing_in_the_test_split() -> None:
    (finding,) = about_classes([MNIST_LIKE, (500, 40, 0)])
    assert finding.text == "the test split has no image of class 1, so it says nothing about it"


@pytest.mark.parametrize(
    ("labels", "is_sorted"),
    [([0, 0, 1, 2], True), ([2, 1, 0], True), ([0, 1, 0], False), ([1, 1, 1], False)],
)
def test_a_sorted_file_is_noted(labels: list[int], is_sorted: bool) -> None:
    found = about_classes([MNIST_LIKE] * 3, np.array(labels, np.uint8))
    assert [f.text for f in found] == ["the training file is sorted by class"] * is_sorted
    assert all(f.severity == "note" for f in found)


def test_classes_of_very_different_size() -> None:
    texts = [f.text for f in about_classes([(5_000, 40, 80), (5, 1, 1)])]
    assert texts == [
        "fewer than 10 training images show class 1: hardly enough to learn from",
        "the classes differ in size: 5,000 training images of 0, 5 of 1",
    ]


def test_nothing_is_said_about_images_like_mnists() -> None:
    assert about_images() == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"height": 4}, "the images are very small, 28 × 4 pixels"),
        ({"width": 32}, "the images are not square: 32 × 28 pixels"),
        ({"grey_levels": 2}, "the images have only two grey values: pictures with others look"),
        (
            {"lightest": 15},
            "no pixel of the training, validation and test images is lighter than 15 of 255",
        ),
        ({"light_ground": 30}, "90 images of 1,240 have a light ground, the others dark"),
    ],
)
def test_odd_images(changes: dict[str, int], text: str) -> None:
    (found,) = about_images(**changes)
    assert found.startswith(text)


def test_a_light_ground_is_noted() -> None:
    made = facts([(50, 50, 50)] * 2, light_ground=100)
    (finding,) = image_findings(made, Shape(height=28, width=28, classes=2))
    assert finding.severity == "note"
    assert finding.text == "the ground is light and the ink dark, the reverse of MNIST's images"


def test_only_the_test_images_are_dark() -> None:
    train, validation, test = facts([MNIST_LIKE] * 2)
    dark = test.model_copy(update={"lightest": 1})
    (finding,) = image_findings([train, validation, dark], Shape(height=9, width=9, classes=2))
    assert finding.severity == "warning"
    assert finding.text.startswith("no pixel of the test images is lighter than 1 of 255")
