"""A run in which every stage is up to date: no flow run, no temporary server."""

from pathlib import Path

import pytest
from helpers import tiny
from helpers.commands import Finished, run_pipeline

from flows.cli.pipeline import NO_FLOW_RUN

pytestmark = [pytest.mark.server, pytest.mark.tensorflow]


def options(root: Path) -> tuple[str, ...]:
    places = ("--source", f"{root.with_name('source')}", "--artifacts", f"{root}")
    return (*tiny.OPTIONS, "--insights", "excite", *places)


@pytest.fixture(scope="module")
def root(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from flows.pipeline import mnist_pipeline

    folder = tmp_path_factory.mktemp("unchanged")
    tiny.write_source(folder / "source")
    mnist_pipeline(tiny.settings_of(*options(folder / "artifacts")))
    return folder / "artifacts"


def run_again(root: Path, home: Path) -> Finished:
    return run_pipeline(*options(root), PREFECT_HOME=str(home))


def test_an_unchanged_run_writes_the_report_without_prefect(root: Path, tmp_path: Path) -> None:
    page = root / "latest/report/index.html"
    written = page.stat().st_ino
    done = run_again(root, tmp_path / "home")
    assert (done.code, done.last) == (0, f"report: {page}")
    assert page.stat().st_ino != written
    assert "download: cached" in done.lines
    assert [line for line in done.lines if line.startswith(NO_FLOW_RUN)]
    assert not (tmp_path / "home").exists(), "Prefect was started"


def test_a_server_of_the_profile_gets_a_flow_run(root: Path, tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/api"  # nobody answers there
    profile = f'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "{url}"\n'
    (tmp_path / "profiles.toml").write_text(profile)
    done = run_again(root, tmp_path)
    assert done.code == 1
    assert done.last.startswith("error: ")
    assert url in done.last


def test_a_damaged_result_is_computed_again_in_a_flow_run(
    root: Path, tmp_path: Path, prefect_server: str
) -> None:
    model = (root / "latest/model.keras").resolve()
    model.write_bytes(b"damaged")
    done = run_again(root, tmp_path / "home")
    assert done.code == 0, done.lines
    assert model.read_bytes() != b"damaged"
    assert [line for line in done.lines if line.startswith("export: ran")]
    assert (tmp_path / "home").exists()
