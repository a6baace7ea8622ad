"""Lines for a terminal."""

import numpy as np

from tasks.scoring.answers import PictureAnswer, Tally


def lines(answers: list[PictureAnswer]) -> list[str]:
    """Lines of a tally that got the answers in two batches."""
    tally = Tally()
    classes = sorted({a.answer for a in answers})
    for part in (answers[:3], answers[3:]):
        probabilities = np.zeros((len(part), max(len(classes), 1)))
        for row, a in zip(probabilities, part, strict=True):
            row[classes.index(a.answer)] = a.probability
        tally.add([a.name for a in part], probabilities, [a.mark for a in part], classes)
    return tally.lines()


def test_each_picture_has_a_line() -> None:
    answers = [
        PictureAnswer("digit1.png", "7", 0.9984),
        PictureAnswer("b.png", "3", 0.51),
        PictureAnswer("empty.png", "1", 0.2, "blank"),
        PictureAnswer("12.png", "1", 0.6, "several digits"),
    ]
    assert lines(answers) == [
        "digit1.png  7  99.8\xa0%",
        "b.png       3  51.0\xa0%",
        "empty.png   –          blank",
        "12.png      1  60.0\xa0%  several digits?",
    ]


def test_many_images_are_summarised() -> None:
    answers = [PictureAnswer(f"{i}.png", str(i % 3), 0.9 + i / 1000) for i in range(20)]
    answers += [
        PictureAnswer("e.png", "1", 0.1, "blank"),
        PictureAnswer("t.png", "8", 0.2, "no digit"),
    ]
    assert lines(answers) == [
        "  0  7",
        "  1  7",
        "  2  6",
        "1 picture is blank",
        "1 picture looks like no digit",
        "least certain:",
        "  0.png  0  90.0\xa0%",
        "  1.png  1  90.1\xa0%",
        "  2.png  2  90.2\xa0%",
        "  3.png  0  90.3\xa0%",
        "  4.png  1  90.4\xa0%",
    ]


def test_no_images() -> None:
    assert lines([]) == []
    assert lines([PictureAnswer("e.png", "1", 0.1, "blank")] * 21) == ["21 pictures are blank"]


def test_classes_are_in_the_order_of_their_numbers() -> None:
    answers = [PictureAnswer("a", name, 0.9) for name in ("10", "9", "cat", "2")] * 6
    assert [line.split()[0] for line in lines(answers)[:4]] == ["2", "9", "10", "cat"]
