"""One page of pictures: as they came, as the network saw them, and its answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.scoring.answers import PictureAnswer, say_answer

if TYPE_CHECKING:
    from PIL import Image, ImageFont

COLUMNS = 5
MOST = 200  # pictures on a page
SOFTWARE = ("Software", "mnist-pipeline contact sheet")
"""Text in the PNG by which a contact sheet is recognised, so that no other picture is replaced."""
TILE = 112  # pixels of each picture's side
GAP = 12
TEXT_HEIGHT = 44
PAPER, INK, GREY, WARNING = "#ffffff", "#1a1a1a", "#6b6b6b", "#b00020"


@dataclass(frozen=True)
class Entry:
    """One picture and the answer to it."""

    original: np.ndarray
    """uint8 [h, w], of any size."""
    seen: np.ndarray
    """uint8 [height, width], light on dark, as the network saw it."""
    answer: PictureAnswer


def draw_contact_sheet(entries: list[Entry], title: str, total: int) -> "Image.Image":
    """Draw the first `MOST` pictures on one page.

    Args:
        entries: at least one.
        title: of the page.
        total: number of pictures, of which the entries are the first.

    Returns:
        A Pillow image in colour.
    """
    from PIL import Image, ImageDraw

    shown = entries[:MOST]
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    cell = 2 * TILE + 3 * GAP
    head = 64
    size = (max(columns * cell + GAP, 560), head + rows * (TILE + TEXT_HEIGHT + GAP) + GAP)
    page = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(page)
    large, small = load_font(17), load_font(12)
    draw.text((GAP, GAP), cut(title, large, size[0] - 2 * GAP), INK, large)
    explanation = "left: as it came · right: as the network saw it · answer and probability"
    if len(shown) < total:
        explanation += f" · the first {len(shown):,} of {total:,} pictures"
    draw.text((GAP, GAP + 26), explanation, GREY, small)
    for i, entry in enumerate(shown):
        x = GAP + (i % columns) * cell
        y = head + (i // columns) * (TILE + TEXT_HEIGHT + GAP)
        paste(page, entry.original, x, y)
        paste(page, entry.seen, x + TILE + GAP, y)
        colour = WARNING if entry.answer.mark else INK
        said = "  ".join(part for part in say_answer(entry.answer) if part)
        draw.text((x, y + TILE + 3), said, colour, large)
        draw.text((x, y + TILE + 25), cut(entry.answer.name, small, cell - 2 * GAP), GREY, small)
    return page


def write_contact_sheet(entries: list[Entry], title: str, total: int, path: Path) -> None:
    """Draw a contact sheet and write it as PNG; see `draw_contact_sheet`."""
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text(*SOFTWARE)
    draw_contact_sheet(entries, title, total).save(path, "PNG", pnginfo=text)


def is_contact_sheet(png: bytes) -> bool:
    """Tell a file of `write_contact_sheet` by its first bytes."""
    return "\0".join(SOFTWARE).encode() in png[:200]


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """Reduce a picture to the size that the page shows, so that many take little memory."""
    scale = max(picture.shape) // TILE
    if scale < 2:
        return picture
    from PIL import Image

    return np.asarray(Image.fromarray(picture).reduce(scale))


def load_font(size: int) -> "ImageFont.FreeTypeFont":
    """Load matplotlib's own font: it has more letters than Pillow's, and is there everywhere."""
    import matplotlib
    from PIL import ImageFont

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(path, size)


def paste(page: "Image.Image", picture: np.ndarray, x: int, y: int) -> None:
    """Put a picture into a tile, with its aspect kept; small ones show their pixels."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(picture)
    scale = TILE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    left, top = x + (TILE - size[0]) // 2, y + (TILE - size[1]) // 2
    page.paste(image.resize(size, how), (left, top))
    outline = (left - 1, top - 1, left + size[0], top + size[1])
    ImageDraw.Draw(page).rectangle(outline, outline="#c8c8c8")


def cut(text: str, font: "ImageFont.FreeTypeFont", width: int) -> str:
    """Shorten a text in its middle until it fits, in pixels."""
    if font.getlength(text) <= width:
        return text
    keep = len(text)
    while keep > 2:
        keep -= 1
        shorter = f"{text[: keep // 3]}…{text[-(keep - keep // 3) :]}"
        if font.getlength(shorter) <= width:
            return shorter
    return "…"
