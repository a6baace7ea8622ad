"""Tests of the steps of a network for the page."""

from itertools import product

from tasks.records import Shape
from tasks.report.live.steps import network_steps
from tasks.settings import NetworkSettings

SHAPE = Shape(height=28, width=28, classes=10)


def test_steps_of_the_default_network() -> None:
    kinds = [
        (s["step"], s.get("layer", s.get("kind"))) for s in network_steps(NetworkSettings(), SHAPE)
    ]
    assert kinds == [
        ("convolution", "conv1"),
        ("pooling", "max"),
        ("activation", "relu"),
        ("convolution", "conv2"),
        ("pooling", "max"),
        ("activation", "relu"),
        ("dense", "fc1"),
        ("activation", "relu"),
        ("dense", "fc2"),
    ]


def test_steps_follow_every_setting() -> None:
    options = product((False, True), (False, True), ("max", "none"), ("none", "relu"))
    for first, normalisation, pooling, logits in options:
        settings = NetworkSettings(
            activation_first=first,
            normalisation=normalisation,
            pooling=(pooling,),
            logits_activation=logits,
            dense=(),
        )
        kinds = [step["step"] for step in network_steps(settings, SHAPE)]
        block = (["scaling"] if normalisation else []) + ["activation"]
        pool = ["pooling"] if pooling == "max" else []
        block = [*block, *pool] if first else [*pool, *block]
        last = ["dense", *(["activation"] if logits == "relu" else [])]
        assert kinds == [*["convolution", *block] * 2, *last]
