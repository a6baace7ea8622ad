"""Report of one run as a self-contained HTML page: no network, embedded pictures and scripts."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.records import DATA_SECTION, PictureText, SplitFacts
from tasks.report.live.assemble import Parts, content_security_policy
from tasks.report.live.story import Caption
from tasks.report.summary import Summary, compared_with_previous
from tasks.statistics import wilson_interval
from tasks.words import (
    duration,
    moment,
    percent,
    plain,
)

TUTORIAL = {0: 1093, 1: 1296, 100: 6656, 1_000: 9308, 10_000: 9880}
"""Test images that the tutorial's network got right, by iterations trained."""
MNIST_TEST_CLASSES = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
"""Number of images of each digit in MNIST's test split, to recognise the data set."""
TEMPLATES = Path(__file__).parent / "templates"
DOTS_PER_PIXEL = 2
"""Figures are drawn for screens with two dots per CSS pixel."""
MOST_CONFUSED = 10
"""Maximum number of rows in the table of confused pairs."""
WIDE = 600
"""Width in CSS pixels above which a picture gets a row of its own."""


def make_environment(*templates: Path, autoescape: bool = True) -> Environment:
    """Return a Jinja environment: undefined variables are errors, block lines are removed.

    Args:
        templates: folders of templates, searched before that of the report and the base page.
        autoescape: whether to escape values for HTML.
    """
    return Environment(
        loader=FileSystemLoader([*templates, TEMPLATES]),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def read_css(file: Path) -> str:
    """Return the style of the base page, followed by that of a file."""
    return "".join(path.read_text(encoding="utf-8") for path in (TEMPLATES / "base.css", file))


def render(
    summary: Summary,
    pictures: Sequence[tuple[PictureText, bytes]],
    live: Parts,
    story: Sequence[Caption],
) -> str:
    """Return the report of a run as a complete HTML document.

    Args:
        summary: numbers of the run.
        pictures: texts and PNG file of each figure, in order.
        live: parts of the live network.
        story: captions that explain how the program works, in order.
    """
    environment = make_environment()
    environment.filters |= {
        "percent": percent,
        "duration": duration,
        "moment": moment,
    }
    of_data = [item for item in pictures if item[0].section == DATA_SECTION]
    others = [item for item in pictures if item[0].section != DATA_SECTION]
    css = read_css(TEMPLATES / "report.css")
    css += f":root {{ --classes: {len(summary.class_names)}; }}\n"
    scripts = [live.script] if live.script else []
    return environment.get_template("report.html.j2").render(
        summary=summary,
        css=css,
        policy=content_security_policy([css, live.style], scripts),
        live=live,
        story=[(caption, first_picture(pictures, caption.picture)) for caption in story],
        change=compared_with_previous(summary),
        interval=wilson_interval(summary.test.correct, summary.test.total),
        milestones=[
            (milestone, wilson_interval(milestone.correct, milestone.total))
            for milestone in summary.milestones
        ],
        tutorial=TUTORIAL if is_mnist(summary) else {},
        tutorial_total=sum(MNIST_TEST_CLASSES),
        data_title=DATA_SECTION,
        data_pictures=[(picture, *embedded(png)) for picture, png in of_data],
        class_rows=images_by_class(summary.data.splits, summary.class_names),
        chapters=[
            (title, [(picture, *embedded(png)) for picture, png in group])
            for title, group in groupby(others, key=lambda item: item[0].section)
        ],
        confused=summary.metrics.confused[:MOST_CONFUSED],
        wide=WIDE,
        settings=list(sections(summary.settings)),
    )


def images_by_class(
    splits: Sequence[SplitFacts], names: Sequence[str]
) -> list[tuple[str, tuple[int, ...]]]:
    """Return the name of each class that has images, and its number of images in each split."""
    counts = zip(*(split.classes for split in splits), strict=True)
    return [(name, row) for name, row in zip(names, counts, strict=True) if any(row)]


def first_picture(pictures: Sequence[tuple[PictureText, bytes]], prefix: str) -> PictureText | None:
    """Return the first picture whose name begins with a prefix; None if there is none."""
    return next((picture for picture, _ in pictures if picture.name.startswith(prefix)), None)


def is_mnist(summary: Summary) -> bool:
    """Return whether the test split has the class counts of MNIST's test split."""
    return [sum(row) for row in summary.confusion_matrix] == MNIST_TEST_CLASSES


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


def sections(settings: dict[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield nested settings as (section, [(name, value)]), first those without a section."""
    loose = [(k, v) for k, v in settings.items() if not isinstance(v, dict)]
    if loose:
        yield "run", [(name, plain(value)) for name, value in loose]
    for section, values in settings.items():
        if isinstance(values, dict) and values:
            yield section, [(name, plain(value)) for name, value in flat(values)]


def flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield settings of any depth under dotted names."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
