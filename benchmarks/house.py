"""Measures of the code itself: `python -m benchmarks.house [FOLDER]`.

Prints lines, modules, lengths of functions, import cycles, names defined more than once, and
ruff's D401 findings, so that two versions can be compared.
"""

import ast
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def modules(root: Path, folders: tuple[str, ...]) -> dict[str, Path]:
    """Return every module below some folders, by dotted name."""
    found = {}
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def count_lines(paths: Iterator[Path]) -> int:
    """Return the number of lines in some files."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def imports(tree: ast.Module, known: dict[str, Path]) -> set[str]:
    """Return the known modules that a module imports, when it is loaded or later."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else node.module for name in names}
    return found & known.keys()


def folder_cycles(trees: dict[str, ast.Module], known: dict[str, Path]) -> set[frozenset[str]]:
    """Return pairs of sibling modules or folders that import each other."""
    edges = set()
    for name, tree in trees.items():
        for target in imports(tree, known):
            a, b = name.split("."), target.split(".")
            for depth in range(min(len(a), len(b))):
                if a[depth] != b[depth]:
                    edges.add((".".join(a[: depth + 1]), ".".join(b[: depth + 1])))
                    break
    return {frozenset(edge) for edge in edges if edge[::-1] in edges}


def repeated_names(trees: dict[str, ast.Module]) -> dict[str, list[str]]:
    """Return public functions and classes that are defined in more than one module."""
    places = defaultdict(list)
    for module, tree in trees.items():
        for node in tree.body:
            if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                places[node.name].append(module)
    return {name: where for name, where in sorted(places.items()) if len(where) > 1}


def main(root: Path) -> None:
    """Print the measures of a checkout."""
    code = modules(root, ("flows", "tasks"))
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in code.items()}
    lengths = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, FUNCTIONS)
    ]
    ruff = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "D401", "--config",
         'lint.pydocstyle.convention="google"', "--output-format", "concise", "flows", "tasks"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    repeated = repeated_names(trees)
    print(f"lines, flows and tasks   {count_lines(iter(code.values())):,}")
    print(f"lines, tests             {count_lines((root / 'tests').rglob('*.py')):,}")
    print(f"modules                  {len(code)}")
    print(f"functions                {len(lengths)}")
    print(f"length, median           {statistics.median(lengths):.0f} lines")
    print(f"length, 90th percentile  {statistics.quantiles(lengths, n=10)[-1]:.0f} lines")
    print(f"length, longest          {max(lengths)} lines")
    print(f"mutual imports           {len(folder_cycles(trees, code))}")
    print(f"names defined twice      {len(repeated)}")
    print(f"D401                     {Counter(ruff.stdout.split())['D401']}")
    for name, where in repeated.items():
        print(f"  {name}: {', '.join(where)}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
