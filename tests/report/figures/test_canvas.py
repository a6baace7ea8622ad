"""Tests of every figure's layout, and of the saved file."""

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.arrays import noise
from helpers.figures import drawn_images, texts, visible
from helpers.sample_figures import SAMPLES
from matplotlib.font_manager import findfont
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from tasks.report import figures


@pytest.mark.parametrize("name", SAMPLES)
def test_texts_are_inside_the_figure_and_nothing_overlaps(name: str) -> None:
    figure = SAMPLES[name]()
    seen = visible(figure)
    boxes = [text.get_window_extent() for text in seen]
    assert boxes
    for text, box in zip(seen, boxes, strict=True):
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width, f"{text.get_text()!r} sticks out"
        assert box.y0 >= 0 and box.y1 <= figure.bbox.height, f"{text.get_text()!r} sticks out"
        assert text.get_fontsize() >= 7
    for (one, a), (other, b) in overlapping(seen, boxes):
        pytest.fail(f"{one!r} at {a} overlaps {other!r} at {b}")
    sheet, *scaled = figure.axes
    frames = [artist.get_window_extent() for artist in (*sheet.get_images(), *scaled)]
    for a, b in itertools.combinations(frames, 2):
        assert min(a.x1, b.x1) <= max(a.x0, b.x0) + 0.1 or (
            min(a.y1, b.y1) <= max(a.y0, b.y0) + 0.1
        )
    for text in sheet.texts:
        box = text.get_window_extent()
        for frame in frames:
            assert not frame.overlaps(box), text.get_text()


def overlapping(seen: list[Text], boxes: list[Bbox]) -> Iterator[tuple[tuple[str, Bbox], ...]]:
    """Yield pairs of texts that overlap by more than a pixel at each side."""
    edges = np.array([(box.x0 + 1, box.x1 - 1, box.y0 + 1, box.y1 - 1) for box in boxes])
    left, right, low, high = edges.T
    for i in range(len(boxes)):
        hits = (left < right[i]) & (left[i] < right) & (low < high[i]) & (low[i] < high)
        for j in np.flatnonzero(hits):
            if j > i:
                yield (seen[i].get_text(), boxes[i]), (seen[j].get_text(), boxes[j])


@pytest.mark.parametrize(
    "name",
    [
        *("long names", "no errors", "10 classes", "16 filters", "outputs", "single", "curve"),
        *("confident", "pairs", "scores", "calibration", "flow", "attributions", "map"),
    ],
)
def test_saved_file_is_reproducible_and_without_metadata(name: str, tmp_path: Path) -> None:
    figure = SAMPLES[name]()
    figures.save(figure, tmp_path / "one.png")
    figures.save(SAMPLES[name](), tmp_path / "two.png")
    one = (tmp_path / "one.png").read_bytes()
    assert one == (tmp_path / "two.png").read_bytes()
    width, height = figure.get_size_inches()
    assert struct.unpack(">II", one[16:24]) == (round(width * 160), round(height * 160))
    assert len(one) < 100_000
    assert chunks(one) <= {b"IHDR", b"PLTE", b"IDAT", b"IEND"}, "no date, no software"


def chunks(png: bytes) -> set[bytes]:
    kinds, at = set(), 8
    while at < len(png):
        kinds.add(png[at + 4 : at + 8])
        at += 12 + int.from_bytes(png[at : at + 4])
    return kinds


def test_saved_text_uses_the_font_bundled_with_matplotlib(tmp_path: Path) -> None:
    figure = SAMPLES["16 filters"]()
    figure.axes[0].texts[0].set_fontfamily("serif")
    figures.save(figure, tmp_path / "figure.png")
    fonts = {Path(findfont(text.get_fontproperties())) for text in visible(figure)}
    assert {font.name for font in fonts} == {"DejaVuSans.ttf"}
    assert all("mpl-data" in font.parts for font in fonts)


def test_rectangular_images_keep_their_proportions() -> None:
    for shape in [(64, 40), (8, 8), (20, 50)]:
        drawings = (
            figures.image_grid(noise(3, *shape), ["a", "b", "c"]),
            figures.single_image(noise(*shape), "a"),
            figures.output_grid(noise(*shape, 5).astype(float), "a"),
        )
        for image in (image for figure in drawings for image in drawn_images(figure)):
            box = image.get_window_extent()
            assert box.height / box.width == pytest.approx(shape[0] / shape[1])


def test_class_names_are_not_parsed_as_math(tmp_path: Path) -> None:
    names = ["$\\frac$", "$a_b^c$"]
    errors = figures.example_errors(noise(1, 8, 8), np.array([0]), np.array([1]), names, 1)
    matrix = figures.confusion_matrix(np.array([[1, 0], [2, 3]]), names)
    for figure in (errors, matrix):
        figures.save(figure, tmp_path / "figure.png")
        assert any("$\\frac$" in text for text in texts(figure))
