"""The live network's payload, and how its scripts get into the page."""

import json
import re
from base64 import b64decode
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.records import Shape
from tasks.report.live import assemble, payload
from tasks.report.live.payload import choose_images, pack
from tasks.report.live.steps import count_weights, network_steps
from tasks.settings import NetworkSettings

SHAPE = Shape(height=28, width=28, classes=10)
TUTORIAL = NetworkSettings()


def zero_weights(settings: NetworkSettings, shape: Shape) -> dict[str, np.ndarray]:
    """Weights of the right shapes by name, for one convolutional and no dense layer."""
    size, filters = settings.conv_sizes[0], settings.conv_filters[0]
    places = (shape.height // 2) * (shape.width // 2)
    return {
        "conv1/kernel": np.full((size, size, 1, filters), 0.5, np.float32),
        "conv1/bias": np.full(filters, 0.25, np.float32),
        "fc1/kernel": np.full((places * filters, shape.classes), -1, np.float32),
        "fc1/bias": np.full(shape.classes, 2, np.float32),
    }


def packed(names: list[str], **changes: Any) -> payload.Payload:
    """A network of one filter, and five images of 4 × 4 pixels of three classes."""
    settings = NetworkSettings(conv_filters=(1,), conv_sizes=(3,), dense=(), **changes)
    shape = Shape(height=4, width=4, classes=3)
    images = np.arange(5 * 16, dtype=np.uint8).reshape(5, 4, 4)
    true = np.array([0, 1, 2, 0, 1], np.uint8)
    predicted = np.array([0, 1, 1, 0, 2], np.uint8)
    probabilities = np.full((5, 3), 1 / 3, np.float32)
    weights = zero_weights(settings, shape)
    return pack(settings, shape, weights, images, true, predicted, probabilities, names)


def test_steps_of_the_tutorials_network() -> None:
    kinds = [(s["step"], s.get("layer", s.get("kind"))) for s in network_steps(TUTORIAL, SHAPE)]
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
    assert count_weights(TUTORIAL, SHAPE) == 416 + 14_436 + 225_920 + 1_290


def test_payload_holds_weights_images_and_groups() -> None:
    text = packed(["a", "b", "c"]).text
    assert text is not None
    facts = json.loads(text)
    weights = np.frombuffer(b64decode(facts["weights"]), "<f4")
    np.testing.assert_array_equal(weights, [0.5] * 9 + [0.25] + [-1] * 12 + [2] * 3)
    assert b64decode(facts["images"]) == bytes(range(80))
    assert facts["rows"] == [0, 1, 2, 3, 4]
    assert facts["groups"]["errors"] == [2, 4]
    assert facts["confusion"] == [[2, 0, 0], [0, 1, 1], [0, 1, 0]]


def test_no_class_name_ends_the_payloads_element() -> None:
    names = ["</script>", "<!--", "&amp;\u2028"]
    text = packed(names).text
    assert text is not None and "<" not in text
    assert json.loads(text)["names"] == names


def test_images_are_the_first_the_errors_and_the_least_certain() -> None:
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


def test_a_network_that_is_too_large_says_so() -> None:
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
    )
    assert found.text is None
    assert found.reason.startswith("The network has 1,789,862 weights, too many for this page")
    parts = assemble.live_parts(found.text, found.reason, 28, 28)
    assert found.reason in parts.section
    assert "<script" not in parts.section and parts.script == ""


def test_script_is_one_module_in_which_nothing_is_imported() -> None:
    script = assemble.script()
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)
    names = re.findall(r"^(?:const|class|function) (\w+)", script, re.MULTILINE)
    assert len(names) == len(set(names)), "modules share the names at their top"
    sources = {path.name for path in Path(assemble.HERE).glob("*.js")}
    joined: list[str] = []
    assemble.joined("main.js", joined)
    assert set(joined) == sources, "each file is used"


@pytest.mark.parametrize(
    "line", ["export default 1;", 'import a from "./b.js";', 'const a = "</script>";']
)
def test_what_cannot_be_joined_is_refused(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd.js").write_text(line + "\n")
    monkeypatch.setattr(assemble, "HERE", tmp_path)
    with pytest.raises(ValueError, match=r"odd\.js: cannot be joined"):
        assemble.joined("odd.js", [])


def test_section_has_no_inline_styles_or_handlers() -> None:
    html = assemble.section("{}", "", 28, 28)
    tags = re.findall(r"<[a-z][^>]*>", html)
    assert not [tag for tag in tags if re.search(r"\s(style|on\w+)=", tag)]
    assert "url(" not in assemble.style() and "@import" not in assemble.style()


def test_policy_names_a_digest_for_each_text() -> None:
    policy = assemble.content_security_policy(["", "a"], ["b"])
    empty = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
    assert f"style-src {empty} 'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='" in policy
    assert "unsafe" not in policy
    assert "script-src 'none'" in assemble.content_security_policy([], [])


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
