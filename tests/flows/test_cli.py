"""Tests of command-line options: help and error messages."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import PIPELINE, run_pipeline

from flows.cli.common import with_refresh_all
from flows.cli.pipeline import pipeline_main
from flows.cli.retrain import retrain_main
from tasks.settings.form import leaf_schemas


def test_help_explains_every_setting_with_its_default() -> None:
    done = run_pipeline("--help", COLUMNS="200")
    text = " ".join(" ".join(line.strip("│ ") for line in done.lines).split())
    assert done.code == 0
    leaves = leaf_schemas()
    assert len(leaves) > 20
    for name, (_, schema) in leaves.items():
        assert f"--{name.replace('_', '-')} " in text
        assert schema["description"].split()[0] in text
    for heading in ("Schedule", "Training", "Network", "Data", "Evaluation", "Report"):
        assert f"─ {heading} ─" in text
    assert "[default: 10000]" in text
    assert "[default: 0.0001]" in text
    assert "--empty-" not in text


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
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pipeline_main(arguments) == 2
    assert capsys.readouterr() == ("", f"{line}\n")


@pytest.mark.parametrize(
    ("arguments", "option"),
    [(["history", "--champion", "a/b"], "--champion a/b"), (["--floor", "2"], "--floor 2")],
)
def test_option_of_a_command_is_named(
    arguments: list[str], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrain_main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"error: {option}: should ")


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
