"""Tests of pages and documents: complete and self-contained."""

from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers.made_up import BASE, answer, row

from tasks.engine import LocalExecutor
from tasks.engine.digests import sha256
from tasks.engine.models import FileRef
from tasks.engine.store import Store, open_store
from tasks.report.figures import save
from tasks.report.figures.study import study
from tasks.study.chart import chart_of
from tasks.study.exercises import BY_NAME
from tasks.study.pages import unbroken
from tasks.study.publish import add_plot, load_answers, write_answer, write_document
from tasks.words import escape_markdown

NBSP = "\N{NO-BREAK SPACE}"


class Text(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.links: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_of_a_study_shows_numbers_conclusions_and_failures(store: Store) -> None:
    one = answer(row("none <b>", BASE), row("half", [9800, "no | memory", 9812]))
    place = store.root / "plots" / "plot.png"
    place.parent.mkdir()
    save(study(chart_of(one, BY_NAME[one.name])), place)
    plot = FileRef(path="plots/plot.png", sha256=sha256(place), size=place.stat().st_size)
    one = one.model_copy(update={"picture": plot})
    page = Path(write_answer(store, one))
    parsed = Text(page.read_text(encoding="utf-8"))
    text = parsed.text
    for expected in (f"99.05{NBSP}% ± 0.14", "none <b>", "no | memory", *one.conclusion.sentences):
        assert expected in text
    links = [link for link in parsed.links if not link.startswith("data:")]
    assert links == ["../index.html", *["../../train/w/"] * 5]
    assert one.command in text
    assert "trained 30 January 2026, 09:00 UTC to 31 January 2026, 09:00 UTC" in text
    assert text.count("a processor") == 1
    assert load_answers(store) == [one]
    index = Text((store.studies / "index.html").read_text(encoding="utf-8"))
    assert f"{one.name}/index.html" in index.links


def test_answer_at_a_url_is_read_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    store = open_store(f"memory://{tmp_path.name}")
    assert store.remote
    store.prepare()
    one = add_plot(LocalExecutor(store), answer(row("none", BASE)))
    assert one.picture

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "there"))
    other = open_store(store.address)
    other.prepare()
    assert write_answer(other, one) == f"{store.address}/studies/{one.name}/index.html"
    assert load_answers(store) == [one]
    page = store.remote.read(f"studies/{one.name}/index.html").decode()
    assert "data:image/png" in page
    assert f"{one.name}/index.html" in store.remote.read("studies/index.html").decode()


def test_options_are_not_wrapped() -> None:
    assert unbroken("half <b> (--conv-filters 8,18 --activation-first)") == (
        'half &lt;b&gt; (<span class="option">--conv-filters 8,18</span>'
        ' <span class="option">--activation-first</span>)'
    )


def test_document_has_a_table_for_each_answer(store: Store, tmp_path: Path) -> None:
    one = answer(row("none", BASE), row("half <b> | ", [9800, "no ![memory](x)", 9812]))
    document = tmp_path / "docs" / "EXERCISES.md"
    write_document(store, [one], "python flows/study.py all", document)
    lines = document.read_text(encoding="utf-8").splitlines()
    head = next(n for n, line in enumerate(lines) if line.startswith("| variant |"))
    cells = [line.strip("| ").split(" | ") for line in lines[head : head + 4]]
    assert len({len(row) for row in (cells[0], *cells[2:])}) == 1
    assert lines[head + 1].count("---") == len(cells[0])
    assert cells[2][1] == f"99.05{NBSP}% ± 0.14"
    assert "python flows/study.py all" in lines
    assert f"**{escape_markdown(one.conclusion.answer)}**" in lines
    for sentence in (*one.conclusion.numbers, *one.conclusion.reasons):
        assert f"- {escape_markdown(sentence)}" in lines
    assert any(line.startswith("| 13 | Explain to a friend") for line in lines)
    assert cells[3][0].startswith(r"half \<b\> \|")
    assert r"no \!\[memory\](x)" in document.read_text(encoding="utf-8")
