"""Headless Chromium for tests: pages and their errors."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

OPTIONS = [
    "--no-sandbox",  # the sandbox does not work for root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
NATURAL_SIZES = "images => images.map(image => [image.naturalWidth, image.naturalHeight])"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield the installed browser, or skip the test."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("needs Chromium; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        expect.set_options(timeout=30_000)  # a busy machine is slow
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        yield browser
        browser.close()


@contextmanager
def open_page(browser: Browser, url: str, **options: Any) -> Iterator[tuple[Page, list[str]]]:
    """Open a page in a new context; with SCREENSHOTS=folder, keep a picture of it at the end.

    Yields:
        The page, and a list of its exceptions and console errors.
    """
    context = browser.new_context(**options)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    page.goto(url)
    yield page, wrong
    if folder := os.environ.get("SCREENSHOTS"):
        test = re.sub(r"\W+", "-", os.environ["PYTEST_CURRENT_TEST"].split("::")[-1].split(" ")[0])
        page.screenshot(path=Path(folder) / f"{test.strip('-')}.png", full_page=True)
    context.close()
