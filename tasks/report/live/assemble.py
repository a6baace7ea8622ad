"""The live network as parts of the report page: its section, script, style and their digests.

The script stands in the page itself, so that the page is one file that opens from disk. Its
modules are joined into one, since modules inside a page cannot import each other.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent
IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?function |const |class )", re.MULTILINE)


@dataclass(frozen=True)
class Parts:
    """Parts of the live network for the report page."""

    section: str
    """HTML, with the payload in it."""
    style: str
    """All text of a `<style>` element."""
    script: str
    """All text of a `<script type="module">` element after the section; empty if there is no
    live network."""


def live_parts(payload: str | None, reason: str, height: int, width: int) -> Parts:
    """Return the live network as parts of the page.

    Args:
        payload: what the script reads, as from `pack`; None if there is none.
        reason: why there is none, a whole sentence.
        height: of the images, in pixels.
        width: of the images, in pixels.
    """
    return Parts(
        section(payload, reason, height, width), style(), "" if payload is None else script()
    )


def section(payload: str | None, reason: str, height: int, width: int) -> str:
    """Return the section of the page as HTML; see `live_parts`."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=lambda _: payload is None,  # the payload has no `<`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("section.html.j2").render(
        payload=payload,
        reason=reason if payload is None else "",
        height=height,
        width=width,
        box=max(1, round(min(height, width) * 20 / 28)),  # BOX in mnist-form.js
    )


@cache
def style() -> str:
    """Return the text of the `<style>` element."""
    return (HERE / "live.css").read_text(encoding="utf-8")


@cache
def script(*modules: str) -> str:
    """Return the text of a `<script type="module">`: modules and all that they import.

    Args:
        modules: names of files; all of the live network if none is given.
    """
    done: list[str] = []
    return "".join(part for name in modules or ("main.js",) for part in joined(name, done))


def joined(name: str, done: list[str]) -> list[str]:
    """Return a module without imports and exports, after the modules that it imports.

    Args:
        name: of the file.
        done: names of the modules that are already there; this one is added.

    Raises:
        ValueError: an import or export has a form that cannot be joined.
    """
    if name in done:
        return []
    done.append(name)
    text = (HERE / name).read_text(encoding="utf-8")
    before = [part for other in IMPORT.findall(text) for part in joined(other, done)]
    body = EXPORT.sub("", IMPORT.sub("", text))
    if odd := re.search(r"^(import|export)\b.*|</script", body, re.MULTILINE):
        raise ValueError(f"{name}: cannot be joined: {odd[0]}")
    return [*before, body]


def content_security_policy(styles: Iterable[str], scripts: Iterable[str]) -> str:
    """Return the policy of a page that has nothing but these styles, scripts and pictures.

    Args:
        styles: all text between the tags of each `<style>`, to the last line break.
        scripts: the same of each `<script>`.
    """
    return "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"style-src {allowed(styles)}",
            f"script-src {allowed(scripts)}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def allowed(texts: Iterable[str]) -> str:
    """Return the digests of texts, as a policy names them."""
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{b64encode(d).decode()}'" for d in digests) or "'none'"
