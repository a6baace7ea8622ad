"""Benchmark of a report's page in Chromium: opening it, and drawing in it.

python -m benchmarks.page artifacts/latest/report/index.html
"""

import shutil
import statistics
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

OPTIONS = ["--no-sandbox", "--disable-gpu", "--no-first-run"]
MOVES = 120
"""Mouse movements of the drawn stroke; each is an update of the page."""
TIMED_FRAMES = """
globalThis.updates = [];
const real = requestAnimationFrame.bind(globalThis);
globalThis.requestAnimationFrame = (call) => real((now) => {
  const start = performance.now();
  call(now);
  const computed = performance.now();
  // A message is delivered after the frame has been painted.
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => updates.push([computed - start, performance.now() - start]);
  port2.postMessage(null);
});
"""
LOADED = "() => performance.getEntriesByType('navigation')[0].loadEventEnd"


def draw(page: Page) -> None:
    """Draw a stroke down and up across the drawing surface."""
    box = page.locator("#live-surface").bounding_box()
    assert box
    x, y = box["x"] + 0.3 * box["width"], box["y"] + 0.2 * box["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    for n in range(MOVES):
        share = n / MOVES
        page.mouse.move(
            x + 0.4 * box["width"] * share, y + 0.6 * box["height"] * abs(2 * share - 1)
        )
        page.wait_for_timeout(20)
    page.mouse.up()


def measure(path: Path) -> None:
    """Print size, opening time, and the times of updates of a page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or "chromium-browser", args=OPTIONS
        )
        opened = []
        for _ in range(5):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(path.resolve().as_uri())
            opened.append(page.evaluate(LOADED))
            page.close()
        print(f"{path.stat().st_size / 1e6:.2f} MB, opens in {statistics.median(opened):.0f} ms")
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script(TIMED_FRAMES)
        page.goto(path.resolve().as_uri())
        page.locator("#live-surface").scroll_into_view_if_needed()
        draw(page)
        updates = page.evaluate("updates")
        for name, values in zip(
            ("script", "script and paint"), zip(*updates, strict=True), strict=True
        ):
            slowest = statistics.quantiles(values, n=20)[-1]
            print(f"{name}: median {statistics.median(values):.1f} ms, 95 % below {slowest:.1f} ms")
        print(f"{len(updates)} updates")
        browser.close()


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
