"""Tests of the text that explains how the network works."""

from typing import Any

from tasks.records import Shape
from tasks.report.live.steps import count_weights
from tasks.report.live.story import RunFacts, tell_story
from tasks.settings import NetworkSettings

DIGITS = [str(c) for c in range(10)]
TUTORIAL: dict[str, Any] = {
    "shape": Shape(height=28, width=28, classes=10),
    "names": DIGITS,
    "network": NetworkSettings(),
    "training_images": 55_000,
    "batch_size": 64,
    "milestones": [(0, 980, 10_000), (10_000, 9_880, 10_000)],
    "confused": [(4, 9, 40), (9, 4, 25), (2, 7, 20), (3, 5, 15), (7, 2, 10), (6, 0, 10)],
}
DEEP = NetworkSettings(
    conv_filters=(8, 1, 3),
    conv_sizes=(3,),
    conv_strides=(2, 1, 1),
    pooling=("none", "average", "max"),
    dense=(),
    normalisation=True,
)


def story(**changes: Any) -> list[str]:
    facts = {"networks": 1, **TUTORIAL, **changes}
    learned = facts["networks"] * count_weights(facts["network"], facts["shape"])
    return [caption.text for caption in tell_story(RunFacts(learned=learned, **facts))]


def test_story_of_the_default_network() -> None:
    image, filters, pooling, layers, learning, errors = story()
    assert image.startswith("To a computer an image is 28 × 28 = 784 numbers")
    assert "5 × 5 weights" in filters and "moves on by 1 pixel." in filters
    assert "16 filters, so it has 16 outputs" in filters
    assert pooling.startswith(
        "Of every 2 × 2 neighbouring pixels in an output of conv1, the largest is kept: 28 × 28"
        " pixels become 14 × 14; of every 2 × 2 neighbouring pixels in an output of conv2, the"
        " largest is kept: 14 × 14 pixels become 7 × 7."
    )
    assert layers == (
        "Each of the 36 filters of conv2 looks at all 16 outputs of conv1. The 1,764 numbers that"
        " are left go to 128 neurons, and from there to the last layer, which has one output for"
        " each of the 10 classes. Softmax makes probabilities of them. All these layers together"
        " have 242,062 numbers that are learned."
    )
    assert "980 of 10,000 test images are right. In each of 10,000 iterations" in learning
    assert learning.endswith("After the last one, 9,880 are right.")
    assert "Of 10,000 test images 120 are wrong." in errors
    assert "No two classes are mixed up more often than 4 and 9: 65 times." in errors
    assert "Three of the 45 possible pairs of classes make up 110 of the 120 errors." in errors


def test_story_of_a_deep_untrained_network() -> None:
    _, filters, pooling, layers, learning, _ = story(
        network=DEEP,
        names=["cat", "dog"],
        shape=Shape(height=32, width=30, classes=2),
        milestones=[(0, 51, 100)],
        confused=[(0, 1, 20), (1, 0, 29)],
    )
    assert "moves on by 2 pixels" in filters
    assert "conv1, the" not in pooling
    assert "conv2, the mean is kept: 16 × 15 pixels become 8 × 7" in pooling
    assert "conv3, the largest is kept: 8 × 7 pixels become 4 × 3" in pooling
    assert layers.startswith("The one filter of conv2 looks at all 8 outputs of conv1. Each of the")
    assert "The 36 numbers that are left go straight to the last layer" in layers
    assert "this run has not trained them: it gets 51 of 100 test images right" in learning


def test_story_with_no_error_and_with_one_error() -> None:
    assert story(milestones=[(0, 1, 9), (1, 9, 9)], confused=[])[-1] == (
        "None of the 9 test images is wrong."
    )
    one = story(milestones=[(0, 1, 9), (1, 8, 9)], confused=[(1, 0, 1)])[-1]
    assert one.startswith("Of 9 test images 1 is wrong. No two classes are mixed up more often")
    assert "0 and 1: once." in one


def test_story_of_a_network_without_pooling() -> None:
    assert story(network=NetworkSettings(pooling=("none",)))[2].startswith(
        "This network does not pool"
    )


def test_several_networks_are_told_as_such() -> None:
    *_, layers, learning, _ = story(networks=3, network=NetworkSettings().times(3))
    assert "Each of the 108 filters of conv2 looks at all 48 outputs of conv1." in layers
    assert "These are in truth 3 networks side by side, trained one by one" in layers
    assert learning.endswith(
        "The same is done with 2 more networks, from other random values. All together get 9,880"
        " right."
    )
