"""Tests that commands, options and paths in README and docs exist."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from cyclopts import App

from flows.cli.common import with_refresh_all
from flows.cli.pipeline import pipeline_app
from flows.cli.predict import predict_app
from flows.cli.retrain import retrain_app
from flows.cli.study import study_app

PROJECT = Path(__file__).resolve().parents[1]
PAGES = [
    PROJECT / "README.md",
    PROJECT / "CHANGELOG.md",
    PROJECT / "artifacts" / "README.md",
    *sorted((PROJECT / "docs").glob("*.md")),
]
APPS: dict[str, Callable[[], App]] = {
    "flows/pipeline.py": pipeline_app,
    "flows/predict.py": predict_app,
    "flows/retrain.py": retrain_app,
    "flows/study.py": study_app,
}
FLOW = re.compile(r"python (flows/\w+\.py)(.*)")
MAKE = re.compile(r"\bmake ([a-z]+)\b")
FOLDERS = "flows|tasks|tests|docs|benchmarks"
OPTION = re.compile(r"`(--[a-z][a-z-]*)")
OTHER_OPTIONS = {"--limit", "--resources", "--params", "--workers"}
"""Options of Prefect's and Dask's command lines."""


def code(page: Path) -> list[str]:
    """Return the lines of a page's code blocks, and its inline code."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    return [line for block in blocks for line in block.splitlines()] + inline


def check(script: str, arguments: str) -> None:
    """Parse the arguments of a flow's command line without running it."""
    words = with_refresh_all(shlex.split(arguments, comments=True))
    if "--help" not in words:
        APPS[script]().parse_args(words, exit_on_error=False, print_error=False)


PRINTED = sorted(
    {
        match.groups()
        for page in PAGES
        for line in code(page)
        if (match := FLOW.search(line)) and match[1] in APPS
    }
)


@pytest.mark.parametrize(("script", "arguments"), PRINTED)
def test_printed_command_is_accepted(script: str, arguments: str) -> None:
    check(script, arguments)


def test_check_refuses_an_unknown_option() -> None:
    from cyclopts import CycloptsError

    with pytest.raises(CycloptsError, match="--sed"):
        check("flows/pipeline.py", "--sed 3")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_printed_targets_and_their_options_exist(page: Path) -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    for line in code(page):
        if line.startswith("make "):
            assert set(MAKE.findall(line.partition("#")[0])) <= targets, line
        if match := re.search(r'make run ARGS="([^"]*)"', line):
            check("flows/pipeline.py", match[1])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_options_exist(page: Path) -> None:
    sources = (*PROJECT.glob("tasks/settings/*.py"), *PROJECT.glob("flows/cli/*.py"))
    known = " ".join(path.read_text(encoding="utf-8") for path in sources)
    for option in OPTION.findall(page.read_text(encoding="utf-8")):
        name = re.sub("^--(no-)?", "", option).replace("-", "_")
        assert option in OTHER_OPTIONS or re.search(rf'\b{name}:|"{option}"', known), option


@pytest.mark.parametrize(
    "page",
    PAGES,
    ids=lambda page: page.name,
)
def test_named_paths_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        assert "://" in link or (page.parent / link).exists(), link
    for path in re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", text):
        assert (PROJECT / path).exists(), path
