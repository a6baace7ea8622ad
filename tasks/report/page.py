"""One run as one self-contained HTML page: no network, no scripts, pictures inside."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.records import PictureText
from tasks.report.formatting import change, duration, moment, percent, plain, share
from tasks.report.summary import Summary
from tasks.statistics import wilson_interval

TUTORIAL = {0: 1093, 1: 1296, 100: 6656, 1_000: 9308, 10_000: 9880}
"""Test images that the tutorial's network got right, by iterations trained."""
MNIST_TEST_CLASSES = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
"""Images of each digit in MNIST's test split: tells it from other sets of 10,000."""
DOTS_PER_PIXEL = 2
"""Figures are drawn for screens of twice the density."""
MOST_CONFUSED = 10
WIDE = 600
"""A picture wider than this, in CSS pixels, gets a row of its own."""


def make_environment(templates: Path, *, autoescape: bool = True) -> Environment:
    """How templates become pages: what is not there is an error, blocks leave no lines behind."""
    return Environment(
        loader=FileSystemLoader(templates),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(summary: Summary, pictures: Sequence[tuple[PictureText, bytes]]) -> str:
    """The report of a run.

    Args:
        summary: the run in numbers.
        pictures: what to show and its PNG file, in the order in which they are shown.

    Returns:
        A whole HTML document.
    """
    environment = make_environment(Path(__file__).parent / "templates")
    environment.filters |= {
        "percent": percent,
        "share": share,
        "duration": duration,
        "moment": moment,
    }
    return environment.get_template("report.html.j2").render(
        summary=summary,
        change=change(summary),
        interval=wilson_interval(summary.test.correct, summary.test.total),
        milestones=[
            (milestone, wilson_interval(milestone.correct, milestone.total))
            for milestone in summary.milestones
        ],
        tutorial=TUTORIAL if is_mnist(summary) else {},
        tutorial_total=sum(MNIST_TEST_CLASSES),
        chapters=[
            (title, [(picture, *embedded(png)) for picture, png in group])
            for title, group in groupby(pictures, key=lambda item: item[0].section)
        ],
        confused=summary.metrics.confused[:MOST_CONFUSED],
        wide=WIDE,
        settings=list(sections(summary.settings)),
    )


def is_mnist(summary: Summary) -> bool:
    """Whether the test images are MNIST's 10,000, judged by how many of each digit there are."""
    return [sum(row) for row in summary.confusion_matrix] == MNIST_TEST_CLASSES


def embedded(png: bytes) -> tuple[str, int, int]:
    """A PNG file as data URI, and its width and height in CSS pixels.

    Raises:
        ValueError: the bytes are no PNG file.
    """
    if png[:8] != b"\x89PNG\r\n\x1a\n" or png[12:16] != b"IHDR":
        raise ValueError("not a PNG file")
    width, height = int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
    uri = "data:image/png;base64," + b64encode(png).decode()
    return uri, round(width / DOTS_PER_PIXEL), round(height / DOTS_PER_PIXEL)


def sections(settings: dict[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Nested settings as (section, [(name, value)]); what belongs to no section comes first."""
    loose = [(k, v) for k, v in settings.items() if not isinstance(v, dict)]
    if loose:
        yield "run", [(name, plain(value)) for name, value in loose]
    for section, values in settings.items():
        if isinstance(values, dict) and values:
            yield section, [(name, plain(value)) for name, value in flat(values)]


def flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings of any depth under dotted names."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
