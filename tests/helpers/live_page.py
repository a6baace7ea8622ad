"""Pages with the live network only."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.browser import open_page
from playwright.sync_api import Browser, Page

from tasks.report.live import assemble


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
