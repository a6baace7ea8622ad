"""Report of one run as a self-contained HTML page: no network, embedded pictures and scripts."""

from base64 import b64encode
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tasks.geometry import for_each, layer_sizes
from tasks.model.costs import count_costs
from tasks.records import PictureText, Shape
from tasks.report.live.assemble import content_security_policy, script, style
from tasks.report.runs import changed_options, flat, shown
from tasks.report.summary import Summary
from tasks.settings import NetworkSettings
from tasks.statistics import wilson_interval
from tasks.words import (
    duration,
    escape_markdown,
    markdown_table,
    moment,
    percent,
    percentage_points,
    plural,
)

TUTORIAL = {0: 1093, 1: 1296, 100: 6656, 1_000: 9308, 10_000: 9880}
"""Test images that the tutorial's network got right, by iterations trained."""
MNIST_TEST_CLASSES = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
"""Number of images of each digit in MNIST's test split, to recognise the data set."""
TEMPLATES = Path(__file__).parent / "templates"
LIVE_TEMPLATES = Path(__file__).parent / "live"
DOTS_PER_PIXEL = 2
"""Figures are drawn for screens with two dots per CSS pixel."""
MOST_CONFUSED = 10
"""Maximum number of rows in the table of confused pairs."""


def make_environment(*templates: Path, autoescape: bool = True) -> Environment:
    """Return a Jinja environment: undefined variables are errors, block lines are removed.

    Args:
        templates: folders of templates, searched before that of the report and the base page.
        autoescape: whether to escape values for HTML.
    """
    environment = Environment(
        loader=FileSystemLoader([*templates, TEMPLATES]),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "duration": duration,
        "moment": moment,
        "points": percentage_points,
        "number": "{:,}".format,
        "plural": plural,
        "markdown": escape_markdown,
        "table": markdown_table,
    }
    environment.globals["interval"] = wilson_interval
    return environment


def read_css(file: Path) -> str:
    """Return the style of the base page, followed by that of a file."""
    return "".join(path.read_text(encoding="utf-8") for path in (TEMPLATES / "base.css", file))


def render(
    summary: Summary,
    pictures: Sequence[tuple[PictureText, bytes]],
    shape: Shape,
    network: NetworkSettings,
    payload: str | None,
    reason: str,
) -> str:
    """Return the report of a run as a complete HTML document.

    Args:
        summary: numbers of the run.
        pictures: texts and PNG file of each figure, in order.
        shape: of the images.
        network: layers of the network.
        payload: what the live network reads, as from `pack`; None if there is none.
        reason: why there is no live network, a sentence.
    """
    css = read_css(TEMPLATES / "report.css")
    css += f":root {{ --classes: {len(summary.class_names)}; }}\n"
    code = "" if payload is None else script()
    return (
        make_environment(LIVE_TEMPLATES)
        .get_template("report.html.j2")
        .render(
            summary=summary,
            css=css,
            policy=content_security_policy([css, style()], [code] if code else []),
            live_style=Markup(style()),
            live_script=Markup(code),
            payload=Markup(payload) if payload is not None else None,
            reason=reason,
            shape=shape,
            **benchmarks_of(summary),
            layers=network_facts(network, shape),
            pairs=mixed_up(summary),
            options=changed_options(summary.settings),
            settings=[(name, shown(value)) for name, value in flat(summary.settings)],
            class_rows=images_by_class(summary),
            confused=summary.metrics.confused[:MOST_CONFUSED],
            pictures=[(picture, *embedded(png)) for picture, png in pictures],
        )
    )


def benchmarks_of(summary: Summary) -> dict[str, Any]:
    """Return what the accuracy is compared with: the largest class, and others if it is MNIST."""
    counts = [sum(row) for row in summary.confusion_matrix]
    mnist = counts == MNIST_TEST_CLASSES
    return {
        "mnist": mnist,
        "guessing": max(counts) / max(1, sum(counts)),
        "tutorial": TUTORIAL if mnist else {},
        "tutorial_total": sum(MNIST_TEST_CLASSES),
    }


def network_facts(network: NetworkSettings, shape: Shape) -> dict[str, Any]:
    """Return the numbers of the layers that the explanation names."""
    count = len(network.conv_filters)
    pooled = for_each(count, network.pooling) if count else ()
    sizes = layer_sizes(network, shape.height, shape.width) if count else []
    height, width = sizes[-1][1] if count else (shape.height, shape.width)
    return {
        "filters": network.conv_filters,
        "sizes": for_each(count, network.conv_sizes) if count else (),
        "strides": for_each(count, network.conv_strides) if count else (),
        "pooling": [
            (n, kind, *size)
            for n, (kind, size) in enumerate(zip(pooled, sizes, strict=True), 1)
            if kind != "none"
        ],
        "deeper": list(enumerate(pairwise(network.conv_filters), 2)),
        "left": height * width * (network.conv_filters[-1] if count else 1),
        "dense": network.dense,
        "activation": network.activation,
        "learned": count_costs(network, shape).parameters,
    }


def mixed_up(summary: Summary) -> list[tuple[int, str, str]]:
    """Return how often two classes were taken for each other, the most frequent pair first."""
    pairs: dict[tuple[int, int], int] = {}
    for pair in summary.metrics.confused:
        key = (min(pair.true, pair.predicted), max(pair.true, pair.predicted))
        pairs[key] = pairs.get(key, 0) + pair.count
    names = summary.class_names
    return sorted(((n, names[a], names[b]) for (a, b), n in pairs.items()), reverse=True)


def images_by_class(summary: Summary) -> list[tuple[str, tuple[int, ...]]]:
    """Return the name of each class that has images, and its number of images in each split."""
    counts = zip(*(split.classes for split in summary.data.splits), strict=True)
    rows = zip(summary.class_names, counts, strict=True)
    return [(name, row) for name, row in rows if any(row)]


def embedded(png: bytes) -> tuple[str, int, int]:
    """Return a PNG file as data URI, and its width and height in CSS pixels.

    Raises:
        ValueError: the bytes are not a PNG file.
    """
    if png[:8] != b"\x89PNG\r\n\x1a\n" or png[12:16] != b"IHDR":
        raise ValueError("not a PNG file")
    width, height = int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
    uri = "data:image/png;base64," + b64encode(png).decode()
    return uri, round(width / DOTS_PER_PIXEL), round(height / DOTS_PER_PIXEL)
