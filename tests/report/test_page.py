"""Tests of the report page, of the artifact for Prefect, and of a run's last lines."""

import subprocess
import sys
import zlib
from base64 import b64decode
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
from helpers.summaries import DIGITS, KEYS, data, metrics, milestone, score, summary

from tasks.engine.executors import StageOutcome
from tasks.records import (
    Device,
    Dropped,
    Finding,
    PictureText,
    Shape,
)
from tasks.report import page
from tasks.report.live.assemble import content_security_policy
from tasks.report.report import closing_lines, next_step
from tasks.report.summary import PreviousRun, Score, Summary
from tasks.settings import NetworkSettings
from tasks.statistics import wilson_interval

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Elements of a page in order, with attributes and text; checks that tags are closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[dict[str, Any]] = []
        self.elements: list[dict[str, Any]] = []
        self.feed(html)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = {"tag": tag, "text": "", **dict(attrs)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element["text"] += data

    def all(self, tag: str, **attributes: str) -> list[dict[str, Any]]:
        wanted = {"tag": tag, **attributes}
        return [e for e in self.elements if wanted.items() <= e.items()]

    def texts(self, tag: str, **attributes: str) -> list[str]:
        return [" ".join(element["text"].split()) for element in self.all(tag, **attributes)]

    def table(self, head: str) -> list[list[str]]:
        """Return the rows of the table with this column heading."""
        tables: list[list[list[str]]] = []
        for element in self.elements:
            if element["tag"] == "table":
                tables.append([])
            elif element["tag"] == "tr":
                tables[-1].append([])
            elif element["tag"] in ("td", "th"):
                tables[-1][-1].append(" ".join(element["text"].split()))
        (found,) = [table for table in tables if any(head in row for row in table)]
        return found


def png(width: int = 2, height: int = 2) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return len(data).to_bytes(4) + kind + data + crc.to_bytes(4)

    head = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 0, 0, 0, 0])
    rows = zlib.compress((b"\0" + b"\xff" * width) * height)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


SECTIONS = (
    "works",
    "learned",
    "milestones",
    "matrix",
    "wrong",
    "filters",
    "sees",
    "data",
    "record",
)
PICTURES = [
    (
        PictureText(name=f"a-{name}", title=f"T {name}", caption="Seen.", alt=name, section=name),
        png(2 * n + 2, 4),
    )
    for n, name in enumerate(SECTIONS)
]


TUTORIAL = NetworkSettings()


def render(facts: Summary, network: NetworkSettings = TUTORIAL, **changes: Any) -> str:
    shape = Shape(height=28, width=28, classes=len(facts.class_names))
    options = {"pictures": PICTURES, "payload": "{}", "reason": ""} | changes
    return page.render(facts, shape=shape, network=network, **options)


def words(html: str) -> str:
    """Return the text of a page with single spaces, without scripts."""
    shown = Page(html)
    (main,), (header,) = shown.all("main"), shown.all("header")
    return " ".join((header["text"] + main["text"]).split())


@pytest.fixture(scope="module")
def shown() -> Page:
    return Page(render(summary()))


@pytest.fixture(scope="module")
def text() -> str:
    return words(render(summary()))


def test_page_is_self_contained(shown: Page) -> None:
    for element in shown.elements:
        assert element["tag"] not in {"iframe", "object", "embed", "base"}
        assert "style" not in element, "the policy forbids it"
        assert not any(name.startswith("on") for name in element)
        for name in ("src", "srcset", "href", "data", "poster", "action"):
            if element["tag"] != "a" and name in element:
                assert element[name].startswith("data:")
    payload, script = shown.all("script")
    assert (payload["type"], payload["text"]) == ("application/json", "{}")
    assert script["type"] == "module" and "import " not in script["text"]
    styles = [style["text"] for style in shown.all("style")]
    assert not any(word in style for style in styles for word in ("url(", "@import"))
    (policy,) = shown.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'")
    assert policy["content"] == content_security_policy(styles, [script["text"]])


def test_page_without_the_live_network_has_no_script_and_gives_the_reason() -> None:
    html = render(summary(), payload=None, reason="It is too <large>.")
    (policy,) = Page(html).all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert not Page(html).all("script") and "script-src 'none'" in policy["content"]
    assert "It is too <large>." in words(html)


def test_chapters_are_linked_and_headings_are_not_skipped(shown: Page) -> None:
    names = [e["id"] for e in shown.elements if "id" in e]
    assert len(names) == len(set(names))
    links = [a["href"][1:] for a in shown.all("a") if a["href"].startswith("#")]
    assert set(links) <= set(names) and len(links) == 8 + 8, "a bar of chapters, and a way back"
    assert {e["aria-labelledby"] for e in shown.elements if "aria-labelledby" in e} <= set(names)
    levels = [int(e["tag"][1]) for e in shown.elements if e["tag"] in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_paragraph_says_what_was_reached_and_against_what(text: str) -> None:
    low, high = wilson_interval(9880, 10_000)
    text = text.replace("\N{NO-BREAK SPACE}", " ")
    for fact in (
        "handwritten digits",
        "98.80 %",
        f"{100 * low:.2f} % to {100 * high:.2f} %",
        "60,500 images",
        "11.3 %",
        "91 %",
        "99.8 %",
        "98.62 % of 5,000",
        "between 0 and 1: 12 times of 120 errors",
        "6 min 33 s",
        "31 January 2026, 14:05 UTC",
        "python flows/pipeline.py --seed 4711 --learning-rate 0.003 --dense 64,32",
    ):
        assert fact in text, fact


@pytest.mark.parametrize(
    ("correct", "same", "fact"),
    [
        (4_919, False, "12 validation images more right (+0.24 percentage points)"),
        (4_932, False, "1 validation image fewer right (−0.02 percentage points)"),
        (4_931, True, "every image is classified the same"),
    ],
)
def test_runs_are_compared_by_validation(correct: int, same: bool, fact: str) -> None:
    before = PreviousRun(
        number=9,
        name="slow",
        validation=Score(**score(correct, 5_000)),
        finished="2026-01-01T12:00:00+00:00",
        same_predictions=same,
    )
    text = words(render(summary(before=before)))
    assert fact in text and "run 9 (slow)" in text
    assert ("compare 9 12" in text) != same
    assert "pipeline.py compare" not in words(render(summary()))


def test_milestones_have_validation_beside_test_and_the_tutorial(shown: Page) -> None:
    table = shown.table("Iterations")
    assert table[0] == ["Iterations", "Validation", "Test", "Tutorial", "Trained for"]
    assert [row[:4] for row in table[1:]] == [
        ["0", "100.00 %", "9.77 %", "10.9 %"],
        ["1,000", "99.98 %", "93.30 %", "93.1 %"],
        ["2,000", "99.96 %", "95.00 %", "–"],
        ["10,000", "99.80 %", "98.80 %", "98.8 %"],
    ]
    assert [row[-1] for row in table[1:]] == ["0.0 s", "40.2 s", "1 min 23 s", "1 h 02 min"]


@pytest.mark.parametrize("classes", [2, 10, 62])
def test_other_data_are_not_compared_with_mnists(classes: int) -> None:
    names = [f"c{i}" for i in range(classes)]
    matrix = [[1_000 if i == j else i for j in range(classes)] for i in range(classes)]
    facts = summary(
        class_names=names, confusion_matrix=matrix, metrics=metrics(classes), data=data(classes)
    )
    html = render(facts)
    assert "Tutorial" not in Page(html).table("Iterations")[0]
    assert "a linear model" not in words(html) and "LeCun" not in Page(html).texts("footer")[0]
    table = Page(html).table("Predicted")
    assert [row[0] for row in table[2:]] == names
    assert table[-1][1:] == [str(n) for n in matrix[-1]]


DEEP = NetworkSettings(
    conv_filters=(8, 1, 3),
    conv_sizes=(3,),
    conv_strides=(2, 1, 1),
    pooling=("none", "average", "max"),
    dense=(),
    normalisation=True,
    activation="tanh",
)
LINEAR = NetworkSettings(conv_filters=(), dense=())


@pytest.mark.parametrize(
    ("network", "facts"),
    [
        (
            NetworkSettings(),
            [
                *("28 × 28 = 784 numbers", "5 × 5 weights", "moves on by 1 pixel", "16 filters"),
                *("ReLU", "the bias", "28 × 28 become 14 × 14", "14 × 14 become 7 × 7"),
                *("Each of the 36 filters of conv2 looks at all 16 outputs of conv1",),
                *("1,764 numbers", "128 neurons", "logit", "Softmax", "The loss", "242,062"),
                *("10,000 iterations", "64 training images", "977 test images", "after, 9,880"),
            ],
        ),
        (
            DEEP,
            [
                *("moves on by 2 pixels", "tanh bends", "the mean is kept: 14 × 14 become 7 × 7"),
                *("The one filter of conv2 looks at all 8 outputs", "at the one output of conv2"),
            ],
        ),
        (LINEAR, ["has no filters", "does not pool", "784 pixels go to the last layer"]),
    ],
)
def test_the_explanation_has_the_numbers_of_the_network(
    network: NetworkSettings, facts: list[str]
) -> None:
    text = words(render(summary(), network))
    for fact in facts:
        assert fact in text, fact


def test_an_untrained_network_is_told_as_such() -> None:
    assert "has not trained them" in words(render(summary(milestones=[milestone(0, 977)])))


def test_each_figure_is_there_once_with_its_texts_and_size(shown: Page) -> None:
    images = shown.all("img")
    assert [image["alt"] for image in images] == list(SECTIONS)
    assert [figure["id"] for figure in shown.all("figure")] == [f"a-{name}" for name in SECTIONS]
    for image, (_, content) in zip(images, PICTURES, strict=True):
        assert (image["src"], int(image["width"]), int(image["height"])) == page.embedded(content)
    assert not Page(render(summary(), pictures=[])).all("img")


def test_data_uri_holds_the_file() -> None:
    uri, width, height = page.embedded(png(30, 10))
    kind, content = uri.split(",")
    assert kind == "data:image/png;base64" and b64decode(content) == png(30, 10)
    assert (width, height) == (15, 5)
    with pytest.raises(ValueError, match="not a PNG"):
        page.embedded(b"GIF89a")


def test_tables_have_scopes_and_their_boxes_names(shown: Page) -> None:
    assert all(element.get("scope") for element in shown.all("th"))
    boxes = [e for e in shown.all("div") if "box" in e.get("class", "").split()]
    assert len(boxes) == len(shown.all("table"))
    for box in boxes:
        assert box["tabindex"] == "0" and box["role"] == "region" and box["aria-label"]


def test_the_record_has_classes_stages_settings_and_versions(shown: Page) -> None:
    rows = shown.table("Precision")
    assert rows[1] == ["0", "1,000", "99.0 %", "98.5 %", "98.8 %"]
    assert rows[-1] == ["9", "0", "–", "–", "–"]
    assert shown.table("Stage")[1:] == [
        ["download", "cached", "0.0 s", "3.0 s", "unchanged", KEYS[0][:12]],
        ["train", "ran", "2 min 05 s", "2 min 04 s", "no record", KEYS[1][:12]],
    ]
    settings = shown.table("Setting")
    assert ["--learning-rate", "0.003"] in settings and ["--dense", "64,32"] in settings
    component = shown.table("Component")
    assert ["tensorflow", "2.20.1"] in component
    assert ["Device", "CPU, Imaginary 9000: TensorFlow sees no GPU"] in component


def test_the_data_in_numbers_and_findings(shown: Page) -> None:
    table = shown.table("with a doubtful label")
    assert table[:4] == [
        ["Split", "train", "validation", "test"],
        ["Images", "5,000", "400", "800"],
        ["with a light ground", "0", "0", "0"],
        ["with a doubtful label", "3", "3", "3"],
    ]
    assert table[4:-1] == [[name, "500", "40", "80"] for name in DIGITS]
    doubtful = ["train", "1,234", "7", "0.10 %", "1", "98.76 %"]
    assert shown.table("Network's answer")[1:] == [doubtful]
    text = words(render(summary()))
    assert "No fault was found" not in text and "contradicts 9 labels" in text
    sound = [label.model_copy(update={"doubtful": 0}) for label in data().labels]
    facts = data(labels=sound, most_doubtful=[])
    assert "No fault was found" in words(render(summary(data=facts)))
    findings = [Finding(severity="warning", text="3 training images are blank")]
    dropped = [Dropped(kind="duplicates", train=1_200, validation=3)]
    facts = data(labels=sound, most_doubtful=[], findings=findings, dropped=dropped)
    text = words(render(summary(data=facts)))
    assert "No fault" not in text and "warning 3 training images are blank." in text
    assert "duplicates 1,200 and 3." in text


NASTY = '<b onclick="x">"\'&amp;</b>'


def nasty_summary() -> Summary:
    outcome = StageOutcome(
        name=NASTY, key=KEYS[0], state="ran", seconds=1, computed_in=1, reason=NASTY
    )
    doubtful = data().most_doubtful[0].model_copy(update={"label": NASTY})
    return summary(
        name=NASTY,
        class_names=[NASTY, *DIGITS[1:]],
        data_source=NASTY,
        data=data(findings=[Finding(severity="warning", text=NASTY)], most_doubtful=[doubtful]),
        versions={NASTY: NASTY},
        device=Device(kind="GPU", name=NASTY, reason=NASTY),
        stages=[outcome],
    )


def test_external_texts_are_escaped() -> None:
    picture = PictureText(name="p", title=NASTY, caption=NASTY, alt=NASTY, section="wrong")
    html = render(nasty_summary(), pictures=[(picture, png())])
    assert "<b " not in html
    shown = Page(html)
    assert shown.all("img")[0]["alt"] == NASTY
    assert shown.table("Predicted")[1][1] == NASTY


def test_page_imports_no_heavy_packages() -> None:
    code = (
        "import sys, tasks.report.page;"
        "print({'matplotlib', 'tensorflow', 'keras', 'scipy', 'numpy'} & set(sys.modules))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "set()"


def test_last_lines_have_both_accuracies_and_the_next_command() -> None:
    lines = closing_lines(summary()).replace("\N{NO-BREAK SPACE}", " ")
    assert "99.8 %  98.8 %  9,880 / 10,000" in lines and "run 12: 2 stages, 1 ran" in lines
    before = PreviousRun(
        number=9,
        name="",
        validation=Score(**score(1, 2)),
        finished="2026-01-01T12:00:00+00:00",
        same_predictions=False,
    )
    assert "compare 9 12" in next_step(summary(before=before), "/a/index.html")
    assert next_step(summary(), "/a b/index.html").endswith("\nreport: file:///a%20b/index.html")
    assert next_step(summary(), "s3://b/index.html").endswith("\nreport: s3://b/index.html")


def test_the_artifact_has_numbers_and_no_markup_from_outside() -> None:
    template = page.make_environment(autoescape=False).get_template("report.md.j2")
    rows = [{"iterations": "10,000", "validation": "99.80 %"}]
    made = template.render(
        summary=nasty_summary(),
        pictures=[(PICTURES[0][0], "data:,")],
        page="/page",
        reason="",
        options=["--seed 3"],
        milestones=rows,
    )
    assert "<b" not in made.replace("\\<b", "")
    for fact in ("9,880", "60,500", "run 12".capitalize(), "--seed 3", "`/page`", "| 10,000 |"):
        assert fact in made, fact
