"""Tests of the pipeline's command line on scikit-learn's digits: the runs of one artifact root."""

import html.parser
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import tiny
from helpers.commands import Finished, run_pipeline, small_disk
from helpers.prefect_runs import newest_artifact

from flows.cli.pipeline import NO_FLOW_RUN
from tasks.words import percent

pytestmark = [pytest.mark.server, pytest.mark.tensorflow]

DIGITS = ("--source", "digits", "--iterations", "120", "--learning-rate", "0.001")
STAGES = [
    *("download", "convert", "audit", "initialise", "evaluate-0"),
    *("train-1", "evaluate-1", "train-100", "evaluate-100"),
    *("train-120", "evaluate-120", "export", "measure", "check-labels", "layer-outputs"),
    *("calibrate", "pack-live", "excite", "attribute", "embed", "draw"),
]
HEAVY = {"tensorflow", "keras", "matplotlib", "sklearn", "scipy", "pandas", "distributed", "s3fs"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pipeline") / "artifacts"


@pytest.fixture(scope="module")
def first_run(prefect_server: str, root: Path) -> Finished:
    done = run_pipeline(*DIGITS, "--artifacts", root, PREFECT_API_URL=prefect_server)
    assert done.code == 0, done.lines
    return done


def metrics_of(root: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((root / "latest/report/metrics.json").read_text())
    return metrics


def reasons_after(root: Path, *options: str) -> dict[str, str]:
    """Run in this process, and return the reason of each stage that ran."""
    from flows.pipeline import mnist_pipeline

    mnist_pipeline(tiny.settings_of(*options, "--artifacts", str(root)))
    stages = metrics_of(root)["stages"]
    return {stage["name"]: stage["reason"] for stage in stages if stage["state"] == "ran"}


def run_and_list_imports(*arguments: str | Path, **environment: str) -> tuple[set[str], list[str]]:
    """Run to success; return the modules that were imported, and the lines that were printed."""
    done = run_pipeline(*arguments, python=("-X", "importtime"), **environment)
    assert done.code == 0, done.lines
    imported = {line.split("|")[-1].strip() for line in done.lines if "import time:" in line}
    return imported, [line for line in done.lines if "import time:" not in line]


def test_first_run_runs_all_stages_and_writes_a_report(first_run: Finished, root: Path) -> None:
    page = root / "latest" / "report" / "index.html"
    assert first_run.last == f"report: {page.as_uri()}"
    assert page.stat().st_size < 5_000_000
    stages = metrics_of(root)["stages"]
    assert {stage["name"]: stage["state"] for stage in stages} == dict.fromkeys(STAGES, "ran")
    assert all(len(stage["key"]) == 64 and stage["reason"] for stage in stages)
    assert "Optimization Iteration:      1, Training Accuracy:" in "\n".join(first_run.lines)
    for noise in ("oneDNN", "absl", "cuda", "Traceback"):
        assert not [line for line in first_run.lines if noise in line]


def test_metrics_json_is_complete_and_consistent(first_run: Finished, root: Path) -> None:
    metrics = metrics_of(root)
    test, milestones = metrics["test"], metrics["milestones"]
    assert test["total"] == 299
    assert test["accuracy"] == test["correct"] / test["total"] > 0.8
    assert [m["iteration"] for m in milestones] == [0, 1, 100, 120]
    assert milestones[0]["accuracy"] < 0.4
    seconds = [m["train_seconds"] for m in milestones]
    assert seconds == sorted(seconds)
    assert metrics["train_seconds"] == seconds[-1] > seconds[0] == 0
    matrix = metrics["confusion_matrix"]
    assert (len(matrix), sum(map(sum, matrix))) == (10, 299)
    assert sum(matrix[c][c] for c in range(10)) == test["correct"]
    assert metrics["settings"]["training"]["learning_rate"] == 0.001
    assert metrics["device"]["kind"] in ("CPU", "GPU")
    assert set(metrics["versions"]) == {"python", "tensorflow", "prefect"}


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
        *("first-test-images", "learning-curve", "confusion-matrix", "conv1-weights-0"),
        *(f"errors-{iteration}" for iteration in (0, 1, 100, 120)),
        *(f"conv2-weights-{channel}" for channel in (0, 1)),
        *("flow-0", "flow-13", "convolution-0"),
    }
    assert len(parser.found) == len(files)
    assert all(picture["alt"] for picture in parser.found)
    assert all((picture["src"] or "").startswith("data:image/png") for picture in parser.found)


def test_prefect_artifact_holds_both_accuracies_and_the_page(
    first_run: Finished, root: Path
) -> None:
    report, metrics = newest_artifact("mnist-report", root), metrics_of(root)
    for split in ("test", "validation"):
        assert percent(metrics[split]["accuracy"]) in report.data
    assert str(root / "latest/report/index.html") in report.data


# Runs after the first one


def test_second_run_skips_all_stages_without_importing_heavy_packages(
    first_run: Finished, root: Path, prefect_server: str
) -> None:
    keys = {stage["name"]: stage["key"] for stage in metrics_of(root)["stages"]}
    imported, printed = run_and_list_imports(
        *DIGITS, "--artifacts", root, PREFECT_API_URL=prefect_server
    )
    assert {"prefect", "pydantic"} <= imported
    assert not HEAVY & imported
    assert printed[: len(STAGES)] == [f"{name}: cached" for name in STAGES]
    stages = metrics_of(root)["stages"]
    assert {stage["state"] for stage in stages} == {"cached"}
    assert {stage["name"]: stage["key"] for stage in stages} == keys


def test_an_unchanged_run_writes_the_report_without_prefect(
    first_run: Finished, root: Path, tmp_path: Path
) -> None:
    page = root / "latest/report/index.html"
    written = page.stat().st_ino
    imported, printed = run_and_list_imports(
        *DIGITS, "--artifacts", root, PREFECT_HOME=str(tmp_path / "home")
    )
    assert not (HEAVY | {"prefect"}) & imported
    assert printed[-1] == f"report: {page.as_uri()}"
    assert page.stat().st_ino != written
    assert "download: cached" in printed
    assert [line for line in printed if line.startswith(NO_FLOW_RUN)]
    assert not (tmp_path / "home").exists(), "Prefect was started"


def test_a_server_of_the_profile_gets_a_flow_run(
    first_run: Finished, root: Path, tmp_path: Path
) -> None:
    url = "http://127.0.0.1:9/api"  # nobody answers there
    profile = f'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "{url}"\n'
    (tmp_path / "profiles.toml").write_text(profile)
    done = run_pipeline(*DIGITS, "--artifacts", root, PREFECT_HOME=str(tmp_path))
    assert done.code == 1
    assert done.last.startswith("error: ")
    assert url in done.last


def test_status_lists_what_would_run_without_importing_prefect(
    first_run: Finished, root: Path
) -> None:
    imported, printed = run_and_list_imports(*DIGITS, "--artifacts", root, "--status")
    assert not {"prefect", "tensorflow", "keras", "matplotlib", "sklearn"} & imported
    assert [line.split(maxsplit=1) for line in printed] == [[name, "up to date"] for name in STAGES]

    done = run_pipeline(*DIGITS, "--seed", "1", "--artifacts", root, "--status")
    assert [line.split(maxsplit=1) for line in done.lines[:5]] == [
        *([name, "up to date"] for name in ("download", "convert", "audit")),
        ["initialise", "will run: seed 0 → 1"],
        ["evaluate-0", "will run: upstream will run"],
    ]


def test_cache_ls_lists_all_stages_and_prune_keeps_the_latest_run(
    first_run: Finished, root: Path
) -> None:
    done = run_pipeline("cache", "ls", "--artifacts", root)
    assert done.code == 0
    assert {name for name in STAGES for line in done.lines if f" {name} " in f"{line} "} == {
        *STAGES
    }
    done = run_pipeline(
        *("cache", "prune", "--keep-latest", "0", "--older-than", "0"), "--artifacts", root
    )
    assert done.code == 0
    done = run_pipeline(*DIGITS, "--artifacts", root, "--status")
    assert {line.split(maxsplit=1)[1] for line in done.lines} == {"up to date"}


def test_only_what_a_setting_or_a_damaged_file_concerns_runs_again(
    first_run: Finished, root: Path
) -> None:
    model = (root / "latest/model.keras").resolve()
    intact = model.read_bytes()
    model.write_bytes(b"damaged")
    reasons = reasons_after(root, *DIGITS, "--refresh", "convert,measure")
    assert reasons.keys() == {"convert", "measure", "export"}
    assert reasons["convert"] == "refresh asked for"
    assert model.read_bytes() == intact

    assert reasons_after(root, *DIGITS, "--conv2-channels", "3").keys() == {"draw"}
    assert (root / "latest/report/conv2-weights-3.png").is_file()

    lean = ("--source", "digits", "--iterations", "1", "--insights", "none")
    reasons = reasons_after(root, *lean, "--learning-rate", "0.002")
    assert reasons["train-1"] == "learning_rate 0.001 → 0.002"
    assert not {"download", "convert", "audit", "initialise", "evaluate-0"} & reasons.keys()


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


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """File system of one megabyte."""
    with small_disk(tmp_path / "disk", "1m") as disk:
        yield disk


def test_full_disk_fails_in_one_line(pipeline: Any, tiny_disk: Path) -> None:
    done = pipeline(*DIGITS, "--artifacts", tiny_disk / "artifacts")
    assert done.code == 1
    assert done.last.startswith("error: download: cannot write to ")
    assert "no space left on device" in done.last
    assert not [line for line in done.lines if "Traceback" in line]
    assert not list(tiny_disk.rglob(".*.tmp"))


def test_read_only_root_fails_in_one_line(pipeline: Any, tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    done = pipeline(*DIGITS, "--artifacts", tiny_disk / "artifacts")
    assert done.code == 1
    folder = tiny_disk / "artifacts"
    assert done.last.startswith(f"error: artifacts: cannot write to {folder}: read-only file sys")
