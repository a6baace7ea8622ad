"""Tests of the live network in a real browser."""

import re
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from helpers.browser import chromium, open_page
from helpers.commands import run_pipeline
from playwright.sync_api import Browser, Page, expect

from tasks.engine.store import Store
from tasks.model.insights.attribute import gradient_times_input
from tasks.model.insights.layer_outputs import layer_tensors
from tasks.model.network import build_network
from tasks.model.prediction_table import read_predictions
from tasks.records import Evaluation, LiveNetwork, Shape
from tasks.report.live import assemble
from tasks.report.live.payload import pack
from tasks.settings import NetworkSettings
from tasks.settings.presets import PRESETS

pytestmark = pytest.mark.tensorflow

EVERY_OPTION = {
    "conv_filters": (5, 6, 7, 4),
    "conv_sizes": (5, 4, 3, 2),
    "conv_strides": (1, 2, 1, 3),
    "pooling": ("average", "none", "max", "none"),
    "dense": (),
    "normalisation": True,
    "dropout": 0.5,
    "activation_first": True,
    "logits_activation": "relu",
    "initial_weights": "he",
}
NETWORKS = {
    **{name: preset.get("network", {}) for name, preset in PRESETS.items()},
    **{
        f"every option, {activation}": {**EVERY_OPTION, "activation": activation}
        for activation in ("relu", "sigmoid", "tanh")
    },
    "three dense layers, strides instead of pooling": {
        "conv_strides": (2,),
        "pooling": ("none",),
        "dense": (20, 15, 12),
        "normalisation": True,
        "activation": "tanh",
    },
}
DIGITS = [str(c) for c in range(10)]
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def noisy_images(shape: Shape, count: int = 200) -> np.ndarray:
    """Return noise in a part of empty images, uint8 [n, height, width]."""
    random = np.random.default_rng(1)
    images = np.zeros((count, shape.height, shape.width), np.uint8)
    for image in images:
        top, left = random.integers(0, shape.height // 2), random.integers(0, shape.width // 2)
        part = image[top : top + shape.height // 2, left : left + shape.width // 2]
        part[...] = random.integers(0, 256, part.shape)
    return images


def randomise(network: Any) -> dict[str, np.ndarray]:
    """Set all weights and running statistics to random values and return them by name."""
    random = np.random.default_rng(2)
    weights = {}
    for layer in network.layers:
        for variable in layer.weights:
            if variable.dtype != "float32":
                continue  # state of dropout's random generator
            inputs = np.prod(variable.shape[:-1]) or 1
            value = random.normal(0, 1.5 / np.sqrt(inputs), variable.shape).astype(np.float32)
            if variable.name == "moving_variance":
                value = np.abs(value) + np.float32(0.5)
            if variable.name == "gamma":
                value += np.float32(0.5)  # some stay negative
            variable.assign(value)
            weights[f"{layer.name}/{variable.name}"] = value
    return weights


def page_of(payload: str, script: str, policy: bool = True) -> str:
    """Return a page with the live network only."""
    style = "body { font: 1rem sans-serif; }" + assemble.style()
    rule = assemble.content_security_policy([style], [script])
    meta = f'<meta http-equiv="Content-Security-Policy" content="{rule}">' if policy else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{meta}<title>Live</title>'
        f"<style>{style}</style></head><body><main><h1>Report</h1>"
        f"{assemble.section(payload, '', 28, 28)}</main>"
        f'<script type="module">{script}</script></body></html>'
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_page_computes_the_same_values_as_keras(
    name: str, browser: Browser, tmp_path: Path
) -> None:
    import keras

    settings = NetworkSettings.model_validate(NETWORKS[name])
    shape = Shape(height=28, width=28, classes=10)
    network = build_network(settings, shape, seed=3)
    weights = randomise(network)
    images = noisy_images(shape)
    inputs = images[..., np.newaxis].astype(np.float32) / 255
    tensors = layer_tensors(network)
    outputs = keras.Model(network.inputs[0], tensors)(inputs)
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(network(inputs)))
    predicted = probabilities.argmax(axis=1)
    true = (predicted + 1) % 10  # all are errors, so that the page contains every image
    packed = pack(settings, shape, weights, images, true, predicted, probabilities, DIGITS)
    assert packed.text is not None

    with computing_page(browser, packed.text, tmp_path) as page:
        found = page.evaluate(RUN)
        contributions = np.array(page.evaluate(CONTRIBUTIONS, predicted[:20].tolist()))
        differences = page.evaluate(DIFFERENCES)
    assert found["rows"] == list(range(200))
    np.testing.assert_allclose(found["probabilities"], probabilities, rtol=0, atol=1e-4)
    assert list(found["outputs"]) == list(tensors)
    for layer, text in found["outputs"].items():
        wanted = np.asarray(outputs[layer])
        values = np.frombuffer(b64decode(text), "<f4").reshape(wanted.shape)
        np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-4)
        assert np.ptp(wanted) > 1e-2, "outputs differ"
    if settings.logits_activation == "none":  # otherwise gradients include the activation
        wanted = gradient_times_input(network, inputs[:20, ..., 0], predicted[:20])
        np.testing.assert_allclose(contributions.reshape(wanted.shape), wanted, rtol=0, atol=1e-4)
        assert np.abs(wanted).max() > 1e-3
    assert len(differences) >= 100 * (len(tensors) - 1)
    assert max(differences) < 1e-4


RUN = """
async () => {
  const base64 = (parts) => new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.split(",")[1]);
    reader.readAsDataURL(new Blob(parts));
  });
  const probabilities = [], parts = {};
  for (const image of live.images) {
    const pixels = Float32Array.from(image, (value) => value / 255);
    probabilities.push(live.softmax(live.forward(live.network, pixels)));
    for (const layer of live.network.layers) {
      (parts[layer.name] ??= []).push(live.lastOutput(layer).slice());
    }
  }
  const outputs = {};
  for (const name in parts) outputs[name] = await base64(parts[name]);
  return { rows: live.rows, probabilities, outputs };
}
"""
"""Script for probabilities and layer outputs of all images."""

CONTRIBUTIONS = """
(classes) => classes.map((wanted, i) => {
  const pixels = Float32Array.from(live.images[i], (value) => value / 255);
  live.forward(live.network, pixels);
  return [...live.pixelsFor(live.network, pixels, wanted)];
})
"""
"""Script for the contribution of each pixel of the first images to a logit."""
DIFFERENCES = """
() => {
  const pixels = Float32Array.from(live.images[0], (value) => value / 255);
  live.forward(live.network, pixels);
  const differences = [];
  live.network.layers.forEach((layer, i) => {
    const { height, width, channels } = layer.shape;
    const output = live.lastOutput(layer);
    for (let k = 0; k < 100; k++) {
      const at = Math.floor((k / 100) * output.length), pixel = Math.floor(at / channels);
      const y = Math.floor(pixel / width), x = pixel % width;
      const { parts, kind, sum, bias, after } = live.explain(
        live.network, pixels, i, at % channels, y, x);
      const last = after.length ? after.at(-1).value : sum + bias;
      differences.push(Math.abs(last - output[at]));
      if (layer.steps.every((step) => step.facts.step !== "pooling")) {
        differences.push(Math.abs(sum + bias - layer.steps[0].output[at]));
      }
      if (layer.steps[1]?.facts.kind === "max") {
        differences.push(Math.abs(sum + bias - after[0].value));
      }
      if (kind === "convolution") {
        const total = parts.reduce((a, part) => a + part.sum, 0);
        differences.push(Math.abs(total - sum));
      }
    }
  });
  return differences;
}
"""
"""Script for differences between explained and computed outputs, at 100 places per layer."""


@contextmanager
def computing_page(browser: Browser, payload: str, folder: Path) -> Iterator[Page]:
    """Open a page whose global `live` has the payload and the scripts' functions."""
    script = assemble.script("payload.js", "explain.js", "mnist-form.js") + (
        "globalThis.live = {...readPayload(document.getElementById('live-payload').text),"
        " forward, softmax, lastOutput, pixelsFor, explain, inMnistForm, asDrawn};"
    )
    (folder / "page.html").write_text(page_of(payload, script))
    with open_page(browser, (folder / "page.html").as_uri()) as (page, wrong):
        assert wrong == []
        yield page


@dataclass(frozen=True)
class Live:
    """Page, payload and predictions of a trained network."""

    path: Path
    payload: str
    predictions: Any
    """Predictions for the test split, a pandas table."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Live:
    """Train the network of `--preset fast` on MNIST."""
    root = tmp_path_factory.mktemp("live") / "artifacts"
    done = run_pipeline(
        *("--preset", "fast", "--milestones", "0", "--insights", "none", "--artifacts", root)
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
        root / "latest/report/index.html",
        store.path(live.file).read_text(encoding="utf-8"),
        read_predictions(store.path(evaluation.predictions)),
    )


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


@pytest.mark.network
def test_digits_drawn_with_the_mouse_are_recognised(browser: Browser, trained: Live) -> None:
    with open_page(browser, trained.path.as_uri()) as (page, wrong):
        winner = page.locator("#live-winner")
        for digit in STROKES:
            draw(page, digit)
            expect(winner).to_have_text(digit)
        # A small digit in a corner is recognised only in MNIST's form.
        draw(page, "3", scale=0.4)
        expect(winner).to_have_text("3")
        page.get_by_label("form of MNIST").uncheck()
        expect(winner).not_to_have_text("3")
        # After erasing, the probabilities are those of an empty image.
        page.get_by_role("button", name="Clear").click()
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


UNCHANGED_BY_FORM = """
(scale) => live.images.map((image) => {
  const { height, width } = live.shape;
  const ink = new Uint8ClampedArray(height * width * scale * scale);
  for (let i = 0; i < ink.length; i++) {
    const y = Math.floor(i / (width * scale) / scale);
    ink[i] = image[y * width + Math.floor((i % (width * scale)) / scale)];
  }
  const surface = { ink, height: height * scale, width: width * scale };
  return [live.inMnistForm, live.asDrawn].map((form) =>
    form(surface, height, width).every((value, i) => Math.round(255 * value) === image[i]));
})
"""
"""Script that enlarges and reduces each image, and tells whether it stays the same."""


@pytest.mark.network
def test_conversion_to_mnist_form_does_not_change_mnist_images(
    browser: Browser, trained: Live, tmp_path: Path
) -> None:
    with computing_page(browser, trained.payload, tmp_path) as page:
        same = np.array(page.evaluate(UNCHANGED_BY_FORM, 10))
    assert len(same) > 50
    assert same.all()


@pytest.mark.network
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
            bars = answer(page)
            wanted = table.loc[row, [f"p{c}" for c in range(10)]]
            for shown, share in zip(bars, wanted, strict=True):
                assert abs(float(shown.strip("<> %")) - 100 * share) < 0.11
    assert wrong == []


@pytest.mark.network
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
        page.locator("#live-layer").select_option("conv2")
        page.get_by_role("spinbutton", name="Output").fill("35")
        expect(page.locator("#live-sum")).to_contain_text("from 13 more")
        page.get_by_role("button", name="Clear").press("Enter")
        page.get_by_label("Drawing surface").focus()
        for key in (*["ArrowUp"] * 8, " ", *["ArrowDown"] * 16, " "):
            page.keyboard.press(key)
        expect(page.locator("#live-winner")).to_have_text("1")
    assert wrong == []


@pytest.mark.network
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


@pytest.mark.network
def test_without_javascript_a_notice_is_shown(browser: Browser, trained: Live) -> None:
    with open_page(browser, trained.path.as_uri(), java_script_enabled=False) as (page, _):
        expect(page.locator("#live-off")).to_be_visible()
        expect(page.locator("#live-app")).to_be_hidden()


@pytest.mark.network
def test_hovering_over_an_output_shows_its_sum(browser: Browser, trained: Live) -> None:
    with open_page(browser, trained.path.as_uri()) as (page, wrong):
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
