"""Comparison of two kept runs: settings, learning curves, accuracy, classes, and images.

Runs are compared by the validation images: a choice by the test images would make the test worth
nothing. The two networks answer the same images, so the comparison is paired.
"""

from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from math import sqrt
from typing import Any

import numpy as np
from PIL import Image

from tasks.data.dataset import read_split
from tasks.engine import Store
from tasks.engine.layout import RUNS
from tasks.report.figures.canvas import save_bytes
from tasks.report.figures.scores import compared_curves
from tasks.report.live.assemble import content_security_policy
from tasks.report.page import TEMPLATES, embedded, make_environment, read_css
from tasks.report.report import write_index
from tasks.report.runs import KeptRun, flat, shown
from tasks.runtime.errors import PipelineError
from tasks.statistics import SIGNIFICANT, Z_95, mcnemar

MOST_FLIPS = 60
"""Maximum number of images of each kind on the page."""


@dataclass(frozen=True)
class Paired:
    """Two runs on the same images."""

    images: int
    only_first: int
    """Images that only the first run has right."""
    only_second: int
    difference: float
    """Accuracy of the second run minus that of the first."""
    low: float
    high: float
    p: float
    """Two-sided exact p-value of McNemar's test."""

    @property
    def significant(self) -> bool:
        """Whether chance alone would hardly make such a difference."""
        return self.p < SIGNIFICANT


@dataclass(frozen=True)
class Flip:
    """An image that one run has right and the other wrong."""

    place: int
    """In the validation split."""
    true: int
    first: int
    second: int
    """Answers of the runs."""


@dataclass(frozen=True)
class Comparison:
    """What differs between two runs."""

    first: KeptRun
    second: KeptRun
    settings: tuple[tuple[str, str, str], ...]
    """Option, and its value in each run, where they differ."""
    not_compared: str
    """Why the images cannot be compared one by one; empty if they can."""
    paired: Paired | None
    classes: tuple[tuple[str, int, int], ...]
    """Class, and its errors in each run, where they differ."""
    fixed: tuple[Flip, ...]
    """Images that only the second run has right."""
    broken: tuple[Flip, ...]


def compare_pairs(images: int, only_first: int, only_second: int) -> Paired:
    """Return difference, 95 % interval and test of two runs on the same images.

    The interval is Bonett and Price's ("Adjusted Wald confidence interval for a difference of
    binomial proportions based on paired data", 2012).
    """
    first, second = ((n + 1) / (images + 2) for n in (only_first, only_second))
    middle = second - first
    half = Z_95 * sqrt((first + second - middle**2) / (images + 2))
    return Paired(
        images=images,
        only_first=only_first,
        only_second=only_second,
        difference=(only_second - only_first) / images,
        low=middle - half,
        high=middle + half,
        p=mcnemar(only_first, only_second),
    )


def compare(first: KeptRun, second: KeptRun) -> Comparison:
    """Compare two runs."""
    a, b = first.summary, second.summary
    why = ""
    if a.class_names != b.class_names:
        why = "the runs have other classes"
    elif a.validation_sha256 != b.validation_sha256:
        why = "the runs have other validation images"
    flips = [] if why else find_flips(first, second)
    fixed = tuple(flip for flip in flips if flip.second == flip.true)
    broken = tuple(flip for flip in flips if flip.first == flip.true)
    wrong = [Counter(true for _, true, _ in run.errors) for run in (first, second)]
    return Comparison(
        first=first,
        second=second,
        settings=tuple(differing_settings(a.settings, b.settings)),
        not_compared=why,
        paired=None if why else compare_pairs(a.validation.total, len(broken), len(fixed)),
        classes=()
        if why
        else tuple(
            (name, wrong[0][c], wrong[1][c])
            for c, name in enumerate(a.class_names)
            if wrong[0][c] != wrong[1][c]
        ),
        fixed=fixed,
        broken=broken,
    )


def differing_settings(a: dict[str, Any], b: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return option and both values of the settings that differ."""
    one, other = dict(flat(a)), dict(flat(b))
    return [
        (f"--{name}", shown(one.get(name)), shown(other.get(name)))
        for name in {**one, **other}
        if one.get(name) != other.get(name)
    ]


def find_flips(first: KeptRun, second: KeptRun) -> list[Flip]:
    """Return the images that exactly one of the runs has right, in their order."""
    one = {place: (true, said) for place, true, said in first.errors}
    other = {place: (true, said) for place, true, said in second.errors}
    flips = []
    for place in sorted(one.keys() ^ other.keys()):
        true = (one.get(place) or other[place])[0]
        said = (known.get(place, (true, true))[1] for known in (one, other))
        flips.append(Flip(place, true, *said))
    return flips


def comparison_lines(found: Comparison) -> list[str]:
    """Return a comparison as lines for a terminal."""
    template = make_environment(autoescape=False).get_template("compare.txt.j2")
    return template.render(found=found, a=found.first.summary, b=found.second.summary).splitlines()


def write_comparison(store: Store, found: Comparison) -> str:
    """Write the page of a comparison, and the index of runs.

    Returns:
        Address of the page.
    """
    numbers = found.first.summary.number, found.second.summary.number
    name = f"{RUNS}/compare-{numbers[0]}-{numbers[1]}.html"
    store.write(name, comparison_page(store, found).encode())
    write_index(store)
    return f"{store.address}/{name}"


def comparison_page(store: Store, found: Comparison) -> str:
    """Return a comparison as a self-contained HTML page."""
    css = read_css(TEMPLATES / "report.css")
    kinds = (("fixed", found.fixed), ("broken", found.broken))
    pictures, problem = {}, ""
    try:
        pictures = {kind: flip_pictures(store, found, flips) for kind, flips in kinds}
    except (OSError, PipelineError):
        problem = "The validation images are no longer kept, so those that differ are not shown."
    curves = compared_curves(
        [
            (run.title.capitalize(), run.curve, run.summary.milestones)
            for run in (found.first, found.second)
        ]
    )
    return (
        make_environment()
        .get_template("compare.html.j2")
        .render(
            css=css,
            policy=content_security_policy([css], []),
            found=found,
            a=found.first.summary,
            b=found.second.summary,
            names=found.first.summary.class_names,
            curves=embedded(save_bytes(curves)),
            pictures=pictures,
            problem=problem,
            most=MOST_FLIPS,
        )
    )


def flip_pictures(
    store: Store, found: Comparison, flips: tuple[Flip, ...]
) -> list[tuple[Flip, str, int]]:
    """Return the first images of a kind as data URIs, each with its row in the original file."""
    data = read_split(store.path(found.first.validation))
    return [
        (flip, as_uri(data.images[flip.place]), int(data.index[flip.place]))
        for flip in flips[:MOST_FLIPS]
    ]


def as_uri(image: np.ndarray) -> str:
    """Return an image, uint8 [height, width] with 255 for ink, as data URI of a PNG file."""
    file = BytesIO()
    Image.fromarray(255 - image).save(file, "PNG")
    return embedded(file.getvalue())[0]
