"""Tests of the pipeline's command line on scikit-learn's digits."""

import html.parser
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import tiny
from helpers.commands import PIPELINE, Finished, run_pipeline, small_disk
from helpers.prefect_runs import newest_artifact

from tasks.data.sources.mnist import IDX_FILES
from tasks.words import percent

pytestmark = [pytest.mark.server, pytest.mark.tensorflow]

DIGITS = ("--source", "digits", "--iterations", "120", "--learning-rate", "0.001")
STAGES = [
    "download",
    "convert",
    "audit",
    "initialise",
    "evaluate-0",
    "train-1",
    "evaluate-1",
    "train-100",
    "evaluate-100",
    "train-120",
    "evaluate-120",
    "export",
    "measure",
    "check-labels",
    "layer-outputs",
    "pack-live",
    "excite",
    "attribute",
    "embed",
    "draw",
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pipeline") / "artifacts"


@pytest.fixture(scope="module")
def first_run(prefect_server: str, root: Path) -> Finished:
    return run_pipeline(*DIGITS, "--artifacts", root, PREFECT_API_URL=prefect_server)


def metrics_of(root: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((root / "latest/report/metrics.json").read_text())
    return metrics


def states_of(root: Path) -> dict[str, str]:
    return {stage["name"]: stage["state"] for stage in metrics_of(root)["stages"]}


def reasons_after(root: Path, *options: str) -> dict[str, str]:
    """Run in this process, and return the reason of each stage that ran."""
    from flows.pipeline import mnist_pipeline

    mnist_pipeline(tiny.settings_of(*options, "--artifacts", str(root)))
    stages = metrics_of(root)["stages"]
    return {stage["name"]: stage["reason"] for stage in stages if stage["state"] == "ran"}


def test_first_run_runs_all_stages_and_writes_a_report(first_run: Finished, root: Path) -> None:
    assert first_run.code == 0, first_run.lines
    page = root / "latest" / "report" / "index.html"
    assert first_run.last == f"report: {page}"
    assert page.stat().st_size < 5_000_000
    assert states_of(root) == dict.fromkeys(STAGES, "ran")
    assert "Optimization Iteration:      1, Training Accuracy:" in "\n".join(first_run.lines)
    for noise in ("oneDNN", "absl", "cuda", "Traceback"):
        assert not [line for line in first_run.lines if noise in line]


def test_metrics_json_is_complete_and_consistent(first_run: Finished, root: Path) -> None:
    metrics = metrics_of(root)
    test = metrics["test"]
    assert test["total"] == 299
    assert test["accuracy"] == test["correct"] / test["total"]
    assert test["accuracy"] > 0.8
    milestones = metrics["milestones"]
    assert [m["iteration"] for m in milestones] == [0, 1, 100, 120]
    assert milestones[0]["accuracy"] < 0.4
    assert milestones[0]["train_seconds"] == 0
    seconds = [m["train_seconds"] for m in milestones]
    assert seconds == sorted(seconds)
    assert metrics["train_seconds"] == seconds[-1] > 0
    matrix = metrics["confusion_matrix"]
    assert len(matrix) == 10
    assert sum(map(sum, matrix)) == 299
    assert sum(matrix[c][c] for c in range(10)) == test["correct"]
    assert metrics["settings"]["training"]["learning_rate"] == 0.001
    assert metrics["seed"] == 0
    assert metrics["device"]["kind"] in ("CPU", "GPU")
    assert set(metrics["versions"]) == {"python", "tensorflow", "prefect"}
    assert all(len(stage["key"]) == 64 for stage in metrics["stages"])
    assert all(stage["reason"] for stage in metrics["stages"])


class Pictures(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.found.append(dict(attributes))


def test_page_embeds_all_figures(first_run: Finished, root: Path) -> None:
    report = root / "latest" / "report"
    parser = Pictures()
    parser.feed((report / "index.html").read_text())
    files = {path.stem for path in report.glob("*.png") if path.read_bytes()[:4] == b"\x89PNG"}
    assert files >= {
        "first-test-images",
        "learning-curve",
        "errors-0",
        "errors-1",
        "errors-100",
        "errors-120",
        "confusion-matrix",
        "conv1-weights-0",
        "conv2-weights-0",
        "conv2-weights-1",
        "image-0",
        "conv1-outputs-0",
        "conv2-outputs-0",
        "image-13",
        "conv1-outputs-13",
        "conv2-outputs-13",
    }
    assert len(parser.found) == len(files)
    assert all(picture["alt"] for picture in parser.found)
    assert all((picture["src"] or "").startswith("data:image/png") for picture in parser.found)


def test_prefect_artifacts_hold_accuracy_and_confusion_matrix(
    first_run: Finished, root: Path
) -> None:
    report, matrix = (
        newest_artifact(key, root) for key in ("mnist-report", "mnist-confusion-matrix")
    )
    assert report.flow_run_id == matrix.flow_run_id
    metrics = metrics_of(root)
    assert percent(metrics["test"]["accuracy"]) in report.data
    assert str(root / "latest/report/index.html") in report.data
    rows = json.loads(matrix.data)
    assert [[row[f"pred {c}"] for c in range(10)] for row in rows] == metrics["confusion_matrix"]


def test_second_run_skips_all_stages_without_importing_heavy_packages(
    first_run: Finished, root: Path, pipeline: Any
) -> None:
    digests = {stage["name"]: stage["key"] for stage in metrics_of(root)["stages"]}
    done = pipeline(*DIGITS, "--artifacts", root, python=("-X", "importtime"))
    imported = {line.split("|")[-1].strip() for line in done.lines if "import time:" in line}
    printed = [line for line in done.lines if "import time:" not in line]
    assert done.code == 0
    assert {"prefect", "pydantic"} <= imported
    assert (
        not {
            "tensorflow",
            "keras",
            "matplotlib",
            "sklearn",
            "scipy",
            "pandas",
            "distributed",
            "s3fs",
        }
        & imported
    )
    assert printed[: len(STAGES)] == [f"{name}: cached" for name in STAGES]
    assert printed[-3] == f"{len(STAGES)} stages: all cached, nothing to do"
    metrics = metrics_of(root)
    assert {stage["state"] for stage in metrics["stages"]} == {"cached"}
    assert {stage["name"]: stage["key"] for stage in metrics["stages"]} == digests
    assert metrics["train_seconds"] > 0


def test_status_lists_what_would_run_without_importing_prefect(
    first_run: Finished, root: Path
) -> None:
    arguments = (*DIGITS, "--artifacts", root, "--status")
    done = run_pipeline(*arguments, python=("-X", "importtime"))
    imported = {line.split("|")[-1].strip() for line in done.lines if "import time:" in line}
    printed = [line.split(maxsplit=1) for line in done.lines if "import time:" not in line]
    assert done.code == 0
    assert not {"prefect", "tensorflow", "keras", "matplotlib", "sklearn"} & imported
    assert printed == [[name, "up to date"] for name in STAGES]

    done = run_pipeline(*DIGITS, "--seed", "1", "--artifacts", root, "--status")
    printed = [line.split(maxsplit=1) for line in done.lines]
    assert printed[:5] == [
        ["download", "up to date"],
        ["convert", "up to date"],
        ["audit", "up to date"],
        ["initialise", "will run: seed 0 → 1"],
        ["evaluate-0", "will run: upstream will run"],
    ]


def test_cache_ls_lists_all_stages_and_prune_keeps_the_latest_run(
    first_run: Finished, root: Path
) -> None:
    done = run_pipeline("cache", "ls", "--artifacts", root)
    assert done.code == 0
    assert {name for line in done.lines for name in STAGES if f" {name} " in f"{line} "} == {
        *STAGES
    }
    done = run_pipeline(
        "cache", "prune", "--keep-latest", "0", "--older-than", "0", "--artifacts", root
    )
    assert done.code == 0
    assert {stage["name"]: stage["state"] for stage in metrics_of(root)["stages"]}
    done = run_pipeline(*DIGITS, "--artifacts", root, "--status")
    assert {line.split(maxsplit=1)[1] for line in done.lines} == {"up to date"}


def test_refresh_runs_the_named_stages_only_if_their_outputs_are_unchanged(
    first_run: Finished, root: Path
) -> None:
    asked = "refresh asked for"
    reasons = reasons_after(root, *DIGITS, "--refresh", "convert,measure")
    assert reasons == {"convert": asked, "measure": asked}


def test_figure_setting_runs_only_draw(first_run: Finished, root: Path) -> None:
    assert reasons_after(root, *DIGITS, "--conv2-channels", "3").keys() == {"draw"}
    assert (root / "latest/report/conv2-weights-3.png").is_file()


def test_learning_rate_does_not_rerun_earlier_stages(first_run: Finished, root: Path) -> None:
    reasons = reasons_after(
        *(root, "--source", "digits", "--iterations", "1", "--learning-rate", "0.002"),
        *("--insights", "none"),
    )
    assert reasons["train-1"] == "learning_rate 0.001 → 0.002"
    assert {name for name, state in states_of(root).items() if state == "cached"} == {
        "download",
        "convert",
        "audit",
        "initialise",
        "evaluate-0",
    }


# Faults: a one-line error, no temporary files, earlier outputs unchanged


def tree(root: Path) -> set[Path]:
    """Return every path below the root except locks and reports of runs."""
    return {
        path.relative_to(root)
        for path in root.rglob("*")
        if path.relative_to(root).parts[0] not in ("locks", "runs")
    }


def test_missing_source_is_refused_in_one_line(
    first_run: Finished, root: Path, pipeline: Any, tmp_path: Path
) -> None:
    before, report = tree(root), metrics_of(root)
    done = pipeline("--source", tmp_path / "nowhere", "--artifacts", root)
    assert done.code == 1
    assert done.last.startswith("error: ")
    assert str(tmp_path / "nowhere") in done.last
    assert not [line for line in done.lines if "Traceback" in line]
    assert tree(root) == before
    assert metrics_of(root) == report


def test_error_names_a_truncated_file(
    first_run: Finished, root: Path, pipeline: Any, tmp_path: Path
) -> None:
    folder = next(root.glob("download/[0-9a-f]*"))
    for name in IDX_FILES:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    images = tmp_path / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])
    before = tree(root)
    done = pipeline("--source", tmp_path, "--digests", "none", "--artifacts", root)
    assert done.code == 1
    assert done.last.startswith("error: ")
    assert "train-images-idx3-ubyte" in done.last
    assert not [line for line in done.lines if "Traceback" in line]
    assert tree(root) == before


@pytest.mark.parametrize("limit", [100_000, 1_500_000], ids=["download", "convert or later"])
def test_file_size_limit_fails_in_one_line(prefect_server: str, tmp_path: Path, limit: int) -> None:
    root = tmp_path / "artifacts"
    done = subprocess.run(
        [sys.executable, str(PIPELINE), *DIGITS, "--artifacts", str(root)],
        env={**os.environ, "PREFECT_API_URL": prefect_server},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert "file too large" in last
    assert str(root) in last
    assert not list(root.rglob("*.tmp"))
    assert not (root / "latest").exists()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """File system of one megabyte."""
    with small_disk(tmp_path / "disk", "1m") as disk:
        yield disk


def test_full_disk_fails_in_one_line(pipeline: Any, tiny_disk: Path) -> None:
    done = pipeline(*DIGITS, "--artifacts", tiny_disk / "artifacts")
    assert done.code == 1
    assert done.last.startswith("error: download: cannot write to ")
    assert "no space left on device; free some space, or name another folder" in done.last
    assert not [line for line in done.lines if "Traceback" in line]
    assert not list(tiny_disk.rglob(".*.tmp"))


def test_read_only_root_fails_in_one_line(pipeline: Any, tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    done = pipeline(*DIGITS, "--artifacts", tiny_disk / "artifacts")
    assert done.code == 1
    folder = tiny_disk / "artifacts"
    assert done.last.startswith(f"error: artifacts: cannot write to {folder}: read-only file sys")
