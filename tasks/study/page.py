"""The page of the exercises: a table and a plot of each, and numbers for a text written by hand.

Such a text holds marks, comments that are invisible on a page:

    <!--dropout/50 % dropout/difference-->…<!--/-->   a number, see `value_of`
    <!--table dropout-->…<!--/table-->                the table of an exercise
    <!--dropout/50 % dropout: worse-->                a claim, which a test holds to the runs
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, stdev

from jinja2 import Environment, FileSystemLoader

from tasks.engine.store import Store, disk_errors
from tasks.report.figures.canvas import save_bytes
from tasks.report.figures.study import PlottedVariant, study
from tasks.runtime.errors import PipelineError
from tasks.study.compare import Comparison, Estimate, compare, estimate
from tasks.study.run import Row, read_table, replace_rows, write_table
from tasks.study.variants import BY_NAME, EXERCISES, Exercise
from tasks.words import duration, escape_markdown, markdown_table, percent

TEMPLATES = Path(__file__).parent / "templates"
TABLE_FILE = "runs.csv"
NUMBER = re.compile(r"(<!--([\w-]+)/([^/<>]+)/(\w+)-->)[^<]*(<!--/-->)")
TABLE = re.compile(r"(<!--table ([\w-]+)-->\n).*?(<!--/table-->)", re.DOTALL)


@dataclass(frozen=True)
class Summary:
    """The runs of one variant."""

    variant: str
    rows: list[Row]
    """Those with numbers."""
    problems: list[str]
    """Why others have none."""
    test: Estimate
    comparison: Comparison | None

    @property
    def failed(self) -> int:
        """Number of runs that failed to train."""
        return sum(row.failed for row in self.rows)


def summarise(exercise: Exercise, table: Sequence[Row]) -> list[Summary]:
    """Summarise the variants of an exercise that are in the table, and compare them."""
    mine = [row for row in table if row.exercise == exercise.name]
    runs = {v.label: [r for r in mine if r.variant == v.label] for v in exercise.variants}
    good = {label: [row for row in rows if not row.problem] for label, rows in runs.items()}
    resolution = 1 / max([1, *(row.test_total for row in mine)])
    accuracies = {label: {row.seed: row.test for row in rows} for label, rows in good.items()}
    comparisons = compare(exercise, accuracies, resolution)
    return [
        Summary(
            variant=label,
            rows=good[label],
            problems=list(dict.fromkeys(row.problem for row in rows if row.problem)),
            test=estimate([row.test for row in good[label]] or [0.0], resolution),
            comparison=comparisons.get(label),
        )
        for label, rows in runs.items()
        if rows
    ]


def points(difference: Estimate) -> str:
    """Return a difference in points with its interval: −0.28 (−0.33 to −0.23)."""
    texts = [f"{100 * value:+.2f}" for value in difference if value is not None]
    text = texts[0] if len(texts) == 1 else f"{texts[0]} ({texts[1]} to {texts[2]})"
    return text.replace("-", "\N{MINUS SIGN}")


def accuracy(one: Summary) -> str:
    """Return the mean test accuracy of a variant, with half its interval."""
    half = "" if one.test.high is None else f" ± {100 * (one.test.high - one.test.mean):.2f}"
    return f"{percent(one.test.mean)}{half}"


def table_lines(found: Sequence[Summary]) -> list[dict[str, str]]:
    """Return the table of an exercise: a line for each variant, cells by column."""
    lines = []
    for one in found:
        line = {"variant": one.variant, "runs": str(len(one.rows))}
        if one.rows:
            line |= {"test accuracy": accuracy(one), "validation": validation(one)}
        if one.comparison:
            line["difference in points"] = points(one.comparison.difference)
            line["verdict"] = one.comparison.verdict
        if any(summary.failed for summary in found):
            line["failed to train"] = str(one.failed)
        if one.rows:
            line["iterations"] = f"{one.rows[0].iterations:,}"
            line["training"] = duration(median(row.train_seconds for row in one.rows))
            line["parameters"] = f"{one.rows[0].parameters:,}"
        lines.append(line)
    columns = max(lines, key=len)  # the first has no comparison, a broken one has no numbers
    return [{name: line.get(name, "–") for name in columns} for line in lines]


def validation(one: Summary) -> str:
    """Return the mean validation accuracy of a variant."""
    return percent(mean(row.validation for row in one.rows))


def plot(found: Sequence[Summary]) -> bytes:
    """Return the plot of an exercise as PNG: variants with as many iterations as the first."""
    good = [one for one in found if one.rows]
    variants = []
    for one in good:
        if one.rows[0].iterations != good[0].rows[0].iterations:
            continue
        center, low, high = one.test
        variants.append(
            PlottedVariant(
                label=one.variant,
                note=percent(center),
                errors=[1 - row.test for row in one.rows],
                low=1 - (center if high is None else high),
                high=1 - (center if low is None else low),
                verdict=one.comparison.verdict if one.comparison else "",
            )
        )
    return save_bytes(study(variants))


def render(name: str, table: Sequence[Row], command: str = "") -> str:
    """Return a template, filled in with all exercises in a table of runs."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=name.endswith("html.j2"),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"markdown": markdown, "escape_markdown": escape_markdown}
    shown = []
    for exercise in EXERCISES:
        if found := summarise(exercise, table):
            png = plot(found) if any(one.rows for one in found) else b""
            shown.append((exercise, found, table_lines(found), base64.b64encode(png).decode()))
    return environment.get_template(name).render(exercises=shown, command=command)


def markdown(lines: Sequence[dict[str, str]]) -> str:
    """Return a table as Markdown, numbers at the right."""
    return markdown_table(lines, set(lines[0]) - {"variant", "verdict"})


def write_study(store: Store, rows: Sequence[Row], command: str) -> str:
    """Replace the rows of some exercises in the artifact root's table, and its page.

    Returns:
        Address of the page.
    """
    try:
        before = read_table(store.read(f"studies/{TABLE_FILE}").decode())
    except (OSError, ValueError):
        before = []  # none yet, or one of another form
    table = replace_rows(before, rows)
    store.write_study(TABLE_FILE, write_table(table).encode())
    return store.write_study("index.html", render("page.html.j2", table, command).encode())


def write_document(path: Path, rows: Sequence[Row]) -> None:
    """Fill in the marks of a Markdown file, or write a plain one if there is none.

    The table of runs and the plots that the text shows are kept in a folder beside it.

    Raises:
        PipelineError: the file has no marks, or cannot be written.
    """
    folder = path.with_name(path.stem.lower())
    with disk_errors("--write", path, "name another file"):
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text and not NUMBER.search(text) and not TABLE.search(text):
            raise PipelineError(f"--write {path}: it has no marks to fill in; name a new file")
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / TABLE_FILE
        before = read_table(kept.read_text(encoding="utf-8")) if kept.exists() else []
        table = replace_rows(before, rows)
        path.write_text(fill(text, table) if text else render("page.md.j2", table), "utf-8")
        kept.write_text(write_table(table), encoding="utf-8")
        for exercise in EXERCISES:
            if f"({folder.name}/{exercise.name}.png)" in text:
                (folder / f"{exercise.name}.png").write_bytes(plot(summarise(exercise, table)))


def fill(text: str, table: Sequence[Row]) -> str:
    """Return a text with numbers and tables between its marks; without runs, they stay.

    Raises:
        PipelineError: a mark names what does not exist.
    """
    found = {exercise.name: summarise(exercise, table) for exercise in EXERCISES}

    def number(match: re.Match[str]) -> str:
        start, name, label, kind, end = match.groups()
        if name not in BY_NAME or label not in [v.label for v in BY_NAME[name].variants]:
            raise PipelineError(f"--write: {start} names no variant")
        one = next((one for one in found[name] if one.variant == label and one.rows), None)
        return f"{start}{value_of(one, kind, found[name])}{end}" if one else match[0]

    def lines(match: re.Match[str]) -> str:
        start, name, end = match.groups()
        if not found.get(name):
            return match[0]
        return f"{start}\n{markdown(table_lines(found[name]))}\n\n{end}"

    return TABLE.sub(lines, NUMBER.sub(number, text))


def value_of(one: Summary, kind: str, found: Sequence[Summary]) -> str:
    """Return a number of a variant as text.

    Raises:
        PipelineError: there is no number of this kind.
    """
    weights = {row.seed: row.weights for row in found[0].rows}
    values = {
        "test": lambda: accuracy(one),
        "validation": lambda: validation(one),
        "difference": lambda: points(one.comparison.difference) if one.comparison else "–",
        "spread": lambda: f"{100 * stdev(row.test for row in one.rows):.2f}",
        "runs": lambda: str(len(one.rows)),
        "failed": lambda: str(one.failed),
        "lowest": lambda: percent(min(row.test for row in one.rows)),
        "parameters": lambda: f"{one.rows[0].parameters:,}",
        "same": lambda: str(sum(row.weights == weights.get(row.seed) for row in one.rows)),
    }
    if kind not in values:
        raise PipelineError(f"--write: {kind} in a mark; there are {', '.join(values)}")
    return values[kind]()
