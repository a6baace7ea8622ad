"""Rules for the source code that no linter has."""

import ast
import re
import tomllib
from pathlib import Path

from benchmarks.house import modules, repeated_names
from tasks.runtime.watch import SILENCE_SECONDS

PROJECT = Path(__file__).resolve().parents[1]


def test_no_function_or_class_name_is_defined_in_two_modules() -> None:
    code = modules(PROJECT, ("flows", "tasks"))
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in code.items()}
    assert len(trees) > 100
    assert repeated_names(trees) == {}


def test_a_name_defined_in_two_modules_is_found() -> None:
    trees = {"a": ast.parse("def one(): ..."), "b": ast.parse("class one: ...\ndef two(): ...")}
    assert repeated_names(trees) == {"one": ["a", "b"]}


def test_only_the_command_lines_import_cyclopts() -> None:
    importers = {
        name
        for name, path in modules(PROJECT, ("flows", "tasks")).items()
        if re.search(
            r"^\s*(from|import) cyclopts\b", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert importers
    assert all(name.startswith("flows.cli.") for name in importers), importers


def test_the_seconds_without_a_heartbeat_are_the_same_everywhere() -> None:
    prefect = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["prefect"]
    assert 3 * prefect["flows"]["heartbeat_frequency"] == SILENCE_SECONDS
    page = (PROJECT / "docs" / "DEPLOY.md").read_text(encoding="utf-8")
    assert re.findall(r"heartbeat for (\d+) s", page) == [f"{SILENCE_SECONDS:.0f}"]
