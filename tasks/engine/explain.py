"""Reasons for a stage run: the differences between its key inputs and those of an earlier run."""

from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str, ...]
Leaves = Mapping[Path, Any]

MAX_PHRASES = 5
MAX_PHRASE_LENGTH = 80
"""Characters. A reason has to fit into a line or two."""


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield path and value of every leaf in nested dictionaries."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, (*path, name))
    else:
        yield path, value


def describe_changes(then: Leaves, now: Leaves) -> list[str]:
    """Return the differences between two runs' key inputs, one phrase each, without duplicates."""
    changed = [path for path in {**then, **now} if then.get(path) != now.get(path)]
    if PYTHON in then and PYTHON in changed:
        # Another Python parses the same code into another syntax tree: digests tell nothing.
        changed = [path for path in changed if path[0] not in ("code", "imports")]
    phrases = list(dict.fromkeys(describe_change(path, then, now) for path in changed))
    if any(path[0] == "code" for path in changed):
        phrases = [phrase for phrase in phrases if phrase != IMPORTS_CHANGED]
    return phrases


IMPORTS_CHANGED = "imports changed"
PYTHON = ("Python",)
"""Path of Python's version in the key inputs."""


def describe_change(path: Path, then: Leaves, now: Leaves) -> str:
    """Return the phrase for one part of the key inputs that differs."""
    name, before, after = path[-1], then.get(path), now.get(path)
    if path[0] == "code":
        return f"code changed: {name}"
    if path[0] == "imports":
        return IMPORTS_CHANGED
    if isinstance(after, str) and " sha256:" in after:
        return f"input changed: {after.split()[0]}"
    if path not in then or path not in now:
        other, what = (now, "gone") if path in then else (then, "new")
        part = path[:2]  # an argument as a whole, such as a record with all its facts
        known = any(p[: len(part)] == part for p, value in other.items() if value is not None)
        return f"{name if known else part[-1]} {what}"
    phrase = f"{name} {before} → {after}"
    return phrase if len(phrase) <= MAX_PHRASE_LENGTH else f"{name} changed"


def join_phrases(phrases: list[str]) -> str:
    """Join the first phrases and the number of those left out, without control characters."""
    more = len(phrases) - MAX_PHRASES
    shown = [
        "".join(letter if letter.isprintable() else "?" for letter in phrase)
        for phrase in phrases[:MAX_PHRASES]
    ]
    return "; ".join([*shown, f"and {more} more"] if more > 0 else shown)
