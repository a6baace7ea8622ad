"""Size of the code, folder by folder, beside its budget: `python -m benchmarks.house [FOLDER]`.

Code lines are those that hold a token other than comments and docstrings.
"""

import ast
import io
import statistics
import sys
import tokenize
from dataclasses import dataclass, field
from pathlib import Path

BUDGETS = {
    "flows": (("flows",), 1_000),
    "settings and small": (
        ("tasks/settings", "tasks/records.py", "tasks/statistics.py", "tasks/geometry.py",
         "tasks/words.py", "tasks/__init__.py"),
        1_100,
    ),
    "data, images, scoring": (("tasks/data", "tasks/images", "tasks/scoring"), 4_000),
    "model": (("tasks/model",), 2_200),
    "report": (("tasks/report",), 2_700),
    "study": (("tasks/study",), 600),
    "champion": (("tasks/champion",), 1_000),
    "engine": (("tasks/engine",), 2_100),
    "runtime": (("tasks/runtime",), 1_000),
}  # fmt: skip
"""Files or folders of each room, and the most lines that it should have."""
CODE, TESTS = 16_000, 13_000
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


@dataclass
class Size:
    """Size of some modules."""

    files: int = 0
    lines: int = 0
    code: int = 0
    functions: list[int] = field(default_factory=list)
    """Lines of each function, docstring included."""

    def add(self, path: Path) -> None:
        """Count a module."""
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        self.files += 1
        self.lines += len(text.splitlines())
        self.code += len(code_lines(text) - docstring_lines(tree))
        self.functions += [
            (node.end_lineno or node.lineno) - node.lineno + 1
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]

    def row(self, name: str, budget: int | None = None) -> str:
        """Return the size as a line of the table."""
        lengths = sorted(self.functions) or [0]
        ninetieth = statistics.quantiles([*lengths, lengths[-1]], n=10)[-1]
        return (
            f"{name:<26}{self.files:>6}{self.lines:>8,}{budget or '':>8}{self.code:>8,}"
            f"{len(self.functions):>8,}{statistics.median(lengths):>8.0f}{ninetieth:>6.0f}"
            f"{lengths[-1]:>6}"
        )


def code_lines(text: str) -> set[int]:
    """Return the numbers of the lines with a token that is no comment."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {
        line
        for token in tokens
        if token.type not in NOT_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }


def docstring_lines(tree: ast.Module) -> set[int]:
    """Return the numbers of the lines of docstrings, those below variables and fields included."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def modules(root: Path, places: tuple[str, ...]) -> list[Path]:
    """Return all modules at or below some places."""
    return [
        path
        for place in places
        for path in ([root / place] if place.endswith(".py") else sorted((root / place).rglob("*")))
        if path.suffix == ".py" and path.is_file()
    ]


def size_of(root: Path, *places: str) -> Size:
    """Return the size of all modules at or below some places."""
    size = Size()
    for path in modules(root, places):
        size.add(path)
    return size


def subfolders(root: Path, place: str) -> list[str]:
    """Return a folder's own modules and its folders with modules, relative to the root."""
    found = {path.relative_to(root).parts[1] for path in modules(root, (place,))}
    return [
        f"{place}/{name}" for name in sorted(found, key=lambda name: (name[-3:] == ".py", name))
    ]


def main(root: Path) -> None:
    """Print the sizes of a checkout."""
    print(f"{'':<26}{'files':>6}{'lines':>8}{'budget':>8}{'code':>8}{'functs':>8}", end="")
    print(f"{'median':>8}{'90 %':>6}{'most':>6}")
    for name, (places, budget) in BUDGETS.items():
        print(size_of(root, *places).row(name, budget))
    print(size_of(root, "flows", "tasks").row("flows and tasks", CODE))
    print()
    for place in subfolders(root, "tests"):
        print(size_of(root, place).row(place))
    print(size_of(root, "tests").row("tests", TESTS))
    print(size_of(root, "benchmarks").row("benchmarks"))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
