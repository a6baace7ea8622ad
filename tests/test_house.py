"""Rules for the source code that no linter has."""

import re
import tomllib
from pathlib import Path

from tasks.runtime.watch import SILENCE_SECONDS

PROJECT = Path(__file__).resolve().parents[1]


def test_only_the_command_lines_import_cyclopts() -> None:
    importers = {
        path.relative_to(PROJECT).as_posix()
        for folder in ("flows", "tasks")
        for path in (PROJECT / folder).rglob("*.py")
        if re.search(
            r"^\s*(from|import) cyclopts\b", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert importers
    assert all(name.startswith("flows/cli/") for name in importers), importers


def test_the_seconds_without_a_heartbeat_are_the_same_everywhere() -> None:
    prefect = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["prefect"]
    assert 3 * prefect["flows"]["heartbeat_frequency"] == SILENCE_SECONDS
    page = (PROJECT / "docs" / "DEPLOY.md").read_text(encoding="utf-8")
    assert re.findall(r"no heartbeat for\s+(\d+) s", page) == [f"{SILENCE_SECONDS:.0f}"]
