"""Tests of command-line options: help and error messages."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import PIPELINE, run_pipeline
from pydantic import BaseModel

from flows.cli.common import with_refresh_all
from tasks.settings import Settings


def option_fields(model: type[BaseModel]) -> list[tuple[str, str]]:
    """Return name and description of every field of the settings, nested ones included."""
    found = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += option_fields(field.annotation)
        else:
            assert field.description, f"{name} has no description"
            found.append((name, field.description))
    return found


def test_help_explains_every_setting_with_its_default() -> None:
    done = run_pipeline("--help", COLUMNS="200")
    text = " ".join(" ".join(line.strip("│ ") for line in done.lines).split())
    assert done.code == 0
    fields = option_fields(Settings)
    assert len(fields) > 20
    for name, description in fields:
        assert f"--{name.replace('_', '-')} " in text
        assert description.split()[0] in text
    assert "[default: 10000]" in text
    assert "[default: 0.0001]" in text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--seed", "-1"], "error: --seed -1: should be greater than or equal to 0"),
        (["--device", "tpu"], "error: --device tpu: should be 'auto', 'cpu' or 'gpu'"),
        (["--batch-size", "0"], "error: --batch-size 0: should be greater than or equal to 1"),
        (
            ["--milestones", "1,x"],
            "error: --milestones x: should be a valid integer, unable to parse string as an"
            " integer",
        ),
        (
            ["--conv-sizes", "3,3,3"],
            "error: --conv-sizes names 3 layers and --conv-filters 2; give one for all layers, or"
            " one for each",
        ),
        (
            ["--digests", "abc"],
            "error: --digests abc: should be auto, mnist, none, or four SHA-256 with commas between"
            " them",
        ),
        (["--sed", "3"], "error: Unknown option: --sed. Did you mean --seed?"),
        (["--learning-rate"], "error: Parameter --learning-rate requires an argument."),
    ],
)
def test_invalid_value_is_refused_in_one_line(
    arguments: list[str], line: str, tmp_path: Path
) -> None:
    done = run_pipeline(*arguments, cwd=tmp_path)
    assert done.lines == [line]
    assert done.code == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], []),
        (["--refresh"], ["--refresh=all"]),
        (["--refresh", "--seed", "1"], ["--refresh=all", "--seed", "1"]),
        (["--refresh", "train", "--seed", "1"], ["--refresh", "train", "--seed", "1"]),
        (["--seed", "1"], ["--seed", "1"]),
    ],
)
def test_refresh_without_a_value_means_all_stages(
    arguments: list[str], expected: list[str]
) -> None:
    assert with_refresh_all(arguments) == expected


def test_closed_pipe_is_not_an_error(tmp_path: Path) -> None:
    command = f"{sys.executable} {PIPELINE} cache ls --artifacts {tmp_path}"
    done = subprocess.run(
        # `true` ends before the first line of output.
        ["bash", "-c", f"{command} | true; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
