"""Numbers, comparisons and names as text, and Markdown."""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from tasks.report.summary import Summary


def plain(value: object) -> str:
    """Return the value of a setting as text."""
    if value is None:
        return "default"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value) or "none"
    return str(value)


def two_decimal_percent(share: float) -> str:
    """Return a share with two decimals: 0.988 → 98.80 %."""
    return f"{share:.2%}".replace("%", "\N{NO-BREAK SPACE}%")


def one_decimal_percent(value: float | None) -> str:
    """Return a share with one decimal: 0.988 → 98.8 %; a dash if it is undefined."""
    return "–" if value is None else f"{value:.1%}".replace("%", "\N{NO-BREAK SPACE}%")


def duration(seconds: float) -> str:
    """Return a duration: 0.42 → 0.4 s, 125 → 2 min 05 s, 3725 → 1 h 02 min."""
    if seconds < 59.95:
        text = f"{seconds:.1f} s"
    elif (whole := round(seconds)) < 3600:
        text = f"{whole // 60} min {whole % 60:02d} s"
    else:
        minutes = round(seconds / 60)
        text = f"{minutes // 60} h {minutes % 60:02d} min"
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def moment(iso: str) -> str:
    """Return a time: 2026-01-31T14:05:09+00:00 → 31 January 2026, 14:05 UTC."""
    time = datetime.fromisoformat(iso)
    return f"{time.day} {time:%B %Y, %H:%M %Z}".rstrip()


def compared_with_previous(summary: Summary) -> str:
    """Return a sentence that compares a run with the previous one; empty if there is none."""
    before = summary.before
    if before is None:
        return ""
    which = f"the previous run ({moment(before.finished)})"
    if before.same_predictions:
        return f"Every image is classified as in {which}."
    more = summary.test.correct - before.correct
    if not more:
        return f"As many images are correct as in {which}, but not the same ones."
    images = f"{abs(more):,} image{'' if abs(more) == 1 else 's'} {'more' if more > 0 else 'fewer'}"
    return f"{images} than in {which}: {percentage_points(more / summary.test.total)}."


def percentage_points(difference: float) -> str:
    """Return a difference of shares: 0.0012 → +0.12 percentage points."""
    return f"{100 * difference:+.2f} percentage points".replace("-", "\N{MINUS SIGN}")


def single_line(text: str) -> str:
    """Return `text` on one line, without control and bidirectional formatting characters."""
    text = re.sub(r"[\t\n\v\f\r]+", " ", text).strip()
    return "".join(letter for letter in text if unicodedata.category(letter) not in ("Cc", "Cf"))


def escape_markdown(text: str) -> str:
    """Return `text` escaped for Markdown, in which every character stands for itself.

    File names and class names come from users. Escaped, they cannot become an image, a link, HTML
    or emphasis, and cannot end a table cell.
    """
    escaped = re.sub(r"([\\`*_\[\]<>&|~!#@])", r"\\\1", single_line(text))
    # Bare addresses become links in GitHub's Markdown, which Prefect's UI uses.
    return re.sub(r"(?i)(https?|ftp)(:)|(www)(\.)", r"\1\3\\\2\4", escaped)


def markdown_table(
    rows: Sequence[Mapping[str, object]], right_aligned: Collection[str] = ()
) -> str:
    """Return rows as a Markdown table, with their text escaped; empty without rows.

    Args:
        rows: cells by the name of their column, the same columns in every row.
        right_aligned: names of the right-aligned columns.
    """
    if not rows:
        return ""
    lines = [
        [escape_markdown(name) for name in rows[0]],
        ["---:" if name in right_aligned else "---" for name in rows[0]],
    ]
    lines += [[escape_markdown(str(value)) for value in row.values()] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
