"""What a stage's code is: the digest of its module and of every module that it imports.

Prefect's `TASK_SOURCE` policy sees the text of the task function alone
(PrefectHQ/prefect issues 16925, 23062): editing a helper would serve stale results,
reformatting would run everything again. Here a module counts as parsed syntax
without comments, docstrings and formatting, together with everything of this
repository that it imports, directly or not.

What a module's text comes to is kept beside what Python itself keeps of it, in `__pycache__`:
to parse this project's modules takes half a second.
"""

import ast
import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[1]

MACHINERY = frozenset(
    {
        "tasks.caching",
        "tasks.cluster",
        "tasks.console",
        "tasks.errors",
        "tasks.fingerprint",
        "tasks.presets",
        "tasks.records",
        "tasks.remote",
        "tasks.settings",
        "tasks.stage",
        "tasks.store",
        "tasks.threads",
    }
)
"""Modules that move results about or talk to people but make none of them. Settings and
records are among them since their values stand in the key themselves: a new option for
the report need not train again."""


def code_digests(name: str, project: Path = PROJECT) -> dict[str, str]:
    """Digests of a module and of all modules of the project that it imports.

    Args:
        name: of the module, dotted, e.g. `tasks.model.train`.
        project: folder that dotted names start from.

    Returns:
        Path relative to the project → SHA-256 of the module's syntax, sorted by path.
    """
    found: dict[str, str] = {}
    waiting = list(with_packages(name))
    while waiting:
        name = waiting.pop()
        path = module_path(name, project)
        if path is None or name in MACHINERY:
            continue
        label = path.relative_to(project).as_posix()
        if label not in found:
            status = path.stat()
            module = read_module(path, name, status.st_size, status.st_mtime_ns)
            found[label] = module.digest
            waiting.extend(module.imported)
    return dict(sorted(found.items()))


def dotted_name(path: str) -> str:
    """The module of a path relative to the project: `tasks/data/idx.py` → `tasks.data.idx`."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def module_path(name: str, project: Path) -> Path | None:
    """The file of a module of this project; None for any other name."""
    base = project.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


class Module(NamedTuple):
    """What counts of a module's text."""

    digest: str
    """SHA-256 of its syntax."""
    imported: tuple[str, ...]
    """Dotted names that it may import."""


@functools.lru_cache(maxsize=1024)
def read_module(path: Path, name: str, size: int, mtime_ns: int) -> Module:
    """What counts of a module, from what is kept of the same text or else from the text."""
    text = path.read_bytes()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    origin = hashlib.sha256(b"\0".join([parser_version(), package.encode(), text])).hexdigest()
    place = Path(importlib.util.cache_from_source(str(path))).with_suffix(".fingerprint")
    module = recall(place, origin)
    if module is None:
        module = parse(text, package)
        keep(place, origin, module)
    return module


def parse(text: bytes, package: str) -> Module:
    """What counts of a module's text.

    Args:
        text: of the module.
        package: dotted name of the package that relative imports start from.
    """
    tree = ast.parse(text)
    imported = tuple(dict.fromkeys(imported_names(tree, package)))
    return Module(hashlib.sha256(syntax(tree).encode()).hexdigest(), imported)


@functools.cache
def parser_version() -> bytes:
    """What becomes of a text depends on this module and on Python's syntax tree."""
    return hashlib.sha256(Path(__file__).read_bytes() + sys.version.encode()).digest()


def recall(place: Path, origin: str) -> Module | None:
    """What is kept at a place; None unless it is whole and comes from this origin."""
    try:
        seal, content = place.read_bytes().split(b"\n", 1)
    except (OSError, ValueError):
        return None
    if seal != seal_of(content):
        return None
    kept = json.loads(content)
    return Module(kept["digest"], tuple(kept["imported"])) if kept["origin"] == origin else None


def keep(place: Path, origin: str, module: Module) -> None:
    """Keep what counts of a module, if it can be written and Python may keep its own there."""
    if sys.dont_write_bytecode:
        return
    content = json.dumps({"origin": origin, **module._asdict()}).encode()
    temporary = place.with_suffix(f".{os.getpid()}.tmp")
    with contextlib.suppress(OSError):  # what is not kept is parsed again the next time
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(seal_of(content) + b"\n" + content)
        temporary.replace(place)
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)


def seal_of(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def imported_names(tree: ast.Module, package: str) -> Iterator[str]:
    """Dotted names that a module imports anywhere, and the packages above them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [base])])
            # `from package import name` may name a module or something in one.
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            yield from with_packages(name)


def with_packages(name: str) -> Iterator[str]:
    """A dotted name and the packages above it, which are imported with it."""
    parts = name.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def syntax(tree: ast.Module) -> str:
    """A module's syntax without docstrings, comments, formatting and positions."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and any(map(is_text, block)):
                # A string that stands alone is a comment wherever it stands.
                rest = [child for child in block if not is_text(child)]
                setattr(node, name, rest or ([ast.Pass()] if name == "body" else []))
    return ast.dump(tree)


def is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
