"""Tests of exercises: their plan, comparisons, the table of runs, and the texts made from it."""

import math
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.cli.pipeline import pipeline_app
from tasks.engine.store import PROJECT, Store
from tasks.records import Shape
from tasks.runtime.errors import PipelineError
from tasks.settings import Settings
from tasks.study.compare import compare, estimate, holm, p_values
from tasks.study.page import fill, render, summarise, write_document, write_study
from tasks.study.run import Row, RunResult, plan, read_table, replace_rows, table_row, write_table
from tasks.study.variants import EXERCISES, Exercise, Variant, select

MNIST = Shape(height=28, width=28, classes=10)
DROPOUT = "50 % dropout"
TEXT = f"""# Title

<!--dropout/{DROPOUT}/difference-->?<!--/--> points, of
<!--dropout/as it is/test-->?<!--/-->; <!--dropout/{DROPOUT}: worse-->

<!--table dropout-->
<!--/table-->

![plot](exercises/dropout.png)
"""


def row(variant: str, seed: int, correct: int, exercise: str = "dropout", **values: Any) -> Row:
    numbers = {"test_total": 10_000, "validation_correct": 4900, "validation_total": 5000}
    return Row(
        exercise=exercise,
        variant=variant,
        seed=seed,
        options="",
        parameters=1000,
        **{**numbers, "test_correct": correct, **values},
    )


ROWS = [
    row(variant, seed, 9900 - loss + seed % cycle)
    for variant, loss, cycle in (("as it is", 0, 3), ("25 % dropout", 0, 2), (DROPOUT, 40, 3))
    for seed in range(8)
]


CLAIM = re.compile(r"<!--([\w-]+)/([^/<>]+): ([a-z ]+)-->")


def broken_claims(text: str, table: list[Row]) -> list[str]:
    """Return the claims of a text that the runs contradict, and comparisons without a claim."""
    claimed = {(name, label): verdict for name, label, verdict in CLAIM.findall(text)}
    made = {
        (exercise.name, one.variant): str(one.comparison.verdict)
        for exercise in EXERCISES
        for one in summarise(exercise, table)
        if one.comparison
    }
    return [
        f"{'/'.join(key)}: the text says {claimed.get(key)}, the runs say {made.get(key)}"
        for key in sorted(claimed.keys() | made.keys())
        if claimed.get(key) != made.get(key)
    ]


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([20, 25, 30, 22, 28], "better"),
        ([-20, -25, -30, -22, -28], "worse"),
        ([0, 0, 0, 0, 0], "same"),
        ([30, -30, 25, -25, 20], "undecided"),
        ([-900, -4000, 10, -2500, -3000, -1100, -4100, -900], "worse"),
        ([20, 25], "few seeds"),
        ([-20], "few seeds"),
    ],
)
def test_verdict_on_paired_differences(differences: list[int], verdict: str) -> None:
    exercise = Exercise(None, "made", "?", (Variant("first"), Variant("second")))
    base = {seed: 0.9 + 0.0003 * (seed % 3) for seed in range(9)}  # one more, without a partner
    second = {seed: base[seed] + d / 10_000 for seed, d in enumerate(differences)}
    made = compare(exercise, {"first": base, "second": second}, 1e-4)
    assert made["second"].verdict == verdict
    assert made["second"].difference.mean == pytest.approx(np.mean(differences) / 10_000)


def test_p_values_and_intervals_are_those_of_scipy() -> None:
    from scipy import stats

    values = [0.0011, -0.0004, 0.0007, 0.0016, 0.0002]
    unequal, equal = p_values(values, 1e-9)
    assert unequal == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    below = stats.ttest_1samp(values, 0.001, alternative="less").pvalue
    above = stats.ttest_1samp(values, -0.001, alternative="greater").pvalue
    assert equal == pytest.approx(max(below, above))
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert estimate(values, 1e-9)[1:] == pytest.approx((interval.low, interval.high))


def test_equal_values_do_not_make_a_mean_certain() -> None:
    mean, low, high = estimate([0.99, 0.99, 0.99], 1e-4)
    assert low is not None and high is not None and low < mean < high


def test_holm_multiplies_the_smallest_most() -> None:
    assert holm([0.03, 0.01, 0.04, 0.5]) == pytest.approx([0.09, 0.04, 0.09, 0.5])
    assert holm([]) == []


def test_few_exercises_without_a_difference_claim_one() -> None:
    """Of 8 comparisons each, with a reference in common and a standard deviation of 0.06."""
    random, count = np.random.default_rng(0), 300
    labels = [f"variant {n}" for n in range(9)]
    exercise = Exercise(None, "made", "?", tuple(map(Variant, labels)))
    claims = 0
    for _ in range(count):
        drawn = random.normal(0.99, 0.0006, (9, 8))
        found = {
            label: dict(enumerate(map(float, v))) for label, v in zip(labels, drawn, strict=True)
        }
        made = compare(exercise, found, 1e-4)
        claims += any(one.verdict in ("better", "worse") for one in made.values())
    assert claims / count < 0.05 + 3 * math.sqrt(0.05 * 0.95 / count)


def test_exercises_are_those_of_the_tutorial_and_their_names_are_plain() -> None:
    assert [exercise.number for exercise in EXERCISES] == [*range(1, 12), None, None]
    for exercise in EXERCISES:
        labels = [variant.label for variant in exercise.variants]
        assert len(set(labels)) == len(labels)
        assert not any(set("/<>:") & set(label) for label in labels), "marks would be ambiguous"
        assert {variant.against for variant in exercise.variants} <= {"", *labels}
    assert [one.name for one in select(["strides", "repeat"])] == ["repeat", "strides"]
    with pytest.raises(PipelineError, match="drop-out"):
        select(["dropout", "drop-out"])


def test_each_run_is_a_command_of_the_pipeline() -> None:
    runs = plan(EXERCISES, Settings(), None, MNIST)
    assert not [run.problem for run in runs if run.problem]
    for run in runs:
        if run.repetition or run.weights_seed != run.seed or run.settings.training.seed != run.seed:
            continue
        words = ["--milestones", "0", "--seed", str(run.seed), *shlex.split(run.options)]
        words += [] if "--preset" in words else ["--preset", "fast"]
        _, bound, *_ = pipeline_app().parse_args(words, exit_on_error=False, print_error=False)
        settings = bound.arguments["settings"]
        assert settings.model_dump() == run.settings.model_dump() | {"preset": settings.preset}


def test_exercises_share_runs_and_differ_where_they_should() -> None:
    runs = plan(EXERCISES, Settings(), 1, MNIST)
    same = {run.identity for run in runs if run.variant in ("as it is", "once", "fast")}
    assert len(same) == 1
    repeats = plan(select(["repeat"]), Settings(), 2, MNIST)
    assert len({run.identity for run in repeats if run.variant in ("once", "again")}) == 4
    order = [run for run in repeats if run.variant == "other order of images"]
    assert [(run.settings.training.seed, run.weights_seed) for run in order] == [(0, 0), (1, 0)]


def test_given_settings_hold_for_all_variants_and_the_preset_below_them() -> None:
    given = Settings.model_validate({"preset": "best", "training": {"seed": 5}})
    (run,) = (r for r in plan(select(["strides"]), given, 1, MNIST) if r.variant == "stride 2 × 2")
    assert (run.seed, run.settings.training.seed) == (5, 5)
    assert run.settings.network.conv_filters == (32, 64, 128)
    assert run.settings.network.conv_strides == (2,)


def test_network_that_cannot_be_built_is_a_row_without_numbers() -> None:
    small = Shape(height=4, width=4, classes=3)
    runs = plan(select(["layer-shapes"]), Settings(), 1, small)
    (large,) = (run for run in runs if run.variant == "filters of 7 × 7")
    assert "--conv-sizes" in large.problem
    made = table_row(large, RunResult(problem=large.problem), small)
    (one,) = summarise(select(["layer-shapes"])[0], [made])
    assert (one.rows, one.problems) == ([], [large.problem])
    assert "--conv-sizes" in render("page.html.j2", [made])


def test_table_keeps_every_run_and_replaces_exercises_as_a_whole() -> None:
    failed = row("as it is", 0, 1000, "strides", never_predicted=4)
    broken = row("stride 2 × 2", 0, 0, "strides", problem='no "GPU", here\n')
    table = read_table(write_table([failed, broken, *ROWS]))
    assert table == [*ROWS, failed, broken]
    renewed = replace_rows(table, [row("as it is", 0, 9000, "strides")])
    assert [r.test_correct for r in renewed if r.exercise == "strides"] == [9000]
    assert [r for r in renewed if r.exercise == "dropout"] == ROWS


def test_runs_that_failed_to_train_count_in_the_mean() -> None:
    rows = [row("as it is", n, 9900, "relu-on-logits") for n in range(8)]
    wrong = [9900, 2000, 5000, 7000, 9000, 3000, 6000, 8000]
    rows += [
        row("ReLU on the logits", n, c, "relu-on-logits", never_predicted=int(c < 9900))
        for n, c in enumerate(wrong)
    ]
    _, relu = summarise(select(["relu-on-logits"])[0], rows)
    assert relu.failed == 7
    assert relu.test.mean == pytest.approx(np.mean(wrong) / 10_000)
    assert relu.comparison and relu.comparison.verdict == "worse"


def test_marks_of_a_text_are_filled_in_and_stay() -> None:
    text = fill(TEXT, ROWS)
    assert f"<!--dropout/{DROPOUT}/difference-->−0.40 (" in text
    assert "| 50 % dropout | 8 |" in text
    assert fill(text, ROWS) == text
    assert fill(text, []) == text, "without runs, what was there stays"
    for mark in ("<!--drop/as it is/test--><!--/-->", "<!--dropout/as it is/tests--><!--/-->"):
        with pytest.raises(PipelineError, match="--write"):
            fill(mark, ROWS)


def test_claims_that_the_runs_contradict_are_found() -> None:
    complete = TEXT + "<!--dropout/25 % dropout: same-->"
    assert broken_claims(complete, ROWS) == []
    (one,) = broken_claims(complete.replace("worse", "better"), ROWS)
    assert one.startswith(f"dropout/{DROPOUT}")
    assert broken_claims(TEXT, ROWS) == [
        "dropout/25 % dropout: the text says None, the runs say same"
    ]


def test_document_and_its_table_grow_by_exercise(tmp_path: Path) -> None:
    page = tmp_path / "EXERCISES.md"
    page.write_text(TEXT, encoding="utf-8")
    write_document(page, ROWS)
    write_document(page, [row("as it is", 0, 9000, "strides")])
    folder = tmp_path / "exercises"
    assert len(read_table((folder / "runs.csv").read_text(encoding="utf-8"))) == len(ROWS) + 1
    assert (folder / "dropout.png").read_bytes().startswith(b"\x89PNG")
    write_document(tmp_path / "new.md", ROWS)
    assert "## 5. Dropout" in (tmp_path / "new.md").read_text(encoding="utf-8")
    mine = tmp_path / "mine.md"
    mine.write_text("my own words")
    with pytest.raises(PipelineError, match="no marks"):
        write_document(mine, ROWS)
    assert mine.read_text() == "my own words"


def test_page_in_the_root_keeps_other_exercises(tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    store.prepare()
    write_study(store, ROWS, "first")
    (store.root / "studies" / "index.html").unlink()
    write_study(store, [row("as it is", 0, 9000, "strides")], "<second>")
    page = (store.root / "studies" / "index.html").read_text(encoding="utf-8")
    assert 'id="dropout"' in page and 'id="strides"' in page
    assert "&lt;second&gt;" in page
    (store.root / "studies" / "runs.csv").write_text("of another form")
    write_study(store, ROWS, "third")
    assert read_table((store.root / "studies" / "runs.csv").read_text("utf-8")) == ROWS


PAGE = PROJECT / "docs" / "EXERCISES.md"
SMALLEST = "8-12-12 filters, no neurons, two epochs"
"""The network that the page names as the smallest."""


@pytest.fixture(scope="module")
def committed() -> list[Row]:
    return read_table((PAGE.parent / "exercises" / "runs.csv").read_text(encoding="utf-8"))


def test_every_verdict_of_the_page_is_that_of_the_runs(committed: list[Row]) -> None:
    assert broken_claims(PAGE.read_text(encoding="utf-8"), committed) == []


def test_numbers_of_the_page_are_those_of_the_runs(committed: list[Row]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert fill(text, committed) == text


def test_page_is_short_and_in_the_order_of_the_tutorial() -> None:
    text = re.sub("<!--.*?-->", "", PAGE.read_text(encoding="utf-8"))
    prose = [line for line in text.splitlines() if not line.startswith("|")]
    assert len(" ".join(prose).split()) <= 1800
    numbers = [int(number) for number in re.findall(r"^## (\d+)\.", text, re.MULTILINE)]
    assert numbers == list(range(1, 14))


@pytest.mark.parametrize("goal", [0.988, 0.99])
def test_smallest_network_is_that_of_the_ladder(goal: float, committed: list[Row]) -> None:
    found = summarise(select(["smallest"])[0], committed)
    passing = {
        one.rows[0].parameters: one.variant
        for one in found
        if sum(row.validation for row in one.rows) / len(one.rows) >= goal
    }
    assert passing[min(passing)] == SMALLEST
