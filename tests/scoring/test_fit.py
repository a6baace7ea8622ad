"""Tests of fitting pictures into MNIST's form."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from tasks.data.drawn import draw_many
from tasks.data.mnist_form import has_mnist_form
from tasks.scoring.fit import count_digits, fit_images, fit_picture

Trouble = Callable[[np.ndarray], np.ndarray]

DRAWN = draw_many(40, seed=3)[0]
DIGITS = DRAWN[has_mnist_form(DRAWN)]


def enlarge(digit: np.ndarray, factor: int = 4) -> np.ndarray:
    """Enlarge a digit smoothly, float in [0, 1]."""
    return np.clip(ndimage.zoom(digit / 255, factor, order=1), 0, 1)


def nearest(image: np.ndarray, known: np.ndarray) -> int:
    """Return the index of the image that looks most like one, after a blur."""
    a, b = (ndimage.gaussian_filter(x / 255, (0, 1, 1)) for x in (image[np.newaxis], known))
    return int(((a - b) ** 2).sum(axis=(1, 2)).argmin())


def corner(digit: np.ndarray) -> np.ndarray:
    return np.pad(enlarge(digit), ((90, 0), (0, 140)))


def on_grey_paper(digit: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 0.02, (112, 112))
    return 0.6 - 0.4 * enlarge(digit) + noise


def on_a_chalkboard(digit: np.ndarray) -> np.ndarray:
    return 0.3 + 0.4 * enlarge(digit) + np.random.default_rng(0).normal(0, 0.02, (112, 112))


def in_uneven_light(digit: np.ndarray) -> np.ndarray:
    """Lay a digit on paper whose darkest part is darker than the lightest ink."""
    light = np.linspace(0.35, 0.95, 112)[np.newaxis]
    return light - 0.25 * enlarge(digit)


def framed(digit: np.ndarray) -> np.ndarray:
    sheet = np.pad(0.8 - 0.7 * enlarge(digit), 4, constant_values=0.8)
    return np.pad(sheet, 3, constant_values=0.0)


def on_a_dark_table(digit: np.ndarray) -> np.ndarray:
    return np.pad(0.8 - 0.7 * enlarge(digit), 40, constant_values=0.05)


def with_specks(digit: np.ndarray) -> np.ndarray:
    picture = 1 - np.pad(enlarge(digit), 10)
    picture[3:6, 3:6] = picture[-9:-6, 20:23] = 0
    return picture


def faint(digit: np.ndarray) -> np.ndarray:
    return 0.9 - 0.12 * enlarge(digit)


TROUBLES = [
    corner,
    on_grey_paper,
    on_a_chalkboard,
    in_uneven_light,
    framed,
    on_a_dark_table,
    with_specks,
    faint,
]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_digit_is_found(trouble: Trouble) -> None:
    """The fitted picture is most similar to its own digit among 20."""
    known = np.stack([f.image for f in fit_images(DIGITS[:20], "mnist")])
    for i, digit in enumerate(DIGITS[:10]):
        fitted = fit_picture(np.clip(trouble(digit), 0, 1), 28, 28, "auto")
        assert nearest(fitted.image, known) == i
        assert fitted.mark == ""


@pytest.mark.parametrize("trouble", TROUBLES)
def test_result_has_mnist_form_and_a_second_pass_keeps_it(trouble: Trouble) -> None:
    images = np.stack(
        [fit_picture(np.clip(trouble(d), 0, 1), 28, 28, "auto").image for d in DIGITS[:6]]
    )
    assert has_mnist_form(images).all()
    again = fit_images(images, "auto")
    assert all(f.steps == () for f in again)
    assert (np.stack([f.image for f in again]) == images).all()


def test_auto_keeps_images_in_mnist_form_unchanged() -> None:
    for fitted, digit in zip(fit_images(DIGITS, "auto"), DIGITS, strict=True):
        assert (fitted.image == digit).all()
        assert fitted.summary == ""


def test_auto_only_inverts_an_inverted_digit() -> None:
    (fitted,) = fit_images(255 - DIGITS[:1], "auto")
    assert (fitted.image == DIGITS[0]).all()
    assert fitted.summary == "inverted"


def test_mnist_fits_every_picture() -> None:
    (fitted,) = fit_images(DIGITS[:1], "mnist")
    assert "scaled" in fitted.steps


def test_none_keeps_a_picture_or_refuses_its_size() -> None:
    (fitted,) = fit_images(255 - DIGITS[:1], "none")
    assert (fitted.image == 255 - DIGITS[0]).all()
    with pytest.raises(ValueError, match=r"\(56, 56\)"):
        fit_picture(np.zeros((56, 56)), 28, 28, "none")


@pytest.mark.parametrize(("width", "step"), [(1, "thickened"), (40, "thinned")])
def test_stroke_widths_are_equalised(width: int, step: str) -> None:
    picture = np.zeros((200, 200))
    picture[20:180, 100 : 100 + width] = 1
    picture[20 : 20 + width, 60:140] = 1
    fitted = fit_picture(picture, 28, 28, "auto")
    assert step in fitted.steps


def test_steps_describe_the_changes() -> None:
    fitted = fit_picture(np.clip(with_specks(DIGITS[0]), 0, 1), 28, 28, "auto")
    assert fitted.summary.startswith("inverted, specks removed, cropped, scaled")


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_blank_picture_is_marked(level: float) -> None:
    fitted = fit_picture(np.full((40, 60), level), 28, 28, "auto")
    assert (fitted.mark, fitted.image.max()) == ("blank", 0)


def test_blank_paper_with_grain_is_marked() -> None:
    paper = 0.7 + np.random.default_rng(1).normal(0, 0.03, (90, 120))
    assert fit_picture(paper, 28, 28, "auto").mark == "blank"


def test_noise_is_not_a_digit() -> None:
    noise = np.random.default_rng(1).uniform(0, 1, (50, 50))
    assert fit_picture(noise, 28, 28, "auto").mark == "no digit"


def test_blob_is_not_a_digit() -> None:
    y, x = np.mgrid[-50:50, -50:50]
    assert fit_picture((x**2 + y**2 < 900) * 1.0, 28, 28, "auto").mark == "no digit"


def test_two_digits_side_by_side_are_reported() -> None:
    pair = np.concatenate([enlarge(DIGITS[0]), enlarge(DIGITS[3])], axis=1)
    assert fit_picture(1 - pair, 28, 28, "auto").mark == "several digits"


def test_parts_of_one_digit_are_one_digit() -> None:
    """The bar of a 5 hangs free."""
    five = np.zeros((40, 40), bool)
    five[10:38, 5:10] = True
    five[2:6, 5:30] = True
    assert count_digits(five) == 1
    assert count_digits(np.zeros((4, 4), bool)) == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (3, 2), (300, 1), (2000, 30)])
def test_pictures_of_any_size_are_accepted(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, size).astype(np.uint8)
    assert fit_picture(picture, 28, 28, "auto").image.shape == (28, 28)


@pytest.mark.parametrize("side", [14, 20, 56])
def test_other_image_sizes_of_networks(side: int) -> None:
    fitted = fit_picture(1 - enlarge(DIGITS[0]), side, side, "auto")
    rows = np.flatnonzero(fitted.image.any(axis=1))
    assert abs((rows[-1] - rows[0] + 1) - side * 20 / 28) <= 1


@pytest.mark.slow
@pytest.mark.filterwarnings("error::RuntimeWarning")
@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    arrays(
        np.uint8,
        st.tuples(st.integers(1, 14), st.integers(1, 14)),
        elements=st.sampled_from([0, 1, 3, 20, 60, 200, 254, 255]),
        fill=st.sampled_from([0, 100, 255]),
    ),
    st.integers(1, 9),
)
def test_every_picture_gives_an_image(picture: np.ndarray, factor: int) -> None:
    """It is in MNIST's form, unless nothing was found or the ink is far to one side."""
    fitted = fit_picture(np.kron(picture, np.ones((factor, factor), np.uint8)), 28, 28, "mnist")
    assert (fitted.image.shape, fitted.image.dtype) == ((28, 28), np.uint8)
    assert fitted.image.max() == (0 if "no ink found" in fitted.steps else 255)
