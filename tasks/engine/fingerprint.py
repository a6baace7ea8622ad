"""The fingerprint of a stage's code: its module and every module that it imports.

Prefect's `TASK_SOURCE` policy sees the text of the task function alone (PrefectHQ/prefect issues
16925, 23062): an edited helper would give stale results, and reformatting would run everything
again. Here a module counts as parsed syntax without comments, docstrings and formatting, together
with every module of this repository that it imports, directly or not.

Paths of modules do not count: an import of this repository counts as the names that it binds and
the digest of the imported module. So a module can be moved or renamed without a stage running
again.

Parsing this project takes half a second. So the result for each module is cached in
`__pycache__`, beside the byte code.
"""

import ast
import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tasks.engine.digests import json_sha256

PROJECT = Path(__file__).resolve().parents[2]

DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}
"""Packages whose distribution has another name."""

NOT_COUNTED = ("tasks.engine", "tasks.runtime", "tasks.settings", "tasks.records")
"""Packages that move results about or talk to people, but compute none of them.

The values of settings and records stand in the key themselves: a new option for the report must
not train again.
"""


def is_counted(name: str, own: str) -> bool:
    """Return whether a module is part of fingerprints.

    Args:
        name: dotted name of the module.
        own: top-level package of the stage; modules beside it belong to other distributions.
    """
    return f"{name}.".startswith(f"{own}.") and not any(
        f"{name}.".startswith(f"{package}.") for package in NOT_COUNTED
    )


class Fingerprint(NamedTuple):
    """The code that a stage's result depends on."""

    code: dict[str, str]
    """Path relative to the project → SHA-256 of the module's syntax, sorted by path."""
    imports: str
    """SHA-256 of the modules that each module imports, given by their digests."""
    libraries: tuple[str, ...] = ()
    """Distributions that these modules import, at the top or in a function, sorted."""


def fingerprint(name: str, project: Path = PROJECT) -> Fingerprint:
    """Return the fingerprint of a module and of all modules of the project that it imports.

    Args:
        name: dotted name of the module, e.g. `tasks.model.train`.
        project: folder that contains the top-level packages.
    """
    own = name.partition(".")[0]
    modules: dict[str, Module | None] = {}  # by dotted name; None: no module of the project
    code: dict[str, str] = {}
    waiting = list(with_packages(name))
    while waiting:
        name = waiting.pop()
        if name in modules:
            continue
        path = module_path(name, project) if is_counted(name, own) else None
        modules[name] = module = load_module(path, name) if path else None
        if path and module:
            code[path.relative_to(project).as_posix()] = module.digest
            waiting.extend(module.imported)
    return Fingerprint(
        code=dict(sorted(code.items())),
        imports=digest_of_imports(modules),
        libraries=imported_distributions(modules, own),
    )


def imported_distributions(modules: Mapping[str, "Module | None"], own: str) -> tuple[str, ...]:
    """Return the distributions of the imported packages, without Python's and the project's own."""
    packages = {name.partition(".")[0] for name, module in modules.items() if module is None}
    others = packages - sys.stdlib_module_names - {own, "__future__"}
    return tuple(sorted({DISTRIBUTIONS.get(name, name) for name in others if name}))


def digest_of_imports(modules: Mapping[str, "Module | None"]) -> str:
    """Return the digest of which module imports which, without their paths.

    It differs when a name comes from another module, although all modules stay the same.
    """
    edges = {
        " ".join([module.digest, *digests_of_targets(module, modules)])
        for module in modules.values()
        if module
    }
    return json_sha256(sorted(edges))


def digests_of_targets(module: "Module", modules: Mapping[str, "Module | None"]) -> list[str]:
    """Return the digests of the modules that a module imports, without empty ones."""
    targets = [target.digest for name in module.imported if (target := modules[name])]
    return [digest for digest in targets if digest != EMPTY_MODULE]


def dotted_name(path: str) -> str:
    """Return the module of a path: `tasks/data/idx.py` → `tasks.data.idx`."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def module_path(name: str, project: Path) -> Path | None:
    """Return the file of a module of this project, or None for any other name."""
    base = project.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


class Module(NamedTuple):
    """The parts of a module's text that count."""

    digest: str
    """SHA-256 of its syntax, without the paths of imported modules."""
    imported: tuple[str, ...]
    """Dotted names that it may import, in the order of its import statements."""


def load_module(path: Path, name: str) -> Module:
    """Return the parts of a module's text that count, as the file is now."""
    status = path.stat()
    return read_module(path, name, (status.st_size, status.st_mtime_ns))


@functools.lru_cache(maxsize=1024)
def read_module(path: Path, name: str, _identity: tuple[int, int]) -> Module:
    """Return the parts of a module's text that count, cached or parsed."""
    text = path.read_bytes()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    origin = hashlib.sha256(b"\0".join([parser_version(), package.encode(), text])).hexdigest()
    place = Path(importlib.util.cache_from_source(str(path))).with_suffix(".fingerprint")
    module = read_cache(place, origin)
    if module is None:
        module = parse_module(text, package)
        write_cache(place, origin, module)
    return module


def parse_module(text: bytes, package: str) -> Module:
    """Return the parts of a module's text that count.

    Args:
        text: source of the module.
        package: dotted name of the package where relative imports start.
    """
    tree = ast.parse(text)
    imported = tuple(imported_names(tree, package))
    own = package.split(".", maxsplit=1)[0]
    return Module(hashlib.sha256(syntax(tree, own).encode()).hexdigest(), imported)


@functools.cache
def parser_version() -> bytes:
    """Return the digest of this module and of Python's version, which decide the syntax tree."""
    return hashlib.sha256(Path(__file__).read_bytes() + sys.version.encode()).digest()


def read_cache(place: Path, origin: str) -> Module | None:
    """Return the cached module if the file is whole and belongs to this origin."""
    try:
        seal, content = place.read_bytes().split(b"\n", 1)
    except (OSError, ValueError):
        return None
    if seal != seal_of(content):
        return None
    cached = json.loads(content)
    if cached["origin"] != origin:
        return None
    return Module(cached["digest"], tuple(cached["imported"]))


def write_cache(place: Path, origin: str, module: Module) -> None:
    """Cache a module if Python may write byte code there, too."""
    if sys.dont_write_bytecode:
        return
    content = json.dumps({"origin": origin, **module._asdict()}).encode()
    temporary = place.with_suffix(f".{os.getpid()}.tmp")
    with contextlib.suppress(OSError):  # an entry that cannot be written is parsed again
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(seal_of(content) + b"\n" + content)
        temporary.replace(place)
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)


def seal_of(content: bytes) -> bytes:
    """Return the checksum line of a cached module."""
    return hashlib.sha256(content).hexdigest().encode()


def imported_names(tree: ast.Module, package: str) -> Iterator[str]:
    """Yield the dotted names that a module imports anywhere, and the packages above them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = import_base(node, package)
            # `from package import name` may name a module or an attribute of one.
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            yield from with_packages(name)


def import_base(node: ast.ImportFrom, package: str) -> str:
    """Return the absolute dotted name of the module in `from … import`."""
    if not node.level:
        return node.module or ""
    parents = package.split(".")
    base = parents[: len(parents) - node.level + 1]
    return ".".join([*base, *filter(None, [node.module])])


def with_packages(name: str) -> Iterator[str]:
    """Yield a dotted name's packages, outermost first, and the name itself."""
    parts = name.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def syntax(tree: ast.Module, own: str) -> str:
    """Return a module's syntax without docstrings, comments, formatting and own module paths.

    Args:
        tree: parsed module; it is changed.
        own: top-level package of the project that the module belongs to.
    """
    for node in ast.walk(tree):
        remove_texts(node)
        if isinstance(node, ast.ImportFrom) and is_own(node, own):
            node.module, node.level = None, 0
    return ast.dump(tree)


def is_own(node: ast.ImportFrom, own: str) -> bool:
    """Return whether an import names a module of this project."""
    return bool(node.level) or f"{node.module}.".startswith(f"{own}.")


def remove_texts(node: ast.AST) -> None:
    """Remove strings that stand alone, which are comments wherever they stand."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list) and any(map(is_text, block)):
            rest = [child for child in block if not is_text(child)]
            needs_body = name == "body" and not isinstance(node, ast.Module)
            setattr(node, name, rest or ([ast.Pass()] if needs_body else []))


def is_text(node: ast.stmt) -> bool:
    """Return whether a statement is a string that stands alone."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


EMPTY_MODULE = parse_module(b"", "").digest
"""Digest of a module without code, such as most `__init__.py`."""
