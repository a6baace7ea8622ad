"""Oracle of the cache tests: expected runs and results, computed without the engine.

The oracle is informed of every edit. For each stage it collects what the result depends on (the
*cause*), and computes the result by functions of its own. It stores which causes have a complete
record and complete outputs.
"""

import json
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class World:
    """Current state of everything that can be edited."""

    lines: tuple[str, ...]
    versions: dict[str, int]
    settings: dict[str, Any]
    libraries: dict[str, str]


@dataclass(frozen=True)
class Step:
    """Expected stage run: its cause and its result."""

    label: str
    stage: str
    cause: Hashable
    files: dict[str, bytes]
    facts: dict[str, int]


@dataclass
class Kept:
    """Expected remains of a stage run; None: unknown, since a run was killed during it."""

    record: bool | None = False
    files: bool | None = False
    key: str = ""
    """Path of the output; empty until a run has reported it."""
    stage: str = ""
    names: tuple[str, ...] = ()

    @property
    def whole(self) -> bool | None:
        if self.record is False or self.files is False:
            return False
        return None if None in (self.record, self.files) else True


@dataclass
class Oracle:
    kept: dict[Hashable, Kept] = field(default_factory=dict)

    def of(self, step: Step) -> Kept:
        return self.kept.setdefault(step.cause, Kept(stage=step.stage, names=tuple(step.files)))

    def done(self, step: Step, key: str = "") -> None:
        kept = self.of(step)
        kept.record = kept.files = True
        kept.key = key or kept.key

    def stopped(self, step: Step, point: str) -> None:
        """Update after an aborted run: it stopped at a point of this step; see probe.py."""
        kept = self.of(step)
        if point == "unrecorded":
            kept.files = True

    def killed_somewhere(self, step: Step) -> None:
        """Update after a kill between the start of this step and the start of the next one."""
        kept = self.of(step)
        kept.record = kept.files = None


def helpers(stage: str, versions: dict[str, int]) -> tuple[str, ...]:
    """Return the modules that a stage's code imports."""
    words = ("words", "accents") if versions["words"] >= 2 else ("words",)
    return {"clean": words, "count": (*words, "tally")}.get(stage, ())


def split(text: str, versions: dict[str, int]) -> list[str]:
    ending = "'" * (versions["words"] // 2)
    if versions["words"] >= 2:
        ending = "`" * (versions["accents"] // 2) + ending
    return [word + ending for word in text.lower().split()]


def steps(world: World) -> Iterator[Step]:
    """Return all stage runs in order, with their causes and expected results."""
    versions, settings = world.versions, world.settings
    half = {module: version // 2 for module, version in versions.items()}

    def step(
        label: str,
        inputs: Hashable,
        files: dict[str, str],
        facts: dict[str, int],
        library: str = "",
    ) -> Step:
        stage = label.partition("-")[0]
        code = tuple((m, versions[m]) for m in ("__init__", stage, *helpers(stage, versions)))
        return Step(
            label=label,
            stage=stage,
            cause=(label, inputs, code, library and world.libraries[library]),
            files={name: text.encode() for name, text in files.items()},
            facts=facts,
        )

    lines = [*world.lines, f"# gather {half['gather']}"]
    gathered = "\n".join(lines)
    yield step("gather", world.lines, {"lines.txt": gathered}, {"lines": len(lines)})

    found = [w for line in lines if line[:1] != "#" for w in split(line, versions)]
    words = sorted({word for word in found if len(word) >= settings["shortest"]})
    cleaned = "\n".join(words) + "\n" * half["clean"]
    dropped = len(found) - len(words)
    yield step(
        "clean",
        (gathered, len(lines), settings["shortest"]),
        {"words.txt": cleaned},
        {"dropped": dropped},
    )

    again = split(cleaned, versions)
    letters: dict[str, int] = {}
    for letter in sorted(word[0] for word in again):
        letters[letter] = letters.get(letter, 0) + 1
    counts = {a: n + half["tally"] for a, n in letters.items() if n >= settings["minimum"]}
    counted = json.dumps(counts | {"version": half["count"]})
    files = {"counts.json": counted, "total.txt": str(len(again))}
    yield step("count", (cleaned, settings["minimum"]), files, {}, "abacus")

    grown = [""]
    for n in range(1, settings["steps"] + 1):
        text = f"{grown[-1]}{counted} {n}/{half['grow']}\n"
        before = None if n == 1 else grown[-1]
        yield step(f"grow-{n}", (counted, before), {"grown.txt": text}, {}, "yeast")
        grown.append(text)

    parts = [settings["title"], str(half["report"]), f"{dropped} dropped", cleaned, *grown[1:]]
    yield step(
        "report",
        (cleaned, dropped, tuple(grown[1:]), settings["title"]),
        {"page.txt": "\n".join(parts)},
        {},
    )
