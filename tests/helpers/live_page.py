"""A page with the scripts of the live network only."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.browser import open_page
from playwright.sync_api import Browser, Page

from tasks.report.live import assemble


@contextmanager
def computing_page(browser: Browser, payload: str, folder: Path) -> Iterator[Page]:
    """Open a page whose global `live` has the payload and the scripts' functions."""
    script = assemble.script("payload.js", "explain.js", "mnist-form.js", "answer.js") + (
        "globalThis.live = {...readPayload(document.getElementById('live-payload').text),"
        " forward, softmax, lastOutput, explain, inMnistForm, asDrawn, answerTo, distance};"
    )
    (folder / "page.html").write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Live</title>'
        f'<script type="application/json" id="live-payload">{payload}</script>'
        f'<script type="module">{script}</script></html>'
    )
    with open_page(browser, (folder / "page.html").as_uri()) as (page, wrong):
        assert wrong == []
        yield page
