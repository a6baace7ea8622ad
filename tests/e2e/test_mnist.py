"""Tests of a first run on MNIST from the network, and of the live network in its page.

One run with `--preset fast` serves all; the default settings are tried in `make proofs`.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from axe_playwright_python.sync_playwright import Axe
from helpers.browser import open_page
from helpers.commands import Finished, run_pipeline
from playwright.sync_api import Browser, Page, expect

from tasks.data.sources.mnist import MNIST
from tasks.engine.store import Store
from tasks.model.prediction_table import read_predictions
from tasks.records import Evaluation, LiveNetwork

pytestmark = [pytest.mark.network, pytest.mark.server, pytest.mark.tensorflow]

STROKES = {
    "1": [[(0.5, 0.15), (0.5, 0.85)]],
    "3": [
        [(0.3, 0.2), (0.5, 0.12), (0.7, 0.22), (0.68, 0.38), (0.45, 0.48)],
        [(0.45, 0.48), (0.7, 0.6), (0.7, 0.78), (0.5, 0.88), (0.28, 0.8)],
    ],
    "4": [[(0.6, 0.15), (0.25, 0.6), (0.8, 0.6)], [(0.62, 0.4), (0.6, 0.9)]],
    "7": [[(0.25, 0.2), (0.72, 0.2), (0.45, 0.85)]],
}
"""Points along the strokes of digits, as fractions of the surface."""


@dataclass(frozen=True)
class Live:
    """A finished run, with page, payload and predictions of its trained network."""

    done: Finished
    root: Path
    path: Path
    payload: str
    predictions: Any
    """Predictions for the test split, a pandas table."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Live:
    """Train the network of `--preset fast` on MNIST.

    In an empty Prefect home without a server, Prefect starts a temporary one, as in a first run.
    """
    folder = tmp_path_factory.mktemp("mnist")
    root = folder / "artifacts"
    done = run_pipeline(
        *("--preset", "fast", "--milestones", "0", "--insights", "none", "--artifacts", root),
        cwd=folder,
        PREFECT_HOME=str(folder / "home"),
    )
    assert done.code == 0, done.lines
    store = Store(root)

    def output(stage: str) -> Any:
        (record,) = [r for r in store.all_records(stage) if not r.label.endswith("-0")]
        return record.output

    live = LiveNetwork.model_validate(output("pack-live"))
    assert live.file
    evaluation = Evaluation.model_validate(output("evaluate"))
    return Live(
        done,
        root,
        root / "latest/report/index.html",
        store.path(live.file).read_text(encoding="utf-8"),
        read_predictions(store.path(evaluation.test.predictions)),
    )


def test_mnist_is_downloaded_and_learned(trained: Live) -> None:
    root = trained.root
    assert trained.done.last == f"report: {(root / 'latest' / 'report' / 'index.html').as_uri()}"

    (record,) = (json.loads(p.read_text()) for p in root.glob("records/download-*"))
    files = record["output"]["files"]
    digests = {files[name]["sha256"] for name in files if name != "class_names"}
    assert digests == {file.sha256 for file in MNIST}
    rows = {
        name: pq.read_metadata(root / "latest" / f"{name}.parquet").num_rows
        for name in ("train", "validation", "test")
    }
    assert rows == {"train": 55_000, "validation": 5_000, "test": 10_000}

    metrics = json.loads((root / "latest/report/metrics.json").read_text())
    accuracy = {m["iteration"]: m["accuracy"] for m in metrics["milestones"]}
    assert metrics["test"]["total"] == 10_000
    assert accuracy[0] < 0.25
    assert accuracy[500] > 0.98


def draw(page: Page, digit: str, scale: float = 1.0) -> None:
    """Draw a digit by moving the mouse with its button held down."""
    page.get_by_role("button", name="Clear").click()
    surface = page.locator("#live-surface")
    surface.scroll_into_view_if_needed()
    box = surface.bounding_box()
    assert box
    for stroke in STROKES[digit]:
        for i, (x, y) in enumerate(stroke):
            place = box["x"] + scale * x * box["width"], box["y"] + scale * y * box["height"]
            page.mouse.move(*place, steps=8)
            if i == 0:
                page.mouse.down()
        page.mouse.up()


def answer(page: Page) -> list[str]:
    """Return the shown probabilities after the next update of the page."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    return page.locator("#live-bars .live-number").all_inner_texts()


def test_digits_drawn_with_the_mouse_are_recognised(browser: Browser, trained: Live) -> None:
    with open_page(browser, trained.path.as_uri()) as (page, wrong):
        winner = page.locator("#live-winner")
        for digit in STROKES:
            draw(page, digit)
            expect(winner).to_have_text(digit)
        # A small digit in a corner is brought into MNIST's form.
        draw(page, "3", scale=0.4)
        expect(winner).to_have_text("3")
        # After erasing, the probabilities are those of an empty image.
        page.get_by_role("button", name="Clear").click()
        expect(winner).to_have_text("blank")
        empty = answer(page)
        draw(page, "1")
        assert answer(page) != empty
        page.get_by_label("Erase").check()
        box = page.locator("#live-surface").bounding_box()
        assert box
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 1)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 1, steps=30)
        page.mouse.up()
        assert answer(page) == empty
    assert wrong == []


def test_errors_of_a_matrix_cell_are_shown_in_the_gallery(browser: Browser, trained: Live) -> None:
    table = trained.predictions
    with open_page(browser, trained.path.as_uri()) as (page, wrong):
        cell = page.locator("#live-matrix .wrong button").first
        words = cell.get_attribute("aria-label")
        assert words
        label, predicted, count = re.findall(r"\d+", words)[:3]
        cell.click()
        rows = table.index[(table.label == int(label)) & (table.predicted == int(predicted))]
        assert int(count) == len(rows)
        thumbnails = page.locator("#live-gallery button")
        assert thumbnails.count() == len(rows)
        for i, row in enumerate(rows):
            thumbnails.nth(i).click()
            expect(page.locator("#live-source")).to_have_text(
                f"Test image {row}, true class {label}"
            )
            expect(page.locator("#live-winner")).to_have_text(predicted)
            bars = [float(shown.strip("<> %")) for shown in answer(page)]
            # Calibrated, so the same order as in training, but not the same values.
            wanted = table.loc[row, [f"p{c}" for c in range(10)]]
            assert bars.index(max(bars)) == int(wanted.to_numpy().argmax())
    assert wrong == []


def test_page_works_with_the_keyboard_only(browser: Browser, trained: Live) -> None:
    with open_page(browser, trained.path.as_uri()) as (page, wrong):
        page.locator("#live-groups button").first.focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(page.locator("#live-source")).to_have_text("Test image 1, true class 2")
        spoken = page.get_by_role("status")
        expect(spoken).to_contain_text("Test image 1, true class 2: 2, ")
        page.get_by_text("Every layer's answer").click()
        page.locator("#live-layer").select_option("conv2")
        page.get_by_role("spinbutton", name="Output").fill("35")
        expect(page.locator("#live-sum")).to_contain_text("from 13 more")
        page.get_by_role("button", name="Clear").press("Enter")
        page.get_by_label("Drawing surface").focus()
        for key in (*["ArrowUp"] * 8, " ", *["ArrowDown"] * 16, " "):
            page.keyboard.press(key)
        expect(page.locator("#live-winner")).to_have_text("1")
    assert wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_has_no_accessibility_violations(
    browser: Browser, trained: Live, scheme: Any, width: int
) -> None:
    size = {"width": width, "height": 844}
    with open_page(browser, trained.path.as_uri(), color_scheme=scheme, viewport=size) as (
        page,
        wrong,
    ):
        page.locator("#live-matrix .wrong button").first.click()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert wrong == []


def test_without_javascript_a_notice_is_shown(browser: Browser, trained: Live) -> None:
    with open_page(browser, trained.path.as_uri(), java_script_enabled=False) as (page, _):
        expect(page.locator("#live-off")).to_be_visible()
        expect(page.locator("#live-app")).to_be_hidden()


def test_hovering_over_an_output_shows_its_sum(browser: Browser, trained: Live) -> None:
    with open_page(browser, trained.path.as_uri()) as (page, wrong):
        page.get_by_text("Every layer's answer").click()
        for layer, name in enumerate(("conv1", "conv2", "fc1")):
            canvas = page.locator(".live-layer canvas").nth(layer)
            canvas.scroll_into_view_if_needed()
            canvas.hover(position={"x": 3, "y": 3})
            expect(page.locator("#live-layer")).to_have_value(str(layer))
            words = page.locator("#live-sum").inner_text()
            assert re.fullmatch(
                r"Sum of the products: .*; with the bias [−\d.]+: [−\d.]+;.* ReLU: [\d.]+\.", words
            ), name
    assert wrong == []


@pytest.mark.proof
def test_default_settings_learn_as_in_the_tutorial(trained: Live) -> None:
    home = str(trained.root.with_name("home"))
    done = run_pipeline("--iterations", "100", "--artifacts", trained.root, PREFECT_HOME=home)
    assert done.code == 0, done.lines
    assert {"download: cached", "convert: cached"} <= set(done.lines)
    metrics = json.loads((trained.root / "latest/report/metrics.json").read_text())
    assert metrics["test"]["accuracy"] > 0.5  # 66.6 % in the tutorial
