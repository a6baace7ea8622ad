"""The page of pictures."""

from pathlib import Path

import numpy as np
from PIL import Image

from tasks.scoring.answers import PictureAnswer
from tasks.scoring.contact_sheet import (
    MOST,
    TILE,
    Entry,
    cut,
    draw_contact_sheet,
    is_contact_sheet,
    load_font,
    thumbnail,
    write_contact_sheet,
)


def entry(name: str = "a.png", height: int = 40, width: int = 90) -> Entry:
    original = np.full((height, width), 200, np.uint8)
    return Entry(original, np.full((28, 28), 90, np.uint8), PictureAnswer(name, "7", 0.9))


def test_both_pictures_are_on_the_page() -> None:
    page = np.asarray(draw_contact_sheet([entry()], "Scores", 1).convert("L"))
    assert (page == 90).sum() >= 0.95 * TILE * TILE
    assert (page == 200).sum() >= 0.95 * TILE * TILE * 40 / 90


def test_number_of_rows_is_limited() -> None:
    few = draw_contact_sheet([entry()] * MOST, "Scores", MOST).size
    assert draw_contact_sheet([entry()] * (MOST + 50), "Scores", MOST + 50).size == few


def test_thin_pictures_and_long_names() -> None:
    page = draw_contact_sheet([entry("n" * 300, 1, 4000), entry("é数×–", 4000, 1)], "T" * 500, 2)
    assert page.size[0] < 1000


def test_names_are_cut_in_their_middle() -> None:
    font = load_font(12)
    short = cut("folder/" + "x" * 90 + "/digit1.png", font, 200)
    assert font.getlength(short) <= 200
    assert short.startswith("folder")
    assert short.endswith("digit1.png")


def test_a_sheet_is_told_from_other_pictures(tmp_path: Path) -> None:
    write_contact_sheet([entry()], "Scores", 1, tmp_path / "sheet.png")
    Image.open(tmp_path / "sheet.png").save(tmp_path / "copy.png")
    assert is_contact_sheet((tmp_path / "sheet.png").read_bytes())
    assert not is_contact_sheet((tmp_path / "copy.png").read_bytes())


def test_large_pictures_are_kept_small() -> None:
    assert thumbnail(np.zeros((1000, 2000), np.uint8)).size < 4 * TILE * TILE
    assert thumbnail(np.zeros((5, 2000), np.uint8)).shape[0] > 0
    assert thumbnail(np.zeros((28, 28), np.uint8)).shape == (28, 28)
