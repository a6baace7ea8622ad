"""Tests of the figure of a study."""

from pathlib import Path

from helpers.made_up import answer, row

from tasks.model.costs import Costs
from tasks.records import ChartPoint
from tasks.report.figures import save
from tasks.report.figures.study import study
from tasks.study.answer import Candidate
from tasks.study.publish import chart_of


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
    chart = chart_of(one)
    assert [point.error for point in chart.points] == [0.9, 0.0]
    save(study(chart), tmp_path / "plot.png")
    save(study(chart.model_copy(update={"rows": (), "points": ()})), tmp_path / "none.png")
    assert chart.points[0] == ChartPoint(parameters=100, error=0.9, on_front=False, chosen=False)
