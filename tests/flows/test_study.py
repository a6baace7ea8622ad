"""Tests of studies from the command line, on a small data set."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import bars
from helpers.commands import PIPELINE, STUDY, Finished, run_script

from tasks.study.exercises import STUDIES
from tasks.words import escape_markdown

BASE = (
    *("--conv-filters", "2,2", "--conv-sizes", "3", "--dense", "4", "--digests", "none"),
    *("--iterations", "12", "--batch-size", "8", "--learning-rate", "0.01", "--seeds", "2"),
)


def runs(done: Finished) -> list[str]:
    """Return the log lines of variants, without their times."""
    return [line.partition(", trained in")[0] for line in done.lines if line.startswith("[")]


def answer_of(root: Path, study: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((root / "studies" / study / "answer.json").read_text())
    return answer


def trained(root: Path) -> list[Path]:
    return sorted(root.glob("records/train-*.json"))


def test_without_a_name_all_studies_are_listed(tmp_path: Path) -> None:
    done = run_script(STUDY, cwd=tmp_path)
    assert done.code == 0
    for study in STUDIES:
        assert any(line.startswith(f"{study.number:>2}  {study.name} ") for line in done.lines)
        assert any(study.question in line for line in done.lines)


def test_unknown_study_is_refused_with_the_known_names(tmp_path: Path) -> None:
    done = run_script(STUDY, "drop-out", cwd=tmp_path)
    (line,) = done.lines
    assert line.startswith("error: drop-out: no such study; there are repeat, longer, ")
    assert done.code == 1


def test_several_networks_are_refused(tmp_path: Path) -> None:
    done = run_script(STUDY, "strides", "--networks", "3", cwd=tmp_path)
    assert done.lines == ["error: --networks: a study compares single networks; leave it out"]


@pytest.mark.parametrize("script", [PIPELINE, STUDY])
def test_invalid_network_is_refused_before_any_run(script: Path, tmp_path: Path) -> None:
    names = ("strides",) if script == STUDY else ()
    done = run_script(script, *names, "--conv-sizes", "29", "--artifacts", tmp_path / "root")
    assert done.lines == [
        "error: --conv-sizes: filters of 29 × 29 pixels are larger than the images of 28 × 28; use"
        " smaller ones"
    ]
    assert done.code == 2
    assert not (tmp_path / "root").exists()


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
def test_variants_run_once_and_the_answer_is_cached(
    study: Callable[..., Finished], tmp_path: Path
) -> None:
    root, document = tmp_path / "root", tmp_path / "EXERCISES.md"
    first = study("strides", "no-pooling", "--artifacts", root, "--write", document)
    assert first.code == 0, first.lines
    # Both studies share their first variant: three variants with two seeds are six runs.
    assert len(runs(first)) == len(trained(root)) == 6
    strides = answer_of(root, "strides")
    for row in strides["rows"]:
        assert [result["test_images"] for result in row["results"]] == [200, 200]
    assert strides["rows"][1]["time"]["different"] <= 1
    conclusion = strides["conclusion"]
    text = document.read_text(encoding="utf-8")
    for sentence in (conclusion["answer"], *conclusion["numbers"]):
        assert escape_markdown(sentence) in text
    for row in strides["rows"]:
        for result in row["results"]:
            assert (root / result["folder"] / "checkpoint.safetensors").is_file()
    assert any("6 runs; about " in line for line in first.lines)
    assert (tmp_path / "exercises" / "strides.png").read_bytes()[:4] == b"\x89PNG"

    # Again from the cache, then from the records alone.
    again = study("strides", "--workers", "1", "--artifacts", root)
    assert again.code == 0
    assert len(runs(again)) == 4
    assert len(trained(root)) == 6
    kept = study("strides", "relu-pooling-order", "--cached-only", "--artifacts", root)
    assert kept.code == 0, kept.lines
    assert not runs(kept)
    later = answer_of(root, "strides")
    assert later["rows"] == strides["rows"]
    order = answer_of(root, "relu-pooling-order")
    assert "10 of 12 runs are missing." in order["conclusion"]["numbers"]


FAILING = """
import sys

if __name__ == "__main__":
    from flows.study import mnist_study
    from tasks.settings import Settings
    from tasks.study import exercises as studies
    from tasks.study.design import Study, Variant

    changes = {
        "fine": {},
        "no GPU": {"training": {"device": "gpu"}},
        "too large": {"network": {"conv_sizes": [9]}},
        "fine, too": {"network": {"dense": [8]}},
    }
    variants = tuple(Variant(name=name, changes=values) for name, values in changes.items())
    studies.BY_NAME["odd"] = Study(
        number=1, name="odd", question="What fails?", variants=variants, probes=True
    )
    settings = Settings.model_validate({
        "artifacts": sys.argv[1],
        "download": {"source": sys.argv[2], "digests": "none"},
        "schedule": {"iterations": 12},
        "network": {"conv_filters": [2, 2], "conv_sizes": [3], "dense": [4]},
    })
    mnist_study(["odd"], settings, seeds="1", workers=1)
"""


@pytest.mark.server
@pytest.mark.tensorflow
def test_failed_variant_does_not_stop_the_others(prefect_server: str, tmp_path: Path) -> None:
    source = bars.write(tmp_path / "source")
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    done = run_script(script, tmp_path / "root", source, PREFECT_API_URL=prefect_server)
    assert done.code == 0, done.lines
    answer = answer_of(tmp_path / "root", "odd")
    (fine,) = answer["rows"][0]["results"]
    assert 0 <= fine["training"] <= 1
    assert fine["probe"]["layers"] == ["conv1", "conv2", "fc1", "fc2"]
    failures = {row["variant"]: " ".join(row["failures"]) for row in answer["rows"]}
    assert failures["fine"] == failures["fine, too"] == ""
    assert failures["no GPU"].startswith("--device gpu: ")
    assert failures["too large"].startswith("--conv-sizes: filters of 9 × 9 pixels are larger")
    assert "2 of 4 runs are missing." in answer["conclusion"]["numbers"]
