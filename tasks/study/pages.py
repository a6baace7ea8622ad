"""Answers as Markdown and as HTML pages."""

import re
from collections.abc import Sequence
from math import exp
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape

from tasks.report.live.assemble import content_security_policy
from tasks.report.page import embedded, make_environment, read_css
from tasks.statistics import Interval
from tasks.study.answer import Row, StudyAnswer
from tasks.study.conclusions import signed_hundredths, significance_note
from tasks.words import (
    duration,
    escape_markdown,
    markdown_table,
    moment,
    percent,
)

TEMPLATES = Path(__file__).parent / "templates"
NOTHING = "–"
LAST_EXERCISE = {
    "last_question": "Explain to a friend how the program works.",
    "last_answer": "The report of a run does, under “How it works”, with the numbers of"
    " that run: python flows/pipeline.py",
}
"""The thirteenth exercise is answered by the report, not by a study."""
VERDICTS = {"higher": "better", "lower": "worse", "same": "the same", "undecided": "undecided"}
"""Words for what is claimed about accuracies."""
OPTION = re.compile(r"--[a-z-]+( [^\s)-][^\s)]*)?")


def environment(*, html: bool) -> Environment:
    """Return the environment of the templates."""
    made = make_environment(TEMPLATES, autoescape=html)
    made.filters |= {
        "escape_markdown": escape_markdown,
        "markdown_table": markdown_table,
        "moment": moment,
        "unbroken": unbroken,
    }
    return made


def unbroken(text: str) -> Markup:
    """Return text as HTML that keeps each command-line option on one line with its value."""
    return Markup(OPTION.sub(r'<span class="option">\g<0></span>', str(escape(text))))


def answer_page(answer: StudyAnswer, png: bytes | None) -> str:
    """Return one answer as a self-contained HTML document.

    Args:
        answer: answer to show.
        png: plot with two dots for each CSS pixel; None if there is none.
    """
    picture = embedded(png) if png else None
    template = environment(html=True).get_template("answer.html.j2")
    return template.render(**common(answer), **style_and_policy(), picture=picture)


def index_page(answers: Sequence[StudyAnswer]) -> str:
    """Return the list of all answers, with links to their pages."""
    template = environment(html=True).get_template("index.html.j2")
    return template.render(answers=answers, **LAST_EXERCISE, **style_and_policy())


def style_and_policy() -> dict[str, str]:
    """Return the style of a page, and the policy that allows nothing else."""
    css = read_css(TEMPLATES / "study.css")
    return {"css": css, "policy": content_security_policy([css], [])}


def answers_markdown(answers: Sequence[StudyAnswer], command: str, pictures: str) -> str:
    """Return all answers as one Markdown document.

    Args:
        answers: answers in the order of the exercises.
        command: command that wrote the document.
        pictures: folder of the plots, relative to the document.
    """
    template = environment(html=False).get_template("answers.md.j2")
    return template.render(
        answers=[common(answer) for answer in answers],
        pictures=pictures,
        note=significance_note(),
        machines=machines(answers),
        versions=answers[0].versions if answers else {},
        data=list(dict.fromkeys(answer.data_source for answer in answers)),
        command=command,
        **LAST_EXERCISE,
        trained=trained_between(answers),
    )


def answer_markdown(answer: StudyAnswer, png: bytes | None) -> str:
    """Return one answer as Markdown for Prefect's interface."""
    picture = embedded(png)[0] if png else None
    template = environment(html=False).get_template("answer.md.j2")
    return template.render(**common(answer), picture=picture)


def common(answer: StudyAnswer) -> dict[str, Any]:
    """Return the variables that all templates of an answer share."""
    table = table_rows(answer)
    return {
        "answer": answer,
        "trained": trained_between([answer]),
        "machines": machines([answer]),
        "head": list(table[0]) if table else [],
        "table": table,
        "numbers": list(table[0])[1:] if table else [],
        "budget": budget(answer),
        "failures": [(row.variant, reason) for row in answer.rows for reason in row.failures],
        "candidates": [
            {
                "parameters": f"{c.costs.parameters:,}",
                "multiply-adds": f"{c.costs.multiply_adds:,}",
                "validation": percent(c.validation),
                "network": c.settings,
            }
            for c in sorted(answer.candidates, key=lambda c: c.costs.parameters)
            if c.on_front
        ],
        "note": significance_note(),
        "runs": [(row.variant, run_links(answer, row), row.command) for row in answer.rows],
    }


def run_links(answer: StudyAnswer, row: Row) -> list[tuple[int, str]]:
    """Return seed and address of each run, relative to the page of the study."""
    return [
        (answer.seeds[n], f"../../{result.folder}/")
        for n, result in enumerate(row.results)
        if result is not None and result.folder
    ]


def trained_between(answers: Sequence[StudyAnswer]) -> str:
    """Return when the runs were trained, as text; empty if that is not known."""
    times = sorted(time for answer in answers for time in answer.trained if time)
    if not times:
        return ""
    first, last = moment(times[0]), moment(times[-1])
    return f"trained {first}" if first == last else f"trained {first} to {last}"


def machines(answers: Sequence[StudyAnswer]) -> list[str]:
    """Return the names of the processors, each once, without their number of cores.

    The number is that which a run was bound to, and differs from study to study.
    """
    names = (name for answer in answers for name in answer.machine.split("; "))
    return list(dict.fromkeys(re.sub(r", \d+ cores?$", "", name) for name in names))


def budget(answer: StudyAnswer) -> str:
    """Return seeds and iterations as text."""
    first, last = answer.seeds[0], answer.seeds[-1]
    seeds = f"seeds {first} to {last}" if last > first else f"seed {first}"
    looked = " and ".join(str(look.seeds) for look in answer.looks)
    iterations = " and ".join(f"{n:,}" for n in answer.iterations) or "no"
    stopped = any(row.stopped and row.stopped < len(answer.seeds) for row in answer.rows)
    decided = ", and no more for a variant that was decided" if stopped else ""
    return f"{seeds}, compared after {looked}{decided}; {iterations} iterations"


def table_rows(answer: StudyAnswer) -> list[dict[str, str]]:
    """Return the table of variants, as text, without columns that would say nothing."""
    rows = [table_row(answer, row) for row in answer.rows]
    silent = {
        "seeds": len({len(row.results) for row in answer.rows}) == 1,
        "against the first": all(row.versus is None for row in answer.rows),
        "failed to train": not any(row.failed for row in answer.rows),
        "time against the first": all(row.time is None for row in answer.rows),
    }
    return [{name: cell for name, cell in row.items() if not silent.get(name)} for row in rows]


def table_row(answer: StudyAnswer, row: Row) -> dict[str, str]:
    """Return the cells of a variant by the heading of their column."""
    cells = {
        "variant": f"{row.variant} ({row.settings})" if row.settings else row.variant,
        "seeds": f"{len(row.results)}",
        "test accuracy": accuracy(row.test),
        "against the first": against(row),
        "failed to train": f"{row.failed} of {len(row.done)}" if row.done else NOTHING,
        "validation": percent(row.validation.mean) if row.validation else NOTHING,
        "training": duration(row.seconds.mean) if row.seconds else NOTHING,
        "CPU ms per iteration": number(row.milliseconds),
        "time against the first": processor_time(row),
        "parameters": f"{row.costs.parameters:,}" if row.costs else NOTHING,
        "multiply-adds": f"{row.costs.multiply_adds:,}" if row.costs else NOTHING,
    }
    if answer.shows_activations:
        cells["activations"] = f"{row.costs.activations:,}" if row.costs else NOTHING
    return cells


def accuracy(interval: Interval | None) -> str:
    """Return an accuracy as text: 99.09 % ± 0.11."""
    if interval is None:
        return NOTHING
    if interval.high is None:
        return percent(interval.mean)
    return f"{percent(interval.mean)} ± {100 * (interval.high - interval.mean):.2f}"


def against(row: Row) -> str:
    """Return the difference from the first variant as text: better, +0.12 (+0.04 to +0.20)."""
    if row.versus is None:
        return NOTHING
    interval, words = row.versus.interval, VERDICTS[row.versus.verdict]
    text = f"{words}, {signed_hundredths(interval.mean)}"
    if interval.low is None or interval.high is None:
        return text
    return f"{text} ({signed_hundredths(interval.low)} to {signed_hundredths(interval.high)})"


def processor_time(row: Row) -> str:
    """Return the time per iteration as a multiple of the first variant's: 2.81 (2.70 to 2.93)."""
    if row.time is None:
        return NOTHING
    interval = row.time.interval
    text = f"× {exp(interval.mean):.2f}"
    if interval.low is None or interval.high is None:
        return text
    return f"{text} ({exp(interval.low):.2f} to {exp(interval.high):.2f})"


def number(interval: Interval | None) -> str:
    """Return a mean as text: 11.2 ± 0.4."""
    if interval is None:
        return NOTHING
    if interval.high is None:
        return f"{interval.mean:.1f}"
    return f"{interval.mean:.1f} ± {interval.high - interval.mean:.1f}"
