"""Payload of the report page: a trained network and some test images as one JSON text."""

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.data.mnist_form import has_mnist_form
from tasks.model.calibration import Calibrated
from tasks.model.costs import count_costs
from tasks.records import Shape
from tasks.report.live.steps import Step, network_steps
from tasks.settings import NetworkSettings

PAYLOAD_LIMIT = 3_500_000
"""Maximum number of characters; with the figures, the page stays below 5 MB."""
IMAGES_LIMIT = 600_000
"""Maximum number of bytes of all images."""
FEATURES_LIMIT = 600_000
"""Maximum number of values of all training images' features."""
FIRST, ERRORS, LEAST_CERTAIN = 30, 200, 30
"""Maximum number of images of each group."""
EPSILON = 1e-3
"""ε that Keras's BatchNormalization adds to the variance by default."""


@dataclass(frozen=True)
class Groups:
    """Rows of the test split in the payload, by group."""

    first: tuple[int, ...]
    errors: tuple[int, ...]
    least_certain: tuple[int, ...]

    @property
    def rows(self) -> list[int]:
        """All rows, ascending, each once."""
        return sorted({*self.first, *self.errors, *self.least_certain})


@dataclass(frozen=True)
class Payload:
    """JSON text; None with a reason if it is too large."""

    text: str | None
    reason: str = ""


def ordered_weights(
    steps: Sequence[Step], weights: dict[str, NDArray[np.floating]]
) -> Iterator[NDArray[np.floating]]:
    """Yield the weights in the order that network.js expects.

    Args:
        steps: as from `network_steps`.
        weights: by the names of Keras, e.g. `conv1/kernel`, `norm1/gamma`, `fc1_norm/beta`.

    Yields:
        Kernel and bias of each convolutional and fully-connected layer; of a normalisation, the
        factor and the summand of each channel that the running statistics come to.
    """
    layer = ""
    for step in steps:
        if step["step"] in {"convolution", "dense"}:
            layer = step["layer"]
            yield weights[f"{layer}/kernel"]
            if step["bias"]:
                yield weights[f"{layer}/bias"]
        elif step["step"] == "scaling":
            name = layer.replace("conv", "norm") if layer.startswith("conv") else f"{layer}_norm"
            gamma, beta, mean, variance = (
                weights[f"{name}/{part}"].astype(np.float64)
                for part in ("gamma", "beta", "moving_mean", "moving_variance")
            )
            factor = gamma / np.sqrt(variance + EPSILON)
            yield factor
            yield beta - mean * factor


def choose_images(
    true: NDArray[np.integer],
    predicted: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    most: int,
) -> Groups:
    """Choose the first test images, the first errors, and the least certain images.

    Args:
        true: [n], classes.
        predicted: [n], classes.
        probabilities: float32 [n, classes]; the least certain image has the lowest maximum.
        most: images in all.
    """
    first = tuple(range(min(FIRST, len(true), most)))
    wrong = np.flatnonzero(true != predicted)[:ERRORS].tolist()
    errors = tuple(wrong[: max(0, most - len(first))])
    left = max(0, most - len({*first, *errors}))
    order = np.argsort(probabilities.max(axis=1), kind="stable")[: min(LEAST_CERTAIN, left)]
    return Groups(first=first, errors=errors, least_certain=tuple(order.tolist()))


def pack(
    settings: NetworkSettings,
    shape: Shape,
    weights: dict[str, NDArray[np.floating]],
    images: NDArray[np.uint8],
    true: NDArray[np.integer],
    predicted: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    names: Sequence[str],
    calibrated: Calibrated,
) -> Payload:
    """Return network and images as one text for the page's scripts.

    Args:
        settings: of the network.
        shape: of the images, and the number of classes.
        weights: float32, by the names of Keras, as in a checkpoint without `weights/`.
        images: uint8 [n, height, width], the test split.
        true: [n], classes; `predicted` likewise, and `probabilities` float32 [n, classes].
        calibrated: how the answers are to be read.
    """
    groups = choose_images(
        true, predicted, probabilities, max(10, IMAGES_LIMIT // (shape.height * shape.width))
    )
    rows = groups.rows
    count = count_costs(settings, shape).parameters
    size = 4 * (4 * count + len(rows) * shape.height * shape.width) // 3
    if size > PAYLOAD_LIMIT:
        return Payload(
            None,
            f"The network has {count:,} weights, too many for this page: with the test images they"
            f" would add {size / 1e6:,.1f} MB to it; {PAYLOAD_LIMIT / 1e6:.1f} MB is the limit.",
        )
    steps = network_steps(settings, shape)
    place = {row: i for i, row in enumerate(rows)}
    confusion = np.zeros((shape.classes, shape.classes), int)
    np.add.at(confusion, (true, predicted), 1)
    facts = {
        "shape": {"height": shape.height, "width": shape.width, "channels": 1},
        "names": list(names),
        "steps": steps,
        "weights": encoded(ordered_weights(steps, weights)),
        "images": b64encode(np.ascontiguousarray(images[rows]).tobytes()).decode(),
        "rows": rows,
        "labels": true[rows].tolist(),
        "predicted": predicted[rows].tolist(),
        "groups": {
            "first": [place[row] for row in groups.first],
            "errors": [place[row] for row in groups.errors],
            "leastCertain": [place[row] for row in groups.least_certain],
        },
        "confusion": confusion.tolist(),
        "fits": bool(has_mnist_form(images[: groups.rows[-1] + 1]).mean() > 0.9),
        "temperature": calibrated.temperature,
        "familiar": packed_features(calibrated.familiar.features),
        "limit": calibrated.familiar.limit,
    }
    # A `<` could end the script element around the text.
    return Payload(json.dumps(facts, separators=(",", ":")).replace("<", "\\u003c"))


def encoded(arrays: Iterator[NDArray[np.floating]]) -> str:
    """Encode arrays one after the other as little-endian float32, base64."""
    return b64encode(b"".join(a.astype("<f4").tobytes() for a in arrays)).decode()


def packed_features(features: NDArray[np.floating]) -> str:
    """Encode features of training images [n, neurons] as int8, base64.

    Each row has a scale of its own: only its direction counts. Empty if they are too many.
    """
    if features.size > FEATURES_LIMIT:
        return ""
    rows = features.astype(np.float32)
    largest = np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-9)
    return b64encode(np.rint(127 * rows / largest).astype(np.int8).tobytes()).decode()
