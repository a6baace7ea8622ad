"""Answers as lines for a terminal. Pure functions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.scoring.fit import Mark

LISTED = 20  # pictures with a line each; more are counted
LEAST_CERTAIN = 5
NO_CLASS = {"blank", "no digit"}  # marks of pictures that get no class


@dataclass(frozen=True)
class Answer:
    """The answer to one picture."""

    name: str
    """Printable; of an image in a file of many, with its row."""
    answer: str
    """The class's name."""
    probability: float
    mark: Mark = ""


def percent(share: float) -> str:
    """Return a probability as `99.8 %`; never 100.0 % for what is less."""
    rounded = round(100 * share, 1)
    return f"{min(rounded, 99.9) if share < 1 else rounded:.1f} %"


def plural(count: int, one: str, many: str = "") -> str:
    """Return `1 picture`, `2 pictures`.

    Args:
        count: of things.
        one: singular.
        many: plural, if it is not the singular with an s.
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def answer_lines(answers: Sequence[Answer]) -> list[str]:
    """Say each answer, or count them if they are many.

    Args:
        answers: in the order in which they were asked for.

    Returns:
        Up to `LISTED` answers: a line each, in columns. More: counts by class, marks, and the
        least certain answers.
    """
    if len(answers) <= LISTED:
        return table(answers)
    sure = [a for a in answers if a.mark not in NO_CLASS]
    lines = [plural(len(answers), "picture")]
    counts = Counter(a.answer for a in sure)
    width = max((len(c) for c in counts), default=0)
    digits = max((len(f"{n:,}") for n in counts.values()), default=0)
    lines += [f"  {name:<{width}}  {counts[name]:>{digits},}" for name in sorted(counts)]
    marks = Counter(a.mark for a in answers if a.mark)
    lines += [said(mark, count) for mark, count in sorted(marks.items())]
    if sure:
        least = sorted(sure, key=lambda answer: answer.probability)[:LEAST_CERTAIN]
        lines.append("least certain:")
        lines += ["  " + line for line in table(least)]
    return lines


def said(mark: str, count: int) -> str:
    """Say how many pictures have a mark."""
    verbs = {
        "blank": ("is blank", "are blank"),
        "no digit": ("looks like no digit", "look like no digit"),
        "several digits": ("seems to hold several digits", "seem to hold several digits"),
    }
    one, many = verbs.get(mark, (f"is marked {mark}", f"are marked {mark}"))
    return f"{plural(count, 'picture')} {one if count == 1 else many}"


def say_answer(answer: Answer) -> tuple[str, str, str]:
    """Return the class, its probability, and the mark; no class for a picture without a digit."""
    if answer.mark in NO_CLASS:
        return "–", "", answer.mark
    return answer.answer, percent(answer.probability), f"{answer.mark}?" if answer.mark else ""


def table(answers: Sequence[Answer]) -> list[str]:
    """Say each answer in a line, in columns."""
    rows = [(a.name, *say_answer(a)) for a in answers]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"{name:<{widths[0]}}  {answer:<{widths[1]}}  {share:>{widths[2]}}  {mark}".rstrip()
        for name, answer, share, mark in rows
    ]
