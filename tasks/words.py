"""Numbers, lists, times and names as words, for terminals, pages and Markdown.

Nothing else in the project forms a plural, joins a list in a sentence or rounds a percentage.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

NO_BREAK = "\N{NO-BREAK SPACE}"


def plural(count: int, one: str, many: str = "") -> str:
    """Return a number and its noun: 1 image, 2,000 images.

    Args:
        count: number of things.
        one: singular.
        many: plural, if it is not the singular with an s.
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def joined(parts: Iterable[str], last: str = "and") -> str:
    """Return parts as a list in a sentence: a, b and c."""
    *most, final = parts
    return f"{', '.join(most)} {last} {final}" if most else final


def percent(share: float | None, decimals: int = 2) -> str:
    """Return a share as a percentage: 0.988 → 98.80 %; a dash if it is undefined.

    Only exactly 0 and 1 give 0 % and 100 %; shares next to them give <0.01 % and >99.99 %.
    """
    if share is None:
        return "–"
    number, step = f"{100 * share:.{decimals}f}", 10.0**-decimals
    if share < 1 and float(number) >= 100:
        number = f">{100 - step:.{decimals}f}"
    if share > 0 and float(number.lstrip(">")) == 0:
        number = f"<{step:.{decimals}f}"
    return f"{number}{NO_BREAK}%"


def percent_interval(low: float, high: float) -> str:
    """Return an interval of shares: 98.57 % to 99.00 %."""
    return f"{percent(low)} to {percent(high)}"


def percentage_points(difference: float) -> str:
    """Return a difference of shares: 0.0012 → +0.12 percentage points."""
    return f"{100 * difference:+.2f} percentage points".replace("-", "\N{MINUS SIGN}")


def duration(seconds: float) -> str:
    """Return a duration: 0.42 → 0.4 s, 125 → 2 min 05 s, 3725 → 1 h 02 min."""
    if seconds < 59.95:
        text = f"{seconds:.1f} s"
    elif (whole := round(seconds)) < 3600:
        text = f"{whole // 60} min {whole % 60:02d} s"
    else:
        minutes = round(seconds / 60)
        text = f"{minutes // 60} h {minutes % 60:02d} min"
    return text.replace(" ", NO_BREAK)


def moment(iso: str) -> str:
    """Return a time: 2026-01-31T14:05:09+00:00 → 31 January 2026, 14:05 UTC."""
    time = datetime.fromisoformat(iso)
    return f"{time.day} {time:%B %Y, %H:%M %Z}".rstrip()


def plain(value: object) -> str:
    """Return the value of a setting."""
    if value is None:
        return "default"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value) or "none"
    return str(value)


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
