"""The pictures of the report, each with the words that go with it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from tasks.errors import PipelineError
from tasks.records import Evaluation, Picture, PictureText
from tasks.report import figures
from tasks.store import Workspace

FIRST_IMAGES = 9


class Sketchbook:
    """Pictures drawn into a stage's outputs, in order."""

    def __init__(self, work: Workspace) -> None:
        self.work = work
        self.pictures: list[Picture] = []

    def add(self, figure: Figure, name: str, title: str, caption: str, alt: str) -> None:
        figures.save(figure, self.work.output(f"{name}.png"))
        text = PictureText(name=name, title=title, caption=caption, alt=alt)
        self.pictures.append(Picture(**text.model_dump(), file=self.work.finished(f"{name}.png")))


def draw_first_images(
    book: Sketchbook, images: np.ndarray, labels: np.ndarray, names: list[str]
) -> None:
    count = min(FIRST_IMAGES, len(images))
    titles = [f"True: {names[label]}" for label in labels[:count]]
    book.add(
        figures.image_grid(images[:count], titles),
        name="first-test-images",
        title="What there is to learn",
        caption=f"The first {count} images of the test split, each with its true class.",
        alt="Images of the classes " + ", ".join(names[label] for label in labels[:count]) + ".",
    )


def draw_learning_curve(
    book: Sketchbook, curves: Sequence[Path], evaluations: tuple[Evaluation, ...]
) -> None:
    reports = pa.concat_tables(map(pq.read_table, curves)) if curves else None
    columns = ("iteration", "accuracy", "loss")
    iteration, accuracy, loss = (
        reports[name].to_numpy() if reports else np.array([]) for name in columns
    )
    first, last = evaluations[0], evaluations[-1]
    book.add(
        figures.learning_curve(
            iteration, accuracy, loss, [(e.iteration, e.correct, e.total) for e in evaluations]
        ),
        name="learning-curve",
        title="How it learned",
        caption="Accuracy and loss on the batch just trained on, every 100 iterations, and the"
        " accuracy on the test split at each milestone with its 95 % interval.",
        alt=f"Test accuracy rises from {first.correct / first.total:.1%} at iteration"
        f" {first.iteration:,} to {last.correct / last.total:.1%} at {last.iteration:,}.",
    )


def draw_errors(
    book: Sketchbook,
    images: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray,
    names: list[str],
    iteration: int,
) -> None:
    wrong = int((predicted != labels).sum())
    shown = min(FIRST_IMAGES, wrong)
    after = f"{iteration:,} iteration{'' if iteration == 1 else 's'}"
    book.add(
        figures.example_errors(images, labels, predicted, names, iteration),
        name=f"errors-{iteration}",
        title=f"Errors after {after}",
        caption=f"The first {shown} of {wrong:,} test images that it gets wrong."
        if wrong
        else "It gets no test image wrong.",
        alt="; ".join(
            f"a {names[labels[i]]} taken for a {names[predicted[i]]}"
            for i in np.flatnonzero(predicted != labels)[:FIRST_IMAGES]
        )
        or "No errors.",
    )


def draw_confusion(book: Sketchbook, matrix: np.ndarray, names: list[str]) -> None:
    errors = matrix - np.diag(np.diag(matrix))
    true, predicted = np.unravel_index(errors.argmax(), errors.shape)
    worst = int(errors[true, predicted])
    book.add(
        figures.confusion_matrix(matrix, names),
        name="confusion-matrix",
        title="What is taken for what",
        caption="Test images by true class (down) and predicted class (across). The colour scale"
        " is logarithmic, so that single errors show beside the diagonal.",
        alt=f"Confusion matrix. Most often confused: {names[true]} taken for"
        f" {names[predicted]}, {worst} times."
        if worst
        else "Confusion matrix without errors.",
    )


def draw_weights(
    book: Sketchbook, tensors: dict[str, np.ndarray], conv2_channels: tuple[int, ...]
) -> None:
    for layer, channels in (("conv1", (0,)), ("conv2", conv2_channels)):
        weights = tensors.get(f"{layer}/weights")
        if weights is None:
            continue
        check_channels(channels, weights.shape[2])
        limit = figures.weight_limit(weights)
        for channel in channels:
            where = "" if layer == "conv1" else f" for input channel {channel}"
            book.add(
                figures.conv_weights(weights, channel, limit),
                name=f"{layer}-weights-{channel}",
                title=f"Filters of {layer}{where}",
                caption=f"The {weights.shape[3]} filters{where}: red is positive, blue negative,"
                f" one scale for all filters of {layer}.",
                alt=f"{weights.shape[3]} filters of {weights.shape[0]} × {weights.shape[1]} weights"
                f" between -{limit:.2f} and {limit:.2f}.",
            )


def draw_outputs(
    book: Sketchbook,
    tensors: dict[str, np.ndarray],
    images: np.ndarray,
    labels: np.ndarray,
    names: list[str],
    rows: tuple[int, ...],
) -> None:
    for position, row in enumerate(rows):
        name = names[labels[row]]
        book.add(
            figures.single_image(images[row], f"Test image {row}: {name}"),
            name=f"image-{row}",
            title=f"Test image {row}",
            caption=f"A {name}, as the network is given it.",
            alt=f"Image of a {name}.",
        )
        for key in sorted(name for name in tensors if name.endswith("/outputs")):
            layer, outputs = key.split("/")[0], tensors[key][position]
            height, width, filters = outputs.shape
            book.add(
                figures.layer_outputs(outputs, f"Output of {layer} for test image {row}"),
                name=f"{layer}-outputs-{row}",
                title=f"What {layer} makes of test image {row}",
                caption=f"Its {filters} outputs of {height} × {width} pixels,"
                " after pooling and ReLU; darker is more.",
                alt=f"{filters} small images, each what one filter of {layer} answers to a {name}.",
            )


def check_channels(channels: tuple[int, ...], available: int) -> None:
    """Refuse channels that a layer does not have.

    Raises:
        PipelineError: a channel is beyond the last.
    """
    if beyond := [channel for channel in channels if channel >= available]:
        raise PipelineError(
            f"--conv2-channels {beyond[0]}: conv2 has {available} input channels, numbered from 0"
        )
