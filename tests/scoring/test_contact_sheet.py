"""Tests of the page with pictures and fitted images."""

import numpy as np

from tasks.scoring.answers import Answer
from tasks.scoring.contact_sheet import MOST, TILE, Entry, cut, draw_contact_sheet, load_font


def entry(name: str = "a.png", height: int = 40, width: int = 90) -> Entry:
    original = np.full((height, width), 200, np.uint8)
    return Entry(original, np.full((28, 28), 90, np.uint8), Answer(name, "7", 0.9))


def test_both_pictures_are_on_the_page() -> None:
    page = np.asarray(draw_contact_sheet([entry()], "Scores").convert("L"))
    assert (page == 90).sum() >= 0.95 * TILE * TILE
    assert (page == 200).sum() >= 0.95 * TILE * TILE * 40 / 90


def test_number_of_rows_is_limited() -> None:
    few = draw_contact_sheet([entry()] * MOST, "Scores").size
    assert draw_contact_sheet([entry()] * (MOST + 50), "Scores").size == few


def test_thin_pictures_and_long_names() -> None:
    page = draw_contact_sheet([entry("n" * 300, 1, 4000), entry("é数×–", 4000, 1)], "T" * 500)
    assert page.size[0] < 1000


def test_long_names_are_shortened_in_the_middle() -> None:
    font = load_font(12)
    short = cut("folder/" + "x" * 90 + "/digit1.png", font, 200)
    assert font.getlength(short) <= 200
    assert short.startswith("folder")
    assert short.endswith("digit1.png")
