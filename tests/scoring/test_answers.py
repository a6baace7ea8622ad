"""Tests of result lines for a terminal."""

from tasks.scoring.answers import Answer, answer_lines, percent, plural


def test_each_picture_has_a_line() -> None:
    answers = [
        Answer("digit1.png", "7", 0.9984),
        Answer("b.png", "3", 0.51),
        Answer("empty.png", "1", 0.2, "blank"),
        Answer("12.png", "1", 0.6, "several digits"),
    ]
    assert answer_lines(answers) == [
        "digit1.png  7  99.8 %",
        "b.png       3  51.0 %",
        "empty.png   –          blank",
        "12.png      1  60.0 %  several digits?",
    ]


def test_many_images_are_summarised() -> None:
    answers = [Answer(f"{i}.png", str(i % 3), 0.9 + i / 1000) for i in range(20)]
    answers += [Answer("e.png", "1", 0.1, "blank"), Answer("t.png", "8", 0.2, "no digit")]
    assert answer_lines(answers) == [
        "22 pictures",
        "  0  7",
        "  1  7",
        "  2  6",
        "1 picture is blank",
        "1 picture looks like no digit",
        "least certain:",
        "  0.png  0  90.0 %",
        "  1.png  1  90.1 %",
        "  2.png  2  90.2 %",
        "  3.png  0  90.3 %",
        "  4.png  1  90.4 %",
    ]


def test_no_images() -> None:
    assert answer_lines([]) == []
    assert answer_lines([Answer("e.png", "1", 0.1, "blank")] * 21)[1:] == ["21 pictures are blank"]


def test_numbers() -> None:
    assert percent(0.99999) == "99.9 %"
    assert percent(1.0) == "100.0 %"
    assert (plural(1, "picture"), plural(2000, "picture")) == ("1 picture", "2,000 pictures")
    assert plural(2, "input was", "inputs were") == "2 inputs were"
