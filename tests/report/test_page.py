"""Tests of the report page."""

import subprocess
import sys
import zlib
from base64 import b64decode
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import jinja2
import pytest

from tasks.engine.executors import StageOutcome
from tasks.records import (
    DATA_SECTION,
    ClassMetrics,
    ConfusedPair,
    Device,
    Dropped,
    Finding,
    LabelCheck,
    Metrics,
    PictureText,
    SplitFacts,
)
from tasks.report import page
from tasks.report.live.assemble import Parts, content_security_policy, live_parts
from tasks.report.live.story import Caption
from tasks.report.page import render as render_page
from tasks.report.summary import (
    DataFacts,
    LabelIssue,
    Milestone,
    PreviousRun,
    Score,
    Summary,
)
from tasks.statistics import wilson_interval

VOID = {"meta", "link", "img", "br", "hr", "input"}
DIGITS = [str(i) for i in range(10)]
MNIST_CLASSES = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
KEYS = ["ab12" * 16, "cd34" * 16]


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


def score(correct: int, total: int) -> dict[str, Any]:
    return {"correct": correct, "total": total, "accuracy": correct / total}


def milestone(iteration: int, correct: int, total: int = 10_000, seconds: float = 0) -> Milestone:
    return Milestone(iteration=iteration, train_seconds=seconds, **score(correct, total))


def mnist_matrix() -> list[list[int]]:
    """Return a confusion matrix with 12 images of each class classified as the next one."""
    matrix = [[0] * 10 for _ in DIGITS]
    for i, count in enumerate(MNIST_CLASSES):
        matrix[i][i] = count - 12
        matrix[i][(i + 1) % 10] = 12
    return matrix


def metrics(classes: int = 10) -> Metrics:
    """Return equal metrics for all classes but the last, which has no images."""
    known = ClassMetrics(support=1_000, precision=0.99, recall=0.985, f1=0.9875)
    unknown = ClassMetrics(support=0, precision=None, recall=None, f1=None)
    return Metrics(
        classes=(*[known] * (classes - 1), unknown),
        confused=(ConfusedPair(true=0, predicted=1, count=12),),
        bins=(),
        calibration_error=0.0123,
    )


def data(classes: int = 10, **changes: Any) -> DataFacts:
    """A sound data set: 500 training, 40 validation and 80 test images of each class."""
    sizes = {"train": 500, "validation": 40, "test": 80}
    facts: dict[str, Any] = {
        "splits": [
            SplitFacts(
                name=name,
                classes=(size,) * classes,
                grey_levels=256,
                darkest=0,
                lightest=255,
                light_ground=0,
            )
            for name, size in sizes.items()
        ],
        "findings": [],
        "dropped": [],
        "labels": [
            LabelCheck(name=name, images=classes * size, correct=classes * size - 7, doubtful=3)
            for name, size in sizes.items()
        ],
        "most_doubtful": [
            LabelIssue(
                split="train",
                index=1234,
                label="7",
                suggested="1",
                label_probability=0.001,
                suggested_probability=0.9876,
            )
        ],
    }
    return DataFacts(**facts | changes)


def summary(**changes: Any) -> Summary:
    facts: dict[str, Any] = {
        "test": Score(**score(9880, 10_000)),
        "milestones": [
            milestone(0, 977),
            milestone(1_000, 9_330, seconds=40.25),
            milestone(2_000, 9_500, seconds=83.0),
            milestone(10_000, 9_880, seconds=3_725.0),
        ],
        "confusion_matrix": mnist_matrix(),
        "class_names": DIGITS,
        "metrics": metrics(),
        "train_seconds": 392.7,
        "seed": 4711,
        "device": Device(kind="CPU", name="Imaginary 9000", reason="TensorFlow sees no GPU"),
        "settings": {
            "refresh": False,
            "training": {"learning_rate": 1e-4, "batch_size": 64},
            "network": {"conv_filters": [16, 36], "extra": {"deep": {"er": None}}},
        },
        "data_source": "https://mirror.invalid/mnist/",
        "data": data(),
        "versions": {"tensorflow": "2.20.1", "numpy": "2.4.6"},
        "stages": [
            StageOutcome(
                name="download", key=KEYS[0], state="cached", seconds=0.01, computed_in=3, reason=""
            ),
            StageOutcome(
                name="train",
                key=KEYS[1],
                state="ran",
                seconds=125,
                computed_in=124,
                reason="no record",
            ),
        ],
        "test_sha256": "a" * 64,
        "predictions_sha256": "b" * 64,
        "finished": "2026-01-31T14:05:09+00:00",
    }
    return Summary(**facts | changes)


PICTURES = [
    (PictureText(name="first", title="The first", caption="Seen first.", alt="Nine digits"), png()),
    (PictureText(name="wide", title="Wide one", caption="Wide.", alt="A matrix"), png(2000, 40)),
]


STORY = [
    Caption("Step one", "It is explained.", "fir"),
    Caption("Step two", "No figure shows it.", "absent"),
]


def render(
    facts: Summary, pictures: Sequence[tuple[PictureText, bytes]], live: Parts | None = None
) -> str:
    """Render the report with the live network or other given parts."""
    return render_page(facts, pictures, live or live_parts("{}", "", 28, 28), STORY)


@pytest.fixture(scope="module")
def shown() -> Page:
    return Page(render(summary(), PICTURES))


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
    assert len(styles) == 2
    assert not any(word in style for style in styles for word in ("url(", "@import"))
    (policy,) = shown.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'")
    assert policy["content"] == content_security_policy(styles, [script["text"]])


def test_page_without_the_live_network_has_no_script_and_gives_the_reason() -> None:
    shown = Page(render(summary(), PICTURES, live_parts(None, "It is too <large>.", 28, 28)))
    assert not shown.all("script")
    (policy,) = shown.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert "script-src 'none'" in policy["content"]
    assert shown.texts("p", **{"class": "note"})[0].startswith("It is too <large>.")


def test_story_links_to_existing_figures(shown: Page) -> None:
    texts = shown.texts("li")[-2:]
    assert texts == [
        "Step one It is explained. See The first.",
        "Step two No figure shows it.",
    ]
    assert shown.texts("a", href="#first") == ["The first"]


def test_headline_has_accuracy_counts_and_interval(shown: Page) -> None:
    assert shown.texts("h1") == ["Test accuracy 98.80 %"]
    assert "98.80" in shown.texts("title")[0]
    low, high = wilson_interval(9880, 10_000)
    (lead,) = shown.texts("p", **{"class": "lead"})
    assert "9,880 of 10,000" in lead
    assert f"{100 * low:.2f} % to {100 * high:.2f} %" in lead
    assert (f"{100 * low:.2f}", f"{100 * high:.2f}") == ("98.57", "99.00")


def test_facts_of_the_run_are_listed(shown: Page) -> None:
    facts = shown.texts("dd")
    assert "6 min 33 s" in facts
    assert "4711" in facts
    assert "CPU, Imaginary 9000" in facts
    assert "TensorFlow sees no GPU" in facts
    assert "31 January 2026, 14:05 UTC" in facts
    assert shown.all("time")[0]["datetime"] == "2026-01-31T14:05:09+00:00"


def test_milestones_are_compared_with_the_tutorial(shown: Page) -> None:
    table = shown.table("Iterations")
    assert table[0][:4] == ["Iterations", "Accuracy", "Correct", "Tutorial"]
    assert [row[:4] for row in table[1:]] == [
        ["0", "9.77 %", "977", "10.9 % (1,093)"],
        ["1,000", "93.30 %", "9,330", "93.1 % (9,308)"],
        ["2,000", "95.00 %", "9,500", "–"],
        ["10,000", "98.80 %", "9,880", "98.8 % (9,880)"],
    ]
    assert [row[-1] for row in table[1:]] == ["0.0 s", "40.2 s", "1 min 23 s", "1 h 02 min"]


def fashion_matrix() -> list[list[int]]:
    return [[1000 if i == j else 0 for j in range(10)] for i in range(10)]


@pytest.mark.parametrize(
    ("matrix", "total"), [(fashion_matrix(), 10_000), ([[180, 0], [0, 180]], 360)]
)
def test_other_data_are_not_compared_with_the_tutorial(matrix: list[list[int]], total: int) -> None:
    html = render(
        summary(
            confusion_matrix=matrix,
            class_names=DIGITS[: len(matrix)],
            data=data(len(matrix)),
            metrics=metrics(len(matrix)),
            test=Score(**score(total, total)),
            milestones=[milestone(1_000, total, total)],
        ),
        [],
    )
    assert Page(html).table("Iterations") == [
        ["Iterations", "Accuracy", "Correct", "95 % interval", "Trained for"],
        ["1,000", "100.00 %", f"{total:,}", Page(html).table("Iterations")[1][3], "0.0 s"],
    ]
    assert "9,308" not in html


def test_figures_are_in_order_with_texts_and_sizes(shown: Page) -> None:
    images = shown.all("img")
    assert [image["alt"] for image in images] == ["Nine digits", "A matrix"]
    assert [(image["width"], image["height"]) for image in images] == [("1", "1"), ("1000", "20")]
    for image, (_, data) in zip(images, PICTURES, strict=True):
        assert image["src"] == page.embedded(data)[0]
    assert shown.texts("figcaption") == ["The firstSeen first.", "Wide oneWide."]
    assert [figure["id"] for figure in shown.all("figure")] == ["first", "wide"]
    assert [figure["class"].split()[1:] for figure in shown.all("figure")] == [[], ["wide"]]


def test_data_uri_holds_the_file() -> None:
    uri, width, height = page.embedded(png(30, 10))
    kind, data = uri.split(",")
    assert kind == "data:image/png;base64" and b64decode(data) == png(30, 10)
    assert (width, height) == (15, 5)
    with pytest.raises(ValueError, match="not a PNG"):
        page.embedded(b"GIF89a")


def test_page_without_figures_has_no_section_of_figures() -> None:
    shown = Page(render(summary(), []))
    assert not shown.all("img")
    assert "Pictures" not in shown.texts("h2")


def test_confusion_matrix_is_a_table_with_headers(shown: Page) -> None:
    table = shown.table("Predicted")
    assert table[1] == ["True", *DIGITS]
    assert table[2:] == [
        [name, *map(str, row)] for name, row in zip(DIGITS, mnist_matrix(), strict=True)
    ]
    assert len(shown.all("td", **{"class": "right"})) == 10
    at = shown.elements.index(shown.all("details")[-1])
    inside = [e for e in shown.elements[at:] if e.get("scope")]
    assert [e["scope"] for e in inside[:12]] == ["colgroup", *["col"] * 11]
    assert [e["text"] for e in inside[12:22]] == DIGITS
    assert {e["scope"] for e in inside[12:22]} == {"row"}


def test_table_headings_have_a_scope_and_scroll_boxes_a_name(shown: Page) -> None:
    assert all(element.get("scope") for element in shown.all("th"))
    boxes = [e for e in shown.all("div") if "box" in e.get("class", "").split()]
    assert len(boxes) == len(shown.all("table")) == 10
    for box in boxes:
        assert box["tabindex"] == "0" and box["role"] == "region" and box["aria-label"]


def test_heading_levels_are_not_skipped(shown: Page) -> None:
    levels = [int(e["tag"][1]) for e in shown.elements if e["tag"] in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert shown.all("html")[0]["lang"] == "en"
    names = [e["id"] for e in shown.elements if "id" in e]
    assert len(names) == len(set(names))
    assert {e["aria-labelledby"] for e in shown.elements if "aria-labelledby" in e} <= set(names)


def test_stages_are_listed_with_state_times_and_reason(shown: Page) -> None:
    assert shown.table("Stage")[1:] == [
        ["download", "cached", "0.0 s", "3.0 s", "unchanged", KEYS[0][:12]],
        ["train", "ran", "2 min 05 s", "2 min 04 s", "no record", KEYS[1][:12]],
    ]
    assert shown.all("code", title=KEYS[1])


def test_nested_settings_are_listed_by_section(shown: Page) -> None:
    assert shown.table("Setting")[1:] == [
        ["run"],
        ["refresh", "no"],
        ["training"],
        ["learning_rate", "0.0001"],
        ["batch_size", "64"],
        ["network"],
        ["conv_filters", "16, 36"],
        ["extra.deep.er", "default"],
    ]


def test_data_device_and_versions_are_listed(shown: Page) -> None:
    assert shown.table("Component")[1:] == [
        ["Data", "https://mirror.invalid/mnist/"],
        ["Device", "CPU, Imaginary 9000"],
        ["versions"],
        ["tensorflow", "2.20.1"],
        ["numpy", "2.4.6"],
    ]


def test_footer_credits_the_authors(shown: Page) -> None:
    (footer,) = shown.texts("footer")
    for name in ("Hvass Pedersen", "LeCun", "Corinna Cortes", "Burges"):
        assert name in footer


def test_external_texts_are_escaped() -> None:
    nasty = '<b onclick="x">"\'&amp;</b>'
    names = [nasty, *DIGITS[1:]]
    picture = PictureText(name="p", title=nasty, caption=nasty, alt=nasty)
    html = render(
        summary(
            class_names=names,
            data_source=nasty,
            data=data(
                findings=[Finding(severity="warning", text=nasty)],
                most_doubtful=[data().most_doubtful[0].model_copy(update={"label": nasty})],
            ),
            settings={nasty: {nasty: [nasty]}},
            versions={nasty: nasty},
            device=Device(kind="GPU", name=nasty, reason=nasty),
            stages=[
                StageOutcome(
                    name=nasty, key=KEYS[0], state="ran", seconds=1, computed_in=1, reason=nasty
                )
            ],
        ),
        [(picture, png())],
    )
    shown = Page(html)
    assert "<b " not in html
    assert not shown.all("b")
    assert shown.all("img")[0]["alt"] == nasty
    assert shown.table("Predicted")[1][1] == nasty
    assert shown.table("Predicted")[2][0] == nasty


def test_confusion_matrix_of_2_and_62_classes() -> None:
    for classes in (2, 62):
        names = [f"c{i}" for i in range(classes)]
        matrix = [[i * j for j in range(classes)] for i in range(classes)]
        shown = Page(
            render(
                summary(
                    class_names=names,
                    confusion_matrix=matrix,
                    metrics=metrics(classes),
                    data=data(classes),
                ),
                [],
            )
        )
        table = shown.table("Predicted")
        assert [row[0] for row in table[2:]] == names
        assert table[-1][-1] == str((classes - 1) ** 2)


def test_undefined_template_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    templates = jinja2.DictLoader({"report.html.j2": "{{ summary.no_such_fact }}"})
    monkeypatch.setattr(page, "FileSystemLoader", lambda _: templates)
    with pytest.raises(jinja2.UndefinedError, match="no_such_fact"):
        render(summary(), [])


def test_page_imports_no_heavy_packages() -> None:
    code = (
        "import sys, tasks.report.page;"
        "print({'matplotlib', 'tensorflow', 'keras', 'scipy', 'numpy'} & set(sys.modules))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "set()"


@pytest.mark.parametrize(
    ("correct", "same", "text"),
    [
        (
            9_868,
            False,
            "12 images more than in the previous run (1 January 2026, 12:00 UTC):"
            " +0.12 percentage points.",
        ),
        (
            9_881,
            False,
            "1 image fewer than in the previous run (1 January 2026, 12:00 UTC):"
            " −0.01 percentage points.",
        ),
        (
            9_880,
            False,
            "As many images are correct as in the previous run (1 January 2026, 12:00 UTC),"
            " but not the same ones.",
        ),
        (
            9_880,
            True,
            "Every image is classified as in the previous run (1 January 2026, 12:00 UTC).",
        ),
    ],
)
def test_run_is_compared_with_the_previous_run(correct: int, same: bool, text: str) -> None:
    before = PreviousRun(
        **score(correct, 10_000), finished="2026-01-01T12:00:00+00:00", same_predictions=same
    )
    (lead,) = Page(render(summary(before=before), [])).texts("p", **{"class": "lead"})
    assert text in lead


def test_first_run_is_not_compared() -> None:
    (lead,) = Page(render(summary(), [])).texts("p", **{"class": "lead"})
    assert "previous" not in lead


def test_classes_and_confused_pairs_are_listed(shown: Page) -> None:
    rows = shown.table("Precision")
    assert rows[1] == ["0", "1,000", "99.0 %", "98.5 %", "98.8 %"]
    assert rows[-1] == ["9", "0", "–", "–", "–"]
    assert shown.table("Taken for")[1:] == [["0", "1", "12"]]


def test_figures_are_under_the_headings_of_their_sections() -> None:
    def picture(name: str, section: str) -> tuple[PictureText, bytes]:
        words = {"title": name, "caption": "", "alt": "x", "section": section}
        return PictureText(name=name, **words), png()

    pictures = [picture("a", DATA_SECTION), picture("b", "Errors"), picture("c", "Errors")]
    headings = [
        " ".join(e["text"].split())
        for e in Page(render(summary(), pictures)).elements
        if e["tag"] in ("h2", "h3")
    ]
    first = headings.index("a")
    assert headings[first : first + 4] == ["a", "Errors", "b", "c"]
    assert headings[first - 2] == DATA_SECTION


def data_section(facts: DataFacts) -> tuple[Page, str]:
    """The page, and the text of the section on the data."""
    page = Page(render(summary(data=facts), []))
    (text,) = page.texts("section", **{"aria-labelledby": "data"})
    return page, text


def test_the_numbers_of_the_data(shown: Page) -> None:
    table = shown.table("with a doubtful label")
    assert table[:5] == [
        ["Split", "train", "validation", "test"],
        ["Images", "5,000", "400", "800"],
        ["with a light ground", "0", "0", "0"],
        ["with a doubtful label", "3", "3", "3"],
        ["Grey values", "0 to 255", "0 to 255", "0 to 255"],
    ]
    assert table[6:] == [[name, "500", "40", "80"] for name in DIGITS]


def test_a_sound_data_set_has_no_findings() -> None:
    page, text = data_section(data())
    assert "No fault was found" in text
    assert not page.all("span", **{"class": "badge warning"})
    assert "--drop" not in text


def test_findings_are_listed_with_their_severity() -> None:
    findings = [
        Finding(severity="warning", text="3 training images are blank"),
        Finding(severity="note", text="the training file is sorted by class"),
    ]
    page, text = data_section(data(findings=findings))
    assert "warning 3 training images are blank." in text
    assert "note the training file is sorted by class." in text
    assert len(page.all("span", **{"class": "badge warning"})) == 1
    assert "No fault" not in text


def test_what_was_dropped_is_counted() -> None:
    dropped = [
        Dropped(kind="duplicates", train=1_200, validation=3),
        Dropped(kind="blank", train=0, validation=1),
    ]
    _, text = data_section(data(dropped=dropped))
    assert "(--drop): duplicates 1,200 and 3; blank 0 and 1." in text


def test_doubtful_labels_are_listed_with_a_caution(shown: Page) -> None:
    assert shown.table("Network's answer")[1:] == [
        ["train", "1,234", "7", "0.10 %", "1", "98.76 %"]
    ]
    (text,) = shown.texts("section", **{"aria-labelledby": "data"})
    assert "contradicts 9 labels" in text
    assert "learned wrong ones by heart" in text
    _, text = data_section(data(most_doubtful=[]))
    assert "contradicts" not in text


def test_classes_without_images_have_no_row() -> None:
    train, *others = data().splits
    empty = [
        split.model_copy(update={"classes": (0, *split.classes[1:])}) for split in (train, *others)
    ]
    page, _ = data_section(data(splits=empty))
    assert [row[0] for row in page.table("with a doubtful label")[6:]] == DIGITS[1:]
