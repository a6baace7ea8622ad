"""Accuracy on pictures that are not in MNIST's form, by kind of trouble, with and without --fit.

MNIST's test digits are taken out of their form, and digits are drawn from strokes and fonts; all
with a fixed seed. Pictures of no digit measure how often they are marked.

python -m benchmarks.drawings --help
"""

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tasks.data.idx import decompress, loads
from tasks.model.calibrate import Reader, compile_reader, read_all
from tasks.model.calibration import (
    Familiar,
    calibration_error,
    choose_rows,
    distances,
    fit_temperature,
    learn_familiar,
    softmax,
)
from tasks.model.device import load_tensorflow
from tasks.scoring.fit import Fitted, Mark, fit_images, fit_picture
from tasks.scoring.score import mark_unfamiliar

SEED = 20260101
EACH = 300  # pictures of each kind
FONTS = ("/usr/share/fonts/truetype/dejavu", "/usr/share/fonts/truetype/liberation")
LETTERS = "abcdefghkmnpqrtuwxyACDEFGHJKLMNPRTUVWXY"  # without those that look like a digit

Picture = np.ndarray
Change = Callable[[np.random.Generator, np.ndarray], Picture]


def enlarge(digit: np.ndarray, side: int) -> np.ndarray:
    """Resize a square digit smoothly, float [side, side] in [0, 1]."""
    from PIL import Image

    resized = Image.fromarray(digit.astype(np.float32)).resize((side, side), 3)
    return np.clip(np.asarray(resized, np.float64), 0, 1)


def on_field(rng: np.random.Generator, digit: np.ndarray, height: int, width: int) -> np.ndarray:
    """Put a digit somewhere into a larger empty field."""
    field = np.zeros((height, width))
    y = rng.integers(0, height - digit.shape[0] + 1)
    x = rng.integers(0, width - digit.shape[1] + 1)
    field[y : y + digit.shape[0], x : x + digit.shape[1]] = digit
    return field


def large(rng: np.random.Generator, digit: np.ndarray) -> np.ndarray:
    """Enlarge a digit and put it into a field of another shape: ink, float in [0, 1]."""
    side = int(rng.integers(60, 240))
    height, width = (int(side * rng.uniform(1.0, 2.0)) for _ in range(2))
    return on_field(rng, enlarge(digit, side), height, width)


def to_bytes(picture: np.ndarray) -> Picture:
    """Return grey levels in [0, 1] as uint8."""
    result: np.ndarray = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return result


def lay(ink: np.ndarray, paper: float | np.ndarray, pen: float) -> np.ndarray:
    """Lay ink on paper: grey level `pen` where there is ink, `paper` elsewhere."""
    return paper * (1 - ink) + pen * ink


def turn(rng: np.random.Generator, digit: np.ndarray, degrees: float) -> np.ndarray:
    """Turn a digit by up to so many degrees."""
    from scipy import ndimage

    angle = rng.uniform(-degrees, degrees)
    result: np.ndarray = np.clip(ndimage.rotate(digit, angle, reshape=False, order=1), 0, 1)
    return result


def centre_line(digit: np.ndarray) -> np.ndarray:
    """Thin strokes to lines of one pixel (Zhang and Suen 1984).

    Args:
        digit: bool [h, w], False at its edges.

    Returns:
        bool [h, w].
    """
    line = digit.copy()
    changed = True
    while changed:
        changed = False
        for step in (0, 1):
            shifts = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
            ring = np.stack([np.roll(line, (-y, -x), (0, 1)) for y, x in shifts])
            n, e, s, w = ring[0], ring[2], ring[4], ring[6]
            count = ring.sum(axis=0)
            turns = (~ring & np.roll(ring, -1, axis=0)).sum(axis=0)
            open_sides = (
                (~(n & e & s) & ~(e & s & w)) if step == 0 else (~(n & e & w) & ~(n & s & w))
            )
            gone = line & (count >= 2) & (count <= 6) & (turns == 1) & open_sides
            line[gone] = False
            changed |= bool(gone.any())
    return line


def thin(digit: np.ndarray, side: int, width: float) -> np.ndarray:
    """Redraw a digit with a thin pen along the middle of its strokes.

    Args:
        digit: float [28, 28] in [0, 1].
        side: pixels of the result.
        width: of the pen, in pixels of 28.
    """
    from scipy import ndimage

    line = centre_line(np.pad(enlarge(digit, side) > 0.5, 1))[1:-1, 1:-1]
    away = ndimage.distance_transform_edt(~line)
    result: np.ndarray = np.clip(width * side / 56 + 0.5 - away, 0, 1)
    return result


def lighting(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return uneven light: a slope and a bright spot, about 0 on average."""
    y, x = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    a, b, c, d = rng.uniform(-1, 1, 4)
    light: np.ndarray = 0.12 * (a * x + b * y) - 0.08 * ((x - c) ** 2 + (y - d) ** 2 - 1)
    return light


def grain(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> np.ndarray:
    """Return the grain of paper: noise that is smooth over a pixel or so."""
    from scipy import ndimage

    result: np.ndarray = ndimage.gaussian_filter(rng.normal(0, 2 * sigma, shape), 0.7)
    return result


def jpeg(picture: Picture, quality: int) -> Picture:
    """Return a picture as JPEG leaves it."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def photograph(rng: np.random.Generator, digit: np.ndarray) -> Picture:
    """Photograph a digit on paper: turned, unevenly lit, blurred, with grain, as JPEG."""
    from scipy import ndimage

    ink = large(rng, turn(rng, digit, 12))
    sheet = lay(ink, rng.uniform(0.55, 0.85) + lighting(rng, ink.shape), rng.uniform(0.1, 0.35))
    sheet = ndimage.gaussian_filter(sheet, rng.uniform(0.5, 2.5)) + grain(rng, ink.shape, 0.03)
    return jpeg(to_bytes(sheet), int(rng.integers(30, 80)))


def framed(rng: np.random.Generator, digit: np.ndarray) -> Picture:
    """Draw a rectangle around a digit, or lay the sheet on a dark table."""
    sheet = lay(large(rng, digit), rng.uniform(0.7, 1), 0.1)
    side = min(sheet.shape)
    if rng.random() < 0.5:
        gap = max(2, side // 40)
        padded = np.pad(sheet, 2 * gap, constant_values=sheet.max())
        line = np.zeros(padded.shape, bool)
        line[gap // 2 : -(gap // 2), gap // 2 : -(gap // 2)] = True
        line[gap:-gap, gap:-gap] = False
        return to_bytes(np.where(line, 0.1, padded))
    return to_bytes(
        np.pad(sheet, int(rng.integers(side // 20 + 1, side // 4)), constant_values=0.05)
    )


def specked(rng: np.random.Generator, digit: np.ndarray) -> Picture:
    """Put a few specks beside a digit."""
    ink = large(rng, digit)
    for _ in range(6):
        y, x = (int(rng.integers(0, n - 3)) for n in ink.shape)
        ink[y : y + 3, x : x + 3] = 1
    return to_bytes(lay(ink, 0.95, 0.1))


def small(rng: np.random.Generator, digit: np.ndarray) -> Picture:
    """Draw a digit small and off the centre of 28 × 28, black on white."""
    side = int(rng.integers(15, 24))
    return to_bytes(1 - on_field(rng, enlarge(digit, side), 28, 28))


def pencil(_rng: np.random.Generator, digit: np.ndarray) -> Picture:
    """Draw a digit with a paint program's pencil of one pixel, 28 × 28, black on white."""
    line = centre_line(np.pad(enlarge(digit, 112) > 0.5, 1))[1:-1, 1:-1]
    picture = np.ones((28, 28))
    y, x = np.nonzero(line)
    picture[y // 4, x // 4] = 0
    return to_bytes(picture)


CHANGES: dict[str, Change] = {
    "light on dark, larger": lambda rng, d: to_bytes(large(rng, d)),
    "dark on light, larger": lambda rng, d: to_bytes(1 - large(rng, d)),
    "small, off centre": small,
    "pencil of one pixel": pencil,
    "thin pen": lambda rng, d: to_bytes(1 - large(rng, thin(d, 112, 0.7))),
    "grey paper with grain": lambda rng, d: to_bytes(
        lay(ink := large(rng, d), rng.uniform(0.4, 0.8), rng.uniform(0, 0.2))
        + grain(rng, ink.shape, 0.04)
    ),
    "chalkboard": lambda rng, d: to_bytes(
        lay(ink := large(rng, d), 0.25 + lighting(rng, ink.shape) / 2, 0.8)
        + grain(rng, ink.shape, 0.04)
    ),
    "uneven light": lambda rng, d: to_bytes(
        lay(ink := large(rng, d), 0.7 + lighting(rng, ink.shape), 0.2)
    ),
    "turned by up to 15°": lambda rng, d: to_bytes(1 - large(rng, turn(rng, d, 15))),
    "frame": framed,
    "specks": specked,
    "JPEG of low quality": lambda rng, d: jpeg(to_bytes(1 - large(rng, d)), 15),
    "photograph": photograph,
}


def printed(rng: np.random.Generator, text: str) -> Picture:
    """Print a text in a font chosen at random, black on white."""
    from PIL import Image, ImageDraw, ImageFont

    fonts = sorted(str(p) for folder in FONTS for p in Path(folder).glob("*.ttf"))
    fonts = [f for f in fonts if "Math" not in f]
    font = ImageFont.truetype(fonts[rng.integers(len(fonts))], int(rng.integers(40, 120)))
    picture = Image.new("L", (160 + 60 * (len(text) - 1), 160), 255)
    ImageDraw.Draw(picture).text((40, 10), text, fill=0, font=font)
    return np.asarray(picture)


def development_set(
    images: np.ndarray, labels: np.ndarray, each: int = EACH
) -> Iterator[tuple[str, list[Picture], np.ndarray]]:
    """Make pictures of digits, by kind of trouble.

    Args:
        images: uint8 [n, 28, 28], MNIST's test images.
        labels: of the images.
        each: pictures of each kind.

    Yields:
        The kind, its pictures, and their digits.
    """
    for k, (kind, change) in enumerate(CHANGES.items()):
        rng = np.random.default_rng([SEED, k])
        rows = rng.choice(len(images), each, replace=False)
        yield kind, [change(rng, images[i] / 255) for i in rows], labels[rows]
    digits = np.arange(each) % 10
    rng = np.random.default_rng([SEED, 101])
    yield "printed in 40 fonts", [printed(rng, str(d)) for d in digits], digits


def no_digits(fashion: np.ndarray | None, each: int = EACH) -> Iterator[tuple[str, list[Picture]]]:
    """Make pictures that are nothing like a digit.

    Args:
        fashion: uint8 [n, 28, 28], Fashion-MNIST's test images, if there.
        each: pictures of each kind.
    """
    rng = np.random.default_rng([SEED, 200])
    if fashion is not None:
        rows = rng.choice(len(fashion), each, replace=False)
        yield "Fashion-MNIST", list(fashion[rows])
    yield "letters", [printed(rng, LETTERS[i % len(LETTERS)]) for i in range(each)]
    yield "noise, 28 × 28", [rng.integers(0, 256, (28, 28)).astype(np.uint8) for _ in range(each)]
    yield "noise, smooth", [smooth_noise(rng) for _ in range(each)]
    yield "blank", [np.full((28 + i, 40), i % 256, np.uint8) for i in range(each)]
    yield (
        "blank paper",
        [
            to_bytes(0.7 + lighting(rng, (90, 120)) + grain(rng, (90, 120), 0.03))
            for _ in range(each)
        ],
    )
    yield "scribble", [scribble(rng) for _ in range(each)]


def smooth_noise(rng: np.random.Generator) -> Picture:
    """Return spots of random size."""
    from scipy import ndimage

    noise = ndimage.gaussian_filter(rng.normal(0, 1, (90, 90)), rng.uniform(2, 8))
    return to_bytes((noise - noise.min()) / np.ptp(noise))


def scribble(rng: np.random.Generator) -> Picture:
    """Draw a line through random points."""
    from PIL import Image, ImageDraw

    picture = Image.new("L", (200, 200), 255)
    points = [tuple(p) for p in rng.uniform(20, 180, (int(rng.integers(6, 14)), 2))]
    ImageDraw.Draw(picture).line(points, fill=0, width=int(rng.integers(4, 14)), joint="curve")
    return np.asarray(picture)


def as_before(picture: Picture) -> np.ndarray:
    """Treat a picture as without --fit: resize it, invert it if its edge is light."""
    from PIL import Image

    image = np.asarray(Image.fromarray(picture).resize((28, 28), Image.Resampling.BOX))
    edge = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
    return 255 - image if np.median(edge) >= 128 else image


def answers(
    read: Reader, familiar: Familiar, fitted: list[Fitted]
) -> tuple[np.ndarray, list[Mark]]:
    """Return the class and the mark of each picture."""
    features, logits = read_all(read, np.stack([f.image for f in fitted]))
    far = distances(features, familiar) > familiar.limit
    return logits.argmax(axis=1), mark_unfamiliar([f.mark for f in fitted], far)


def measure(read: Reader, data: Path, fashion: Path | None) -> Iterator[str]:
    """Measure one network.

    Args:
        read: the network.
        data: folder with MNIST's four files.
        fashion: Fashion-MNIST's test images, if there.

    Yields:
        Lines of Markdown.
    """
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
    images, labels = (load(data / f"{name}.gz") for name in names)
    names = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    test_images, test_labels = (load(data / f"{name}.gz") for name in names)
    validation, training = images[:5000], images[5000:]
    features, logits = read_all(read, validation)
    chosen = training[choose_rows(len(training), features.shape[1])]
    familiar = learn_familiar(read_all(read, chosen)[0], features)
    temperature = fit_temperature(logits, labels[:5000])

    changed = sum(bool(f.steps) for part in (images, test_images) for f in fit_images(part, "auto"))
    predicted, marks = answers(read, familiar, fit_images(test_images, "auto"))
    shares = softmax(read_all(read, test_images)[1], temperature)
    yield f"MNIST's 70,000 images changed by --fit auto: {changed}"
    yield f"test accuracy: {np.mean(predicted == test_labels):.2%}; marked: {marked(marks)}"
    yield (
        f"temperature {temperature:.2f}; calibration error on the test split:"
        f" {calibration_error(softmax(read_all(read, test_images)[1]), test_labels):.2%} before,"
        f" {calibration_error(shares, test_labels):.2%} after"
    )
    yield "\n| digits | without --fit | with --fit auto | marked |\n|---|---|---|---|"
    for kind, pictures, truth in development_set(test_images, test_labels):
        before = read(np.stack([as_before(p) for p in pictures]))[1].argmax(axis=1)
        fitted = [fit_picture(p, 28, 28, "auto") for p in pictures]
        predicted, marks = answers(read, familiar, fitted)
        shares = np.array([np.mean(before == truth), np.mean(predicted == truth)])
        yield f"| {kind} | {shares[0]:.1%} | {shares[1]:.1%} | {marked(marks)} |"
    yield "\n| no digits | marked |\n|---|---|"
    for kind, pictures in no_digits(None if fashion is None else load(fashion)):
        fitted = [fit_picture(p, 28, 28, "auto") for p in pictures]
        yield f"| {kind} | {marked(answers(read, familiar, fitted)[1])} |"


def marked(marks: list[Mark]) -> str:
    """Return the share of pictures with a mark."""
    return f"{np.mean([bool(mark) for mark in marks]):.1%}"


def load(path: Path) -> np.ndarray:
    """Read an IDX file, gzipped or not."""
    return loads(decompress(path.read_bytes(), str(path)), str(path))


def main() -> None:
    """Measure the networks named on the command line."""
    parser = argparse.ArgumentParser(description="Accuracy on pictures out of MNIST's form")
    parser.add_argument("models", type=Path, nargs="+", help="exported models, .keras")
    parser.add_argument("--data", type=Path, required=True, help="folder with MNIST's four files")
    parser.add_argument("--fashion", type=Path, help="Fashion-MNIST's t10k-images-idx3-ubyte.gz")
    arguments = parser.parse_args()
    load_tensorflow()
    import keras

    for model in arguments.models:
        print(f"\n{model}\n")
        network = keras.models.load_model(model, compile=False)
        for said in measure(compile_reader(network, 28, 28), arguments.data, arguments.fashion):
            print(said, flush=True)


if __name__ == "__main__":
    main()
