"""What the network holds, what it makes of an image, and what it looks for."""

import numpy as np
import pyarrow as pa

from tasks.records import Attribution, Embedding, LayerOutputs
from tasks.report import figures
from tasks.report.pictures.book import Predicted, Sketchbook
from tasks.runtime.errors import PipelineError

Tensors = dict[str, np.ndarray]
"""Arrays by name, as they lie in a safetensors file."""


def draw_weights(book: Sketchbook, tensors: Tensors, conv2_channels: tuple[int, ...]) -> None:
    for layer, channels in (("conv1", (0,)), ("conv2", conv2_channels)):
        weights = tensors.get(f"{layer}/weights")
        if weights is None:
            continue
        check_channels(channels, weights.shape[2])
        limit = figures.largest(weights)
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


def draw_outputs(book: Sketchbook, tensors: Tensors, layers: LayerOutputs, data: Predicted) -> None:
    """Each test image that was asked for, what the layers make of it, and both in one."""
    for position, row in enumerate(layers.test_images):
        name = data.names[data.true[row]]
        book.section = f"How it sees test image {row}"
        book.add(
            figures.single_image(data.images[row], f"Test image {row}: {name}"),
            name=f"image-{row}",
            title=f"Test image {row}",
            caption=f"A {name}, as the network is given it.",
            alt=f"Image of a {name}.",
        )
        outputs = [(layer, tensors[f"{layer}/outputs"][position]) for layer in layers.layers]
        for layer, output in outputs:
            if output.ndim == 3:
                _draw_layer(book, layer, output, row, name)
        taken = data.names[data.predicted[row]]
        book.add(
            # The last layer's are the logits: the probabilities say the same.
            figures.flow(
                data.images[row], outputs[:-1], data.probabilities[row], data.true[row], data.names
            ),
            name=f"flow-{row}",
            title=f"The way of test image {row} through the network",
            caption="From top to bottom: the image, what each layer makes of it (darker is more,"
            " each layer on a scale of its own), and the probability of each class, blue for the"
            " true one.",
            alt=f"Test image {row}, a {name}, goes through {', '.join(layers.layers[:-1])}"
            f" and is taken for a {taken} with {data.probabilities[row].max():.1%}.",
        )


def _draw_layer(book: Sketchbook, layer: str, output: np.ndarray, row: int, name: str) -> None:
    height, width, filters = output.shape
    book.add(
        figures.layer_outputs(output, f"Output of {layer} for test image {row}"),
        name=f"{layer}-outputs-{row}",
        title=f"What {layer} makes of test image {row}",
        caption=f"Its {filters} outputs of {height} × {width} pixels; darker is more.",
        alt=f"{filters} small images, each what one filter of {layer} answers to a {name}.",
    )


def draw_exciting_inputs(book: Sketchbook, tensors: Tensors, names: list[str]) -> None:
    images, logits = tensors["images"], tensors["logits"]
    book.add(
        figures.exciting_inputs(images, tensors["probabilities"], names),
        name="exciting-inputs",
        title="What each class looks for",
        caption="For each class the input that excites its logit most, found by climbing from"
        " noise along the gradient (smoothed, and with a small price on ink), and the probability"
        " that the network gives it. It need not look like that class to us.",
        alt=f"{len(images)} made-up images with logits of their own class from"
        f" {logits.min():.1f} to {logits.max():.1f}.",
    )


def draw_attributions(
    book: Sketchbook, tensors: Tensors, attribution: Attribution, data: Predicted
) -> None:
    rows = np.array(attribution.test_images, int)
    side = attribution.patch
    book.add(
        figures.attributions(
            data.images[rows],
            data.true[rows].tolist(),
            attribution.predicted,
            [
                (title, tensors[f"{kind}/predicted"], tensors[f"{kind}/true"])
                for kind, title in (
                    ("gradient", "gradient × input"),
                    ("occlusion", f"{side} × {side} pixels covered"),
                )
                if len(rows)
            ],
            data.names,
        ),
        name="attributions",
        title="What misled it",
        caption="Red pixels speak for the class predicted (left of each pair) or for the true one"
        " (right), blue ones against it: by the gradient times the pixel, and by how far the"
        f" logit falls when {side} × {side} pixels around the place are covered."
        if len(rows)
        else "It gets no test image wrong.",
        alt=f"Maps of the first {len(rows)} errors: {data.taken_for(rows)}."
        if len(rows)
        else "No errors.",
    )


def draw_map(
    book: Sketchbook, table: pa.Table, embedding: Embedding, names: list[str], images: int
) -> None:
    places = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], axis=1)
    true, predicted = table["label"].to_numpy(), table["predicted"].to_numpy()
    wrong = int((true != predicted).sum())
    sample = f"{embedding.rows:,} of {images:,} test images, errors first"
    if embedding.rows == images:
        sample = f"All {images:,} test images"
    book.add(
        figures.embedding_map(places, true, predicted, names),
        name="map",
        title=f"The test images as {embedding.layer} sees them",
        caption=f"{sample}: near each other is what the outputs of {embedding.layer} are alike for"
        " (PCA, then t-SNE; distances between groups mean little). Colours are true classes,"
        f" crosses the {wrong:,} that it gets wrong.",
        alt=f"A map of {embedding.rows:,} points of {len(np.unique(true))} classes, {wrong:,} of"
        " them marked as errors.",
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
