"""Answer → the numbers of its plot."""

from math import exp

from tasks.records import ChartPanel, ChartRow, ChartSeries, StudyChart
from tasks.study.answer import Row, StudyAnswer
from tasks.study.conclusions import mean_curve, pareto_front
from tasks.study.design import Study
from tasks.study.pages import VERDICTS


def chart_of(answer: StudyAnswer, study: Study) -> StudyChart:
    """Return the numbers of the plot of a study."""
    rows = [row for row in answer.rows if row.done]
    panels = (
        curves_panel(study, rows),
        learning_panel(rows) if study.shows_learning else None,
        sizes_panel(rows) if study.shows_sizes else None,
        search_panel(answer),
    )
    return StudyChart(
        rows=tuple(chart_row(row, first=not n) for n, row in enumerate(rows)),
        panels=tuple(panel for panel in panels if panel),
    )


def chart_row(row: Row, *, first: bool) -> ChartRow:
    """Return a variant in the plot; the mean is that of the runs that have trained."""
    errors = tuple(1 - result.test for result in row.done)
    test = row.test
    verdict = VERDICTS[row.versus.verdict] if row.versus else ""
    failed = f"{row.failed} of {len(row.done)} fail" if row.failed else ""
    time = f"time × {exp(row.time.interval.mean):.2f}" if row.time else ""
    notes = ["the first"] if first else []
    return ChartRow(
        label=row.variant,
        errors=errors,
        mean=1 - test.mean if test else sum(errors) / len(errors),
        low=None if test is None or test.high is None else 1 - test.high,
        high=None if test is None or test.low is None else 1 - test.low,
        verdict=verdict,
        note="; ".join(part for part in (*notes, failed, verdict, time) if part),
    )


def curves_panel(study: Study, rows: list[Row]) -> ChartPanel | None:
    """Return the curves that the variants are points of, by validation error."""
    found = {row.variant: row.validation for row in rows if row.validation}
    places: dict[str, list[tuple[float, float]]] = {}
    for variant in study.variants:
        validation = found.get(variant.name)
        if variant.curve and validation:
            places.setdefault(variant.curve, []).append((variant.x, 1 - validation.mean))
    if not places:
        return None
    series = [
        ChartSeries(label=name, style="line", xs=tuple(xs), ys=tuple(ys))
        for name, of in places.items()
        for xs, ys in [zip(*sorted(of), strict=True)]
    ]
    return panel(f"{study.x_label}: error on validation images", study.x_label, series)


def learning_panel(rows: list[Row]) -> ChartPanel | None:
    """Return the learning curve of each variant, unless it is the first part of another's."""
    every = [(row.variant, mean_curve(row)) for row in rows]
    curves = [(name, own) for name, own in every if not any(set(own) < set(c) for _, c in every)]
    series = [
        ChartSeries(
            label=name,
            style="line",
            xs=tuple(float(n) for n, _ in curve),
            ys=tuple(1 - share for _, share in curve),
        )
        for name, curve in curves
        if curve
    ]
    if not series:
        return None
    return panel("Learning curves: error on validation images", "Iterations", series)


def sizes_panel(rows: list[Row]) -> ChartPanel | None:
    """Return the variants by their number of parameters, and their Pareto front."""
    front = sizes_and_errors(pareto_front(rows))
    return points_panel("Size and accuracy of the shapes", sizes_and_errors(rows), front, [])


def sizes_and_errors(rows: list[Row]) -> list[tuple[int, float]]:
    """Return parameters and validation error of the variants that have both."""
    return [
        (row.costs.parameters, 1 - row.validation.mean)
        for row in rows
        if row.costs and row.validation
    ]


def search_panel(answer: StudyAnswer) -> ChartPanel | None:
    """Return the networks that a search has tried, and their Pareto front."""
    tried = [(c.costs.parameters, 1 - c.validation) for c in answer.candidates]
    front = sorted((c.costs.parameters, 1 - c.validation) for c in answer.candidates if c.on_front)
    sizes = {row.costs.parameters for row in answer.rows[1:] if row.costs}
    chosen = [point for point in front if point[0] in sizes]
    return points_panel("Networks that the search has tried, one seed", tried, front, chosen)


def points_panel(
    title: str,
    points: list[tuple[int, float]],
    front: list[tuple[int, float]],
    chosen: list[tuple[int, float]],
) -> ChartPanel | None:
    """Return points by parameters and validation error, with their front."""
    if not points:
        return None
    groups: list[tuple[str, str, list[tuple[int, float]]]] = [
        ("tried", "dots", points),
        ("none is smaller and as good", "steps", front),
        ("chosen", "rings", chosen),
    ]
    series = [
        ChartSeries.model_validate(
            {"label": label, "style": style, "xs": [x for x, _ in of], "ys": [y for _, y in of]}
        )
        for label, style, of in groups
        if of
    ]
    return panel(title, "Parameters, log scale", series)


def panel(title: str, x_label: str, series: list[ChartSeries]) -> ChartPanel:
    """Return a panel of validation errors."""
    return ChartPanel(
        title=title, x_label=x_label, y_label="Validation error", series=tuple(series)
    )
