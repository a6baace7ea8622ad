"""Tests of the reasons that are given for a stage run."""

import pytest

from tasks.engine.explain import describe_changes, join_phrases, leaves


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        (
            {"arguments": {"training": {"learning_rate": 0.0001}}},
            {"arguments": {"training": {"learning_rate": 0.001}}},
            ["learning_rate 0.0001 → 0.001"],
        ),
        (
            {"code": {"tasks/model/network.py": "1"}},
            {"code": {"tasks/model/network.py": "2"}},
            ["code changed: tasks/model/network.py"],
        ),
        (
            {"libraries": {"tensorflow": "2.20.0"}},
            {"libraries": {"tensorflow": "2.21.0"}},
            ["tensorflow 2.20.0 → 2.21.0"],
        ),
        (
            {"Python": "3.11", "code": {"tasks/a.py": "1"}, "imports": "1", "libraries": {}},
            {"Python": "3.12", "code": {"tasks/a.py": "2"}, "imports": "2", "libraries": {}},
            ["Python 3.11 → 3.12"],
        ),
        (
            {"arguments": {"split": {"file": "train.parquet sha256:1"}}},
            {"arguments": {"split": {"file": "train.parquet sha256:2"}}},
            ["input changed: train.parquet"],
        ),
        (
            {"arguments": {"network": {"dense": [128]}}, "libraries": {"keras": "3.1"}},
            {"arguments": {"network": {"dense": [128], "pooling": ["max"]}}, "libraries": {}},
            ["keras gone", "pooling new"],
        ),
        (
            {"arguments": {"map": {"file": "a sha256:1", "rows": 5}, "dots": {"rows": 5}}},
            {"arguments": {"map": None, "dots": {"rows": 5}, "lines": {"rows": 7}}},
            ["map gone", "lines new"],
        ),
        (
            {"arguments": {"metrics": {"classes": [{"support": 100}] * 10}}},
            {"arguments": {"metrics": {"classes": [{"support": 200}] * 10}}},
            ["classes changed"],
        ),
    ],
)
def test_changes_are_described_by_setting_file_and_library(
    then: dict, now: dict, words: list[str]
) -> None:
    assert describe_changes(dict(leaves(then)), dict(leaves(now))) == words


def test_control_characters_of_an_earlier_run_are_not_printed() -> None:
    phrases = describe_changes({("arguments", "word"): "\x1b[2J"}, {("arguments", "word"): "bye"})
    assert join_phrases(phrases) == "word ?[2J → bye"


def test_long_lists_of_changes_are_shortened() -> None:
    assert join_phrases([]) == ""
    assert join_phrases(["a", "b"]) == "a; b"
    assert join_phrases(list("abcdefgh")) == "a; b; c; d; e; and 3 more"
