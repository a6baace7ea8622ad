"""Script and style of the live network, and the policy of a page that holds nothing else.

The script stands in the page itself, so that the page is one file that opens from disk. Its
modules are joined into one, since modules inside a page cannot import each other.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterable
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?function |const |class )", re.MULTILINE)


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
    return (
        f"default-src 'none'; img-src data:; style-src {allowed(styles)};"
        f" script-src {allowed(scripts)}; base-uri 'none'; form-action 'none'"
    )


def allowed(texts: Iterable[str]) -> str:
    """Return the digests of texts, as a policy names them."""
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{b64encode(d).decode()}'" for d in digests) or "'none'"
