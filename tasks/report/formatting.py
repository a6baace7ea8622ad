"""Numbers, comparisons and names as text, and Markdown."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime

from tasks.report.summary import Summary


def plain(value: object) -> str:
    """A setting as one would write it."""
    if value is None:
        return "default"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value) or "none"
    return str(value)


def percent(share: float) -> str:
    """0.988 → 98.80 %: exact for 10,000 images."""
    return f"{share:.2%}".replace("%", "\N{NO-BREAK SPACE}%")


def share(value: float | None) -> str:
    """0.988 → 98.8 %; a dash for what cannot be known, as the precision of no prediction."""
    return "–" if value is None else f"{value:.1%}".replace("%", "\N{NO-BREAK SPACE}%")


def duration(seconds: float) -> str:
    """0.42 → 0.4 s, 125 → 2 min 05 s, 3725 → 1 h 02 min."""
    if seconds < 59.95:
        text = f"{seconds:.1f} s"
    elif (whole := round(seconds)) < 3600:
        text = f"{whole // 60} min {whole % 60:02d} s"
    else:
        minutes = round(seconds / 60)
        text = f"{minutes // 60} h {minutes % 60:02d} min"
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def moment(iso: str) -> str:
    """2026-01-31T14:05:09+00:00 → 31 January 2026, 14:05 UTC."""
    time = datetime.fromisoformat(iso)
    return f"{time.day} {time:%B %Y, %H:%M %Z}".rstrip()


def change(summary: Summary) -> str:
    """How a run compares with the one before; empty if there is nothing to compare with."""
    before = summary.before
    if before is None:
        return ""
    which = f"the run before ({moment(before.finished)})"
    if before.same_predictions:
        return f"Every image is classified as in {which}."
    more = summary.test.correct - before.correct
    if not more:
        return f"As many are right as in {which}, but not the same ones."
    images = f"{abs(more):,} image{'' if abs(more) == 1 else 's'} {'more' if more > 0 else 'fewer'}"
    return f"{images} than in {which}: {points(more / summary.test.total)}."


def points(difference: float) -> str:
    """0.0012 → +0.12 percentage points."""
    return f"{100 * difference:+.2f} percentage points".replace("-", "\N{MINUS SIGN}")


def single_line(text: str) -> str:
    """Return `text` on one line, without control and bidirectional formatting characters."""
    text = re.sub(r"[\t\n\v\f\r]+", " ", text).strip()
    return "".join(letter for letter in text if unicodedata.category(letter) not in ("Cc", "Cf"))


def escape_markdown(text: str) -> str:
    """Return `text` so that Markdown shows its characters as they are.

    File names and class names come from users: they become no image, link, HTML or emphasis, and
    do not end the cell of a table.
    """
    escaped = re.sub(r"([\\`*_\[\]<>&|~!#@])", r"\\\1", single_line(text))
    # Bare addresses become links in GitHub's Markdown, which Prefect's UI uses.
    return re.sub(r"(?i)(https?|ftp)(:)|(www)(\.)", r"\1\3\\\2\4", escaped)


def markdown_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows with the same columns as a Markdown table; their text is escaped."""
    lines = [[escape_markdown(name) for name in rows[0]], ["---"] * len(rows[0])]
    lines += [[escape_markdown(str(value)) for value in row.values()] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
