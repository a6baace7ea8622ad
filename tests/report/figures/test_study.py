"""Tests of the figure of a study."""

from pathlib import Path

import pytest
from helpers.made_up import MANY, answer, result, row

from tasks.model.costs import Costs
from tasks.report.figures import save
from tasks.report.figures.study import study
from tasks.study.answer import Candidate
from tasks.study.chart import chart_of
from tasks.study.exercises import BY_NAME
from tasks.study.result import CurvePoint


def test_plot_of_unusual_numbers_is_drawn(tmp_path: Path) -> None:
    costs = Costs(parameters=100, multiply_adds=10_000, activations=100)
    tried = [
        Candidate(settings="", costs=costs, validation=v, on_front=v == 1.0) for v in (0.1, 1.0)
    ]
    one = answer(
        row("every image is right", [10_000] * 3),
        row("one seed, and a name that is far longer than there is space for it", [1000]),
        candidates=tuple(tried),
    )
    chart = chart_of(one, BY_NAME["smallest"])
    tried, front = chart.panels[0].series
    assert (tried.style, tried.ys) == ("dots", (0.9, 0.0))
    assert (front.style, front.ys) == ("steps", (0.0,))
    save(study(chart), tmp_path / "plot.png")
    save(study(chart.model_copy(update={"rows": (), "panels": ()})), tmp_path / "none.png")


def test_curves_hold_the_variants_of_the_study_by_their_place() -> None:
    rates = BY_NAME["learning-rate"]
    rows = [row(variant.name, [9900 + n] * 3) for n, variant in enumerate(rates.variants)]
    (panel,) = chart_of(answer(*rows, name="learning-rate"), rates).panels
    assert [series.label for series in panel.series] == ["one cycle, by its peak", "constant rate"]
    for series in panel.series:
        assert list(series.xs) == sorted(series.xs)
    assert panel.series[0].xs == (1e-3, 3e-3, 1e-2, 2e-2, 4e-2)
    assert panel.series[1].ys[0] == pytest.approx(1 - 0.9905)


def test_learning_curves_and_sizes_are_panels() -> None:
    curve = tuple(CurvePoint(iteration=n, validation=n / 1000) for n in (125, 250, 500, 990))
    runs = [result(9900, curve=curve)] * 3
    (panel,) = chart_of(answer(row("once as long", runs), name="longer"), BY_NAME["longer"]).panels
    assert panel.series[0].xs == (125, 250, 500, 990)
    assert panel.series[0].ys == pytest.approx((0.875, 0.75, 0.5, 0.01))
    shapes = answer(row("as it is", [9900] * 3), name="layer-shapes")
    (panel,) = chart_of(shapes, BY_NAME["layer-shapes"]).panels
    assert panel.x_label.startswith("Parameters")


def test_variant_has_its_verdict_failures_and_time_beside_its_name() -> None:
    failing = [result(8900, 20.0, never_predicted=1), *(n - 200 for n in MANY[1:])]
    one = answer(row("none", MANY), row("half", failing))
    chart = chart_of(one, BY_NAME[one.name])
    assert chart.rows[0].note == "the first"
    assert chart.rows[1].note == "1 of 12 fail; worse; time × 1.06"
    assert chart.rows[1].verdict == "worse"
    assert len(chart.rows[1].errors) == 12
