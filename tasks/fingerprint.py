"""What a stage's code is: the digest of its module and of every module that it imports.

Prefect's `TASK_SOURCE` policy sees the text of the task function alone
(PrefectHQ/prefect issues 16925, 23062): editing a helper would serve stale results,
reformatting would run everything again. Here a module counts as parsed syntax
without comments, docstrings and formatting, together with everything of this
repository that it imports, directly or not.
"""

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]

MACHINERY = frozenset(
    {
        "tasks.caching",
        "tasks.console",
        "tasks.errors",
        "tasks.fingerprint",
        "tasks.presets",
        "tasks.records",
        "tasks.settings",
        "tasks.stage",
        "tasks.store",
        "tasks.turns",
    }
)
"""Modules that move results about or talk to people but make none of them. Settings and
records are among them since their values stand in the key themselves: a new option for
the report need not train again."""


def code_digests(module: str, project: Path = PROJECT) -> dict[str, str]:
    """Digests of a module and of all modules of the project that it imports.

    Args:
        module: dotted name, e.g. `tasks.model.train`.
        project: folder that dotted names start from.

    Returns:
        Path relative to the project → SHA-256 of the module's syntax, sorted by path.
    """
    found: dict[str, str] = {}
    waiting = list(with_packages(module))
    while waiting:
        name = waiting.pop()
        path = module_path(name, project)
        if path is None or name in MACHINERY:
            continue
        label = path.relative_to(project).as_posix()
        if label not in found:
            status = path.stat()
            digest, imported = read_module(path, name, status.st_size, status.st_mtime_ns)
            found[label] = digest
            waiting.extend(imported)
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


@functools.lru_cache(maxsize=1024)
def read_module(path: Path, name: str, size: int, mtime_ns: int) -> tuple[str, tuple[str, ...]]:
    """Digest of a module's syntax, and the dotted names that it may import."""
    tree = ast.parse(path.read_bytes())
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imported = tuple(dict.fromkeys(imported_names(tree, package)))
    return hashlib.sha256(syntax(tree).encode()).hexdigest(), imported


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
