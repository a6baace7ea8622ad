"""Tests of the live network's payload."""

import json
from base64 import b64decode
from typing import Any

import numpy as np

from tasks.model.calibration import Calibrated, Familiar
from tasks.records import Shape
from tasks.report.live import payload
from tasks.report.live.payload import choose_images, pack
from tasks.settings import NetworkSettings

SHAPE = Shape(height=28, width=28, classes=10)
CALIBRATED = Calibrated(Familiar(np.array([[0.6, 0.8], [0, -1]], np.float16), 0.1), 0.5)


def zero_weights(settings: NetworkSettings, shape: Shape) -> dict[str, np.ndarray]:
    """Return constant weights by name, for one convolutional and no hidden dense layer."""
    size, filters = settings.conv_sizes[0], settings.conv_filters[0]
    places = (shape.height // 2) * (shape.width // 2)
    return {
        "conv1/kernel": np.full((size, size, 1, filters), 0.5, np.float32),
        "conv1/bias": np.full(filters, 0.25, np.float32),
        "fc1/kernel": np.full((places * filters, shape.classes), -1, np.float32),
        "fc1/bias": np.full(shape.classes, 2, np.float32),
    }


def pack_small_network(names: list[str], **changes: Any) -> payload.Payload:
    """Pack a network of one filter, and five images of 4 × 4 pixels in three classes."""
    settings = NetworkSettings(conv_filters=(1,), conv_sizes=(3,), dense=(), **changes)
    shape = Shape(height=4, width=4, classes=3)
    images = np.arange(5 * 16, dtype=np.uint8).reshape(5, 4, 4)
    true = np.array([0, 1, 2, 0, 1], np.uint8)
    predicted = np.array([0, 1, 1, 0, 2], np.uint8)
    probabilities = np.full((5, 3), 1 / 3, np.float32)
    weights = zero_weights(settings, shape)
    return pack(settings, shape, weights, images, true, predicted, probabilities, names, CALIBRATED)


def test_payload_holds_weights_images_and_groups() -> None:
    text = pack_small_network(["a", "b", "c"]).text
    assert text is not None
    facts = json.loads(text)
    weights = np.frombuffer(b64decode(facts["weights"]), "<f4")
    np.testing.assert_array_equal(weights, [0.5] * 9 + [0.25] + [-1] * 12 + [2] * 3)
    assert b64decode(facts["images"]) == bytes(range(80))
    assert facts["rows"] == [0, 1, 2, 3, 4]
    assert facts["groups"]["errors"] == [2, 4]
    assert facts["confusion"] == [[2, 0, 0], [0, 1, 1], [0, 1, 0]]
    assert (facts["temperature"], facts["limit"], facts["fits"]) == (0.5, 0.1, False)
    assert np.frombuffer(b64decode(facts["familiar"]), np.int8).tolist() == [95, 127, 0, -127]


def test_class_names_are_escaped_for_the_script_element() -> None:
    names = ["</script>", "<!--", "&amp;\u2028"]
    text = pack_small_network(names).text
    assert text is not None and "<" not in text
    assert json.loads(text)["names"] == names


def test_chosen_images_are_the_first_the_errors_and_the_least_certain() -> None:
    true = np.zeros(1000, np.uint8)
    predicted = np.where(np.arange(1000) % 2, 1, 0)  # 500 errors
    confidence = np.linspace(0.9, 0.6, 1000)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    groups = choose_images(true, predicted, probabilities, most=1000)
    assert groups.first == tuple(range(30))
    assert groups.errors == tuple(range(1, 400, 2))
    assert groups.least_certain == tuple(range(999, 969, -1))
    assert len(choose_images(true, predicted, probabilities, most=50).rows) <= 50
    assert choose_images(true, true, probabilities, most=20).errors == ()


def test_too_large_network_is_left_out_with_a_reason() -> None:
    large = NetworkSettings(dense=(1000,))
    nothing = np.zeros((0,), np.uint8)
    found = pack(
        large,
        SHAPE,
        {},
        np.zeros((0, 28, 28), np.uint8),
        nothing,
        nothing,
        np.zeros((0, 10), np.float32),
        [],
        CALIBRATED,
    )
    assert found.text is None
    assert found.reason.startswith("The network has 1,789,862 weights, too many for this page")
