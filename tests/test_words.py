"""Tests of texts and tables for people."""

import pytest

from tasks.words import (
    duration,
    escape_markdown,
    joined,
    markdown_table,
    moment,
    percent,
    percent_interval,
    percentage_points,
    plural,
    single_line,
)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("![x](y)", r"\!\[x\](y)"),
        ("<img src=x>", r"\<img src=x\>"),
        ("a|b\nc", r"a\|b c"),
        ("\\*_`", r"\\\*\_\`"),
        ("http://a.b www.c.d", r"http\://a.b www\.c.d"),
        ("98.80\xa0%", "98.80\xa0%"),
        ("T-shirt/top", "T-shirt/top"),
    ],
)
def test_markdown_characters_are_escaped(text: str, escaped: str) -> None:
    assert escape_markdown(text) == escaped


def test_control_and_direction_characters_are_removed() -> None:
    assert single_line("a\x1b[31m\u202eb\tc\r\nd") == "a[31mb c d"


def test_markdown_table_escapes_cells() -> None:
    table = markdown_table([{"class": "a | b\n", "images": 3}])
    assert table == "| class | images |\n| --- | --- |\n| a \\| b | 3 |"


def test_markdown_table_aligns_named_columns_right() -> None:
    rows = [{"variant": "a|b", "time": 1}]
    assert markdown_table(rows, ["time"]).splitlines()[1:] == ["| --- | ---: |", r"| a\|b | 1 |"]
    assert markdown_table([]) == ""


def test_durations() -> None:
    spaced = [duration(s).replace("\N{NO-BREAK SPACE}", " ") for s in (0, 59.94, 59.96, 3599.6)]
    assert spaced == ["0.0 s", "59.9 s", "1 min 00 s", "1 h 00 min"]


def test_moment_keeps_the_time_zone() -> None:
    assert moment("2026-07-01T09:00:00+02:00") == "1 July 2026, 09:00 UTC+02:00"


def test_plurals_and_lists() -> None:
    assert (plural(1, "picture"), plural(2000, "picture")) == ("1 picture", "2,000 pictures")
    assert (plural(0, "class", "classes"), plural(1, "is", "are")) == ("0 classes", "1 is")
    assert [joined(names) for names in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]
    assert joined("abc", "or") == "a, b or c"


@pytest.mark.parametrize(
    ("share", "decimals", "text"),
    [
        (0.988, 2, "98.80 %"),
        (0.99999, 2, ">99.99 %"),
        (0.00003, 2, "<0.01 %"),
        (0.99999, 1, ">99.9 %"),
        (0.994, 0, "99 %"),
        (0.9951, 0, ">99 %"),
        (0.0049, 0, "<1 %"),
        (1.0, 0, "100 %"),
        (0.0, 2, "0.00 %"),
        (None, 2, "–"),
    ],
)
def test_only_0_and_1_are_0_and_100_percent(share: float | None, decimals: int, text: str) -> None:
    assert percent(share, decimals) == text.replace(" ", "\xa0")


def test_intervals_and_differences() -> None:
    assert percent_interval(0.9857, 0.99) == "98.57\xa0% to 99.00\xa0%"
    assert percentage_points(-0.0012) == "\N{MINUS SIGN}0.12 percentage points"
