"""Tests of studies from the command line, on a small data set."""

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import bars
from helpers.commands import PIPELINE, STUDY, Finished, run_script

from flows.cli.study import study_main
from tasks.runtime.dask import local_cluster
from tasks.study.run import read_table
from tasks.study.variants import EXERCISES

BASE = (
    *("--conv-filters", "2,2", "--conv-sizes", "3", "--dense", "4", "--digests", "none"),
    *("--iterations", "12", "--batch-size", "8", "--learning-rate", "0.01", "--seeds", "2"),
)


def runs(done: Finished) -> list[str]:
    """Return the log lines of runs."""
    return [line for line in done.lines if line.startswith("[")]


def trained(root: Path) -> list[Path]:
    return sorted(root.glob("records/train-*.json"))


def test_without_a_name_all_questions_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert study_main([]) == 0
    printed = capsys.readouterr().out
    for exercise in EXERCISES:
        assert f"{exercise.name} " in printed
        assert exercise.question in printed
    assert "--" not in printed, "questions, not settings"


def test_unknown_exercise_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert study_main(["drop-out"]) == 1
    assert "drop-out" in capsys.readouterr().err


@pytest.mark.parametrize("script", [PIPELINE, STUDY])
def test_invalid_network_is_refused_before_any_run(script: Path, tmp_path: Path) -> None:
    names = ("strides",) if script == STUDY else ()
    done = run_script(script, *names, "--conv-sizes", "29", "--artifacts", tmp_path / "root")
    (line,) = done.lines
    assert line.startswith("error: --conv-sizes")
    assert done.code == 2
    assert not (tmp_path / "root").exists()


def test_no_other_user_can_send_tasks_to_a_local_cluster() -> None:
    assert local_cluster(2)["cluster_kwargs"]["security"] is True


@pytest.fixture(scope="module")
def study(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Finished]:
    source = bars.write(tmp_path_factory.mktemp("study") / "source")

    def run(*arguments: str | Path) -> Finished:
        return run_script(
            STUDY, *arguments, *BASE, "--source", source, PREFECT_API_URL=prefect_server
        )

    return run


@pytest.mark.server
@pytest.mark.tensorflow
def test_runs_are_announced_trained_once_and_kept(
    study: Callable[..., Finished], tmp_path: Path
) -> None:
    root, document = tmp_path / "root", tmp_path / "EXERCISES.md"
    first = study("relu-on-logits", "no-pooling", "--artifacts", root, "--write", document)
    assert first.code == 0, first.lines
    # Both exercises share their first variant: three variants with two seeds are six runs.
    assert len(runs(first)) == len(trained(root)) == 6
    assert any(line.endswith(" 0 cached, 6 to train") for line in first.lines)
    assert first.lines.index(runs(first)[0]) > next(
        n for n, line in enumerate(first.lines) if line.startswith("about ")
    )
    table = read_table((root / "studies" / "runs.csv").read_text(encoding="utf-8"))
    assert [row.test_total for row in table] == [200] * 8
    assert "## 10. No pooling" in document.read_text(encoding="utf-8")
    assert (root / "studies" / "index.html").is_file()

    # Others on a cluster, of which some are cached; too large a filter is no reason to stop.
    again = study("no-pooling", "layer-shapes", "--workers", "2", "--artifacts", root)
    assert again.code == 0, again.lines
    assert len(trained(root)) == 6 + 14, again.lines
    later = read_table((root / "studies" / "runs.csv").read_text(encoding="utf-8"))
    assert {row.exercise for row in later} == {"relu-on-logits", "no-pooling", "layer-shapes"}
    assert not any(row.problem for row in later)


@pytest.mark.server
@pytest.mark.tensorflow
def test_failure_of_some_runs_is_told_and_of_all_is_an_error(
    study: Callable[..., Finished], tmp_path: Path
) -> None:
    root = tmp_path / "root"
    done = study("strides", "--device", "gpu", "--artifacts", root)
    assert done.code == 1
    assert done.last == "error: no run has a result"
    assert any("--device gpu" in line for line in runs(done)), done.lines
    rows = read_table((root / "studies" / "runs.csv").read_text(encoding="utf-8"))
    assert all("--device gpu" in row.problem for row in rows)
