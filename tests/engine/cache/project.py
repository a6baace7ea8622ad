"""A small project in a temporary folder: six stages, their helpers, and edits to their code.

    gather → clean → count → grow-1 → grow-2 → …
                └───────────────┴────────┴──→ report

`words` helps clean and count, `tally` is imported inside count's function, `accents` is
imported by `words` from its version 2 on, `spare` is not imported. Every module has a version in
its syntax; pairs of versions (0 and 1, 2 and 3) have the same results, so that half of the edits
give the same bytes.
"""

import ast
import importlib
import os
import sys
import time
from pathlib import Path
from types import ModuleType

SOURCES = {
    "__init__": '''
"""A small project."""

VERSION = {version}
''',
    "gather": '''
"""Stage: an external file → a copy below the root."""

import hashlib
import time

from engine.cache.forms import Gathered, GatherSettings
from engine.cache.probe import reach
from tasks.engine.stage import stage
from tasks.engine.store import Workspace

VERSION = {version}


def source_digest(settings: GatherSettings) -> str:
    return hashlib.sha256(settings.source.read_bytes()).hexdigest()


@stage(extra=source_digest)
def gather(work: Workspace, settings: GatherSettings) -> Gathered:
    """Copy the file and append a line with the version."""
    reach("gather", "start")
    lines = settings.source.read_text().splitlines()
    lines.append("# gather " + str(VERSION // 2))
    work.output("lines.txt").write_text(chr(10).join(lines))
    reach("gather", "written")
    return Gathered(
        file=work.finished("lines.txt"), lines=len(lines), moment=time.monotonic_ns()
    )
''',
    "clean": '''
"""Stage: lines → sorted words, each once."""

from engine.cache.forms import Cleaned, CleanSettings, Gathered
from engine.cache.probe import reach
from story import words
from tasks.engine.stage import stage
from tasks.engine.store import Workspace

VERSION = {version}


@stage()
def clean(work: Workspace, gathered: Gathered, settings: CleanSettings) -> Cleaned:
    reach("clean", "start")
    lines = work.input(gathered.file).read_text().splitlines()
    found = [word for line in lines if not line.startswith("#") for word in words.split(line)]
    kept = sorted({{word for word in found if len(word) >= settings.shortest}})
    content = chr(10).join(kept) + chr(10) * (VERSION // 2)
    work.output("words.txt").write_text(content[: len(content) // 2])
    reach("clean", "half")
    work.output("words.txt").write_text(content)
    return Cleaned(file=work.finished("words.txt"), dropped=len(found) - len(kept))
''',
    "count": '''
"""Stage: words → their number for each first letter."""

import json

from engine.cache.forms import Counted, CountSettings
from engine.cache.probe import reach
from story.words import split
from tasks.engine.stage import stage
from tasks.engine.models import FileRef
from tasks.engine.store import Workspace

VERSION = {version}


@stage()
def count(work: Workspace, file: FileRef, settings: CountSettings) -> Counted:
    import story.tally
    if False:
        import abacus

    reach("count", "start")
    found = split(work.input(file).read_text())
    counts = story.tally.tally(found, settings.minimum)
    counts["version"] = VERSION // 2
    work.output("counts.json").write_text(json.dumps(counts))
    reach("count", "half")
    work.output("total.txt").write_text(str(len(found)))
    reach("count", "written")
    return Counted(counts=work.finished("counts.json"), total=work.finished("total.txt"))
''',
    "grow": '''
"""Stage: the grown file → a file with one more line, in two halves; resumes after a stop."""

from engine.cache.forms import Grown
from engine.cache.probe import reach
from tasks.engine.stage import stage
from tasks.engine.models import FileRef
from tasks.engine.store import Workspace

VERSION = {version}


@stage(label="grow-{{step}}")
def grow(work: Workspace, counts: FileRef, previous: FileRef | None, step: int) -> Grown:
    if False:
        import yeast
    label = f"grow-{{step}}"
    reach(label, "start")
    half = work.scratch / "half.txt"
    if half.exists():
        content = half.read_text()
    else:
        content = work.input(previous).read_text() if previous else ""
        content += work.input(counts).read_text()
        work.scratch.mkdir(exist_ok=True)
        half.write_text(content)
    reach(label, "half")
    content += f" {{step}}/{{VERSION // 2}}" + chr(10)
    work.output("grown.txt").write_text(content)
    reach(label, "written")
    return Grown(file=work.finished("grown.txt"))
''',
    "report": '''
"""Stage: everything → a page."""

from engine.cache.forms import Cleaned, Reported, ReportSettings
from engine.cache.probe import reach
from tasks.engine.stage import stage
from tasks.engine.models import FileRef
from tasks.engine.store import Workspace

VERSION = {version}


@stage()
def report(
    work: Workspace, cleaned: Cleaned, grown: tuple[FileRef, ...], settings: ReportSettings
) -> Reported:
    reach("report", "start")
    parts = [settings.title, str(VERSION // 2), f"{{cleaned.dropped}} dropped"]
    parts += [work.input(file).read_text() for file in (cleaned.file, *grown)]
    work.output("page.txt").write_text(chr(10).join(parts))
    return Reported(file=work.finished("page.txt"))
''',
    "words": '''
"""Lines → words."""
{accents}
VERSION = {version}


def split(line: str) -> list[str]:
    """Return words in lower case, with a stroke that depends on the version."""
    return [{word} + "'" * (VERSION // 2) for word in line.lower().split()]
''',
    "accents": '''
"""Words → words with an accent."""

VERSION = {version}


def accent(word: str) -> str:
    """Append an accent to the word."""
    return word + "`" * (VERSION // 2)
''',
    "tally": '''
"""Words → counts by first letter."""

VERSION = {version}


def tally(words: list[str], minimum: int) -> dict[str, int]:
    """Count words by first letter, without letters rarer than the minimum."""
    letters = [word[0] for word in words]
    counts = {{letter: letters.count(letter) for letter in sorted(letters)}}
    return {{a: n + VERSION // 2 for a, n in counts.items() if n >= minimum}}
''',
    "spare": '''
"""Imported by nobody."""

VERSION = {version}
''',
    "job": '''
"""The stages in their order."""

from engine.cache.forms import StorySettings
from story.clean import clean
from story.count import count
from story.gather import gather
from story.grow import grow
from story.report import report
from typing import Any

VERSION = {version}


def run_story(executor: Any, settings: StorySettings) -> dict[str, object]:
    """Return the records of all stages by label."""
    records = {{}}
    gathered = records["gather"] = gather(executor, settings.gather)
    cleaned = records["clean"] = clean(executor, gathered, settings.clean)
    counted = records["count"] = count(executor, cleaned.file, settings.count)
    grown = []
    for step in range(1, settings.steps + 1):
        previous = grown[-1] if grown else None
        records[f"grow-{{step}}"] = grow(executor, counted.counts, previous, step)
        grown.append(records[f"grow-{{step}}"].file)
    records["report"] = report(executor, cleaned, tuple(grown), settings.report)
    return records
''',
}

MODULES = tuple(SOURCES)
HELPERS = ("words", "accents", "tally")
STYLES = ("as written", "commented", "reformatted", "without docstrings")


def source_text(module: str, version: int, style: str) -> str:
    """Return a module's source; the style changes only comments and formatting."""
    accented = version >= 2
    text = SOURCES[module].format(
        version=version,
        accents="\nfrom . import accents\n" if accented else "",
        word="accents.accent(word)" if accented else "word",
    )
    if style == "commented":
        return "# A comment.\n" + text.replace("\n\n\n", "\n\n\n# Another one.\n\n")
    if style == "reformatted":
        return ast.unparse(ast.parse(text)).replace("\n", "  \n")
    if style == "without docstrings":
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.FunctionDef)) and ast.get_docstring(node):
                node.body = node.body[1:] or [ast.Pass()]
        return ast.unparse(tree)
    return text


class Clock:
    """Clock that gives every edit a distinct time.

    Two edits within a tick of the kernel's clock (4 ms) would leave the same file time,
    and Python's byte code compares whole seconds.
    """

    def __init__(self) -> None:
        self.now = time.time_ns()

    def stamp(self, path: Path) -> None:
        self.now += 1_000_000_000
        os.utime(path, ns=(self.now, self.now))


class Project:
    """Folder of the project, with the current versions of its modules."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        # From version 2 on, `words` imports a module itself.
        self.versions = dict.fromkeys(SOURCES, 0) | {"words": 2}
        self.styles = dict.fromkeys(SOURCES, STYLES[0])
        self.imported: ModuleType | None = None
        self.package = folder / "story"
        self.package.mkdir(parents=True)
        for module in SOURCES:
            self.write(module)
        sys.path.insert(0, str(folder))

    def write(self, module: str) -> None:
        path = self.package / f"{module}.py"
        path.write_text(source_text(module, self.versions[module], self.styles[module]))
        self.clock.stamp(path)
        self.imported = None

    def job(self) -> ModuleType:
        """Return the module `story.job`; after an edit, import it and its imports again."""
        if self.imported is None:
            forget()
            importlib.invalidate_caches()
            self.imported = importlib.import_module("story.job")
        return self.imported

    def close(self) -> None:
        forget()
        sys.path.remove(str(self.folder))
        for path in [p for p in sys.path_importer_cache if p.startswith(str(self.folder))]:
            del sys.path_importer_cache[path]


def forget() -> None:
    for name in [n for n in sys.modules if n == "story" or n.startswith("story.")]:
        del sys.modules[name]
