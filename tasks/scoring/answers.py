"""Answers as lines for a terminal: pure functions, and a tally of bounded size."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tasks.scoring.fit import Mark
from tasks.words import percent, plural

LISTED = 20  # pictures with a line each; more are counted
LEAST_CERTAIN = 5
NO_CLASS = {"blank", "no digit", "unfamiliar"}  # marks of pictures that get no class


@dataclass(frozen=True)
class PictureAnswer:
    """The answer to one picture."""

    name: str
    """Printable; of an image in a file of many, with its row."""
    answer: str
    """The class's name."""
    probability: float
    mark: Mark = ""


@dataclass
class Tally:
    """Answers of which the first, the least certain, and counts are kept."""

    count: int = 0
    first: list[PictureAnswer] = field(default_factory=list)
    least: list[PictureAnswer] = field(default_factory=list)
    """Of the pictures with a class."""
    classes: Counter[str] = field(default_factory=Counter)
    marks: Counter[Mark] = field(default_factory=Counter)

    def add(
        self,
        names: Sequence[str],
        probabilities: np.ndarray,
        marks: Sequence[Mark],
        classes: Sequence[str],
    ) -> None:
        """Add the answers to some pictures, in their order.

        Args:
            names: of the pictures, printable.
            probabilities: float [n, classes].
            marks: of the pictures.
            classes: names of the classes.
        """
        best, shares = probabilities.argmax(axis=1), probabilities.max(axis=1)
        sure = np.array([mark not in NO_CLASS for mark in marks], bool)

        def answer(i: int) -> PictureAnswer:
            return PictureAnswer(names[i], classes[best[i]], float(shares[i]), marks[i])

        self.first += map(answer, range(min(len(names), LISTED - len(self.first))))
        least = np.argsort(np.where(sure, shares, np.inf), kind="stable")[:LEAST_CERTAIN]
        self.least += [answer(i) for i in least if sure[i]]
        self.least = sorted(self.least, key=lambda a: a.probability)[:LEAST_CERTAIN]
        self.count += len(names)
        for c, count in enumerate(np.bincount(best[sure], minlength=len(classes)).tolist()):
            self.classes[classes[c]] += count
        self.marks.update(filter(None, marks))

    def lines(self) -> list[str]:
        """Say each answer, or count them if they are many.

        Returns:
            Up to `LISTED` answers: a line each, in columns. More: counts by class, marks, and the
            least certain answers.
        """
        if self.count <= LISTED:
            return align(self.first)
        counts = {name: n for name, n in self.classes.items() if n}
        width = max(map(len, counts), default=0)
        digits = max((len(f"{n:,}") for n in counts.values()), default=0)
        lines = [f"  {name:<{width}}  {counts[name]:>{digits},}" for name in natural(counts)]
        lines += self.mark_lines()
        if self.least:
            lines += ["least certain:", *("  " + line for line in align(self.least))]
        return lines

    def mark_lines(self) -> list[str]:
        """Say how many pictures have each mark."""
        return [said(mark, count) for mark, count in sorted(self.marks.items())]


def natural(names: Iterable[str]) -> list[str]:
    """Sort names of classes, numbers by their value."""
    return sorted(names, key=lambda name: (not name.isdecimal(), name.zfill(9)))


def said(mark: str, count: int) -> str:
    """Say how many pictures have a mark."""
    verbs = {
        "blank": ("is blank", "are blank"),
        "no digit": ("looks like no digit", "look like no digit"),
        "unfamiliar": (
            "is unfamiliar: unlike all training images",
            "are unfamiliar: unlike all training images",
        ),
        "several digits": ("seems to hold several digits", "seem to hold several digits"),
    }
    one, many = verbs.get(mark, (f"is marked {mark}", f"are marked {mark}"))
    return f"{plural(count, 'picture')} {one if count == 1 else many}"


def say_answer(answer: PictureAnswer) -> tuple[str, str, str]:
    """Return the class, its probability, and the mark; no class for a picture without a digit."""
    if answer.mark in NO_CLASS:
        return "–", "", answer.mark
    mark = f"{answer.mark}?" if answer.mark else ""
    return answer.answer, percent(answer.probability, 1), mark


def align(answers: Sequence[PictureAnswer]) -> list[str]:
    """Say each answer in a line, in columns."""
    rows = [(a.name, *say_answer(a)) for a in answers]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"{name:<{widths[0]}}  {answer:<{widths[1]}}  {share:>{widths[2]}}  {mark}".rstrip()
        for name, answer, share, mark in rows
    ]
