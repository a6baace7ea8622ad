"""Names of users in Markdown."""

import pytest

from tasks.report.formatting import escape_markdown, markdown_table, single_line


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
def test_markdown_characters_of_a_name_are_escaped(text: str, escaped: str) -> None:
    assert escape_markdown(text) == escaped


def test_control_and_direction_characters_are_removed() -> None:
    assert single_line("a\x1b[31m\u202eb\tc\r\nd") == "a[31mb c d"


def test_a_cell_of_a_table_stays_one_cell() -> None:
    table = markdown_table([{"class": "a | b\n", "images": 3}])
    assert table == "| class | images |\n| --- | --- |\n| a \\| b | 3 |"


def test_named_columns_of_a_table_are_right_aligned() -> None:
    rows = [{"variant": "a|b", "time": 1}]
    assert markdown_table(rows, ["time"]).splitlines()[1:] == ["| --- | ---: |", r"| a\|b | 1 |"]
    assert markdown_table([]) == ""
