"""Figures of duplicates, blank and inverted images, and doubtful labels."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from helpers.figures import drawn_images, pixels_of, texts

from tasks.data.audit import SCHEMA as FINDINGS
from tasks.data.dataset import SplitArrays
from tasks.model.check_labels import SCHEMA as ISSUES
from tasks.report.figures.data import DataExamples, finding_figures, label_issues_figure

NAMES = ["cat", "dog"]


def split(count: int, first: int) -> SplitArrays:
    """Images of noise whose rows have gaps, as after a draw."""
    rng = np.random.default_rng(first)
    return SplitArrays(
        np.arange(first, first + 2 * count, 2, dtype=np.int32),
        rng.integers(0, 256, (count, 6, 5), dtype=np.uint8),
        np.zeros(count, np.uint8),
    )


SPLITS = {"train": split(30, 1), "validation": split(5, 0), "test": split(9, 0)}


def examples(
    findings: list[dict[str, Any]] | None = None, issues: list[dict[str, Any]] | None = None
) -> DataExamples:
    return DataExamples(
        NAMES,
        SPLITS,
        pa.Table.from_pylist(findings or [], FINDINGS),
        pa.Table.from_pylist(issues or [], ISSUES),
    )


def copy(row: int, other: int) -> dict[str, Any]:
    return {
        "kind": "duplicates",
        "split": "train",
        "index": 1 + 2 * row,
        "label": 0,
        "other_split": "test",
        "other_index": 2 * other,
        "other_label": 1,
        "correlation": 1.0,
    }


def test_without_findings_there_is_no_figure() -> None:
    assert list(finding_figures(examples())) == []


def test_a_duplicate_is_beside_the_image_that_it_repeats() -> None:
    (made,) = finding_figures(examples([copy(4, 3)]))
    (image,) = drawn_images(made.figure)
    left, right = SPLITS["train"].images[4], SPLITS["test"].images[3]
    np.testing.assert_array_equal(pixels_of(image)[:, :5], left)
    np.testing.assert_array_equal(pixels_of(image)[:, -5:], right)
    assert texts(made.figure) == ["train 9: cat\ntest 6: dog"]
    assert made.name == "data-duplicates"
    assert made.caption.startswith("The only one. ")
    assert made.alt == "train 9: cat, as test 6: dog."


def test_single_images() -> None:
    blank = {"kind": "blank", "split": "validation", "index": 4, "label": 1}
    (made,) = finding_figures(examples([blank]))
    (image,) = drawn_images(made.figure)
    np.testing.assert_array_equal(pixels_of(image), SPLITS["validation"].images[2])
    assert texts(made.figure) == ["validation 4: dog"]


@pytest.mark.parametrize(
    ("count", "beginning"), [(2, "All 2."), (9, "All 9."), (30, "The first 9 of 30.")]
)
def test_the_caption_counts_all(count: int, beginning: str) -> None:
    (made,) = finding_figures(examples([copy(row, 0) for row in range(count)]))
    assert made.caption.startswith(beginning)
    assert len(drawn_images(made.figure)) == min(count, 9)


def test_doubtful_labels_name_label_and_answer() -> None:
    issue = {
        "split": "train",
        "index": 3,
        "label": 0,
        "suggested": 1,
        "label_probability": 0.01,
        "suggested_probability": 0.97,
    }
    made = label_issues_figure(examples(issues=[issue]))
    (image,) = drawn_images(made.figure)
    np.testing.assert_array_equal(pixels_of(image), SPLITS["train"].images[1])
    (text,) = texts(made.figure)
    assert text.replace("\N{NO-BREAK SPACE}", " ") == "Label: cat\nNetwork: dog, 97 %\ntrain 3"
    assert made.alt == "train 3 labelled cat, network says dog."
