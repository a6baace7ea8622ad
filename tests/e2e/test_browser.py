"""Tests of the report in Prefect's interface and as a page, in a real browser."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from helpers.browser import NATURAL_SIZES, open_page
from helpers.commands import run_pipeline
from PIL import Image
from playwright.sync_api import Browser, expect

pytestmark = [pytest.mark.server, pytest.mark.tensorflow]

DIGITS = ("--source", "digits", "--iterations", "300", "--learning-rate", "0.001")
WIDTHS = {"desktop": 1280, "phone": 360}


@pytest.fixture(scope="module")
def report(ui_server: str, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the pipeline on the server and return its report."""
    root = tmp_path_factory.mktemp("browser") / "artifacts"
    done = run_pipeline(*DIGITS, "--artifacts", root, PREFECT_API_URL=f"{ui_server}/api")
    assert done.code == 0, done.lines
    return root / "latest" / "report"


@pytest.fixture(scope="module")
def metrics(report: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((report / "metrics.json").read_text())
    return metrics


@pytest.fixture(scope="module")
def artifacts(report: Path, ui_server: str) -> dict[str, dict[str, Any]]:
    """Return the run's artifacts on the server by key."""
    found = httpx.post(f"{ui_server}/api/artifacts/latest/filter", json={"limit": 200})
    return {artifact["key"]: artifact for artifact in found.raise_for_status().json()}


def artifact_url(ui_server: str, artifact: dict[str, Any]) -> str:
    return f"{ui_server}/artifacts/artifact/{artifact['latest_id']}"


def size(path: Path) -> list[int]:
    with Image.open(path) as image:
        return list(image.size)


def test_flow_run_page_shows_the_stages(
    ui_server: str,
    browser: Browser,
    metrics: dict[str, Any],
    artifacts: dict[str, Any],
) -> None:
    run = artifacts["mnist-report"]["flow_run_id"]
    with open_page(browser, f"{ui_server}/runs/flow-run/{run}") as (page, _):
        expect(page.get_by_text("tutorial, seed 0").first).to_be_visible()
        expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
        expect(page.get_by_text("download: running (never run)").first).to_be_visible()
        expect(page.get_by_text(f"{len(metrics['stages'])} Task runs").first).to_be_visible()


def test_report_artifact_is_shown_as_markdown(
    ui_server: str,
    browser: Browser,
    report: Path,
    metrics: dict[str, Any],
    artifacts: dict[str, Any],
) -> None:
    # A stage that takes more than two seconds shows its progress, too.
    lasting = [key for key in artifacts if not key.endswith("-progress")]
    assert [key for key in lasting if key.startswith("mnist-")] == ["mnist-report"]
    with open_page(browser, artifact_url(ui_server, artifacts["mnist-report"])) as (page, wrong):
        headline = page.get_by_role("heading", name="on the test split")
        expect(headline).to_contain_text(f"{metrics['test']['accuracy']:.2%}"[:-1])
        validation = f"{metrics['validation']['accuracy']:.2%}"[:-1]
        expect(page.get_by_text(validation).first).to_be_visible()
        pictures = page.locator("main img, article img, .markdown-renderer img")
        pictures.first.wait_for()
        shown = pictures.evaluate_all(NATURAL_SIZES)
    names = ("learning-curve", "confusion-matrix", "confused-pairs")
    assert shown == [size(report / f"{name}.png") for name in names]
    assert wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("window", WIDTHS)
def test_page_renders_without_errors_or_requests(
    browser: Browser, report: Path, scheme: Any, window: str
) -> None:
    requests: list[str] = []
    with open_page(
        browser,
        "about:blank",
        color_scheme=scheme,
        viewport={"width": WIDTHS[window], "height": 900},
    ) as (page, wrong):
        page.on("request", lambda request: requests.append(request.url))
        page.goto((report / "index.html").as_uri())
        shown = page.locator("img").evaluate_all(NATURAL_SIZES)
        assert sorted(shown) == sorted(size(path) for path in report.glob("*.png"))
        inside = page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert inside, "the page is wider than the window"
        page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
        assert Axe().run(page).violations_count == 0
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = max(map(int, re.findall(r"\d+", background)[:3]))
    assert (brightness > 128) == (scheme == "light")
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert wrong == []
