"""Results of runs → statistics of each variant, and its difference from the reference."""

from collections.abc import Sequence

from tasks.engine.models import FileRef, Record
from tasks.model.costs import Costs
from tasks.statistics import (
    Difference,
    Interval,
    holm,
    paired_difference,
    ratio,
    t_interval,
)
from tasks.study.result import Outcome, RunResult


class Row(Record):
    """The results and statistics of a variant over all seeds."""

    variant: str
    settings: str = ""
    """Its changes as options of the command line; empty for none."""
    costs: Costs | None = None
    """None if the network cannot be built."""
    results: tuple[RunResult | None, ...]
    """Result of each seed; None if there is none."""
    failures: tuple[str, ...] = ()
    """Reasons of missing results, each once."""
    test: Interval | None = None
    validation: Interval | None = None
    seconds: Interval | None = None
    """Wall time of training."""
    milliseconds: Interval | None = None
    """Processor time per iteration; wall time on a GPU."""
    versus: Difference | None = None
    """Difference of test accuracy from the first variant; p corrected for all variants."""
    time_ratio: Interval | None = None
    """Time per iteration as a multiple of the first variant's."""
    identical_predictions: int | None = None
    """Number of seeds whose predictions are identical to the first variant's."""

    @property
    def done(self) -> list[RunResult]:
        """Results of the seeds that have one."""
        return [result for result in self.results if result is not None]


class Candidate(Record):
    """A network tried by a search, with one seed."""

    settings: str
    costs: Costs
    validation: float
    on_front: bool
    """Whether it is on the Pareto front of parameters and validation accuracy."""


class StudyAnswer(Record):
    """A question, the numbers, and the conclusions."""

    number: int
    name: str
    question: str
    rows: tuple[Row, ...]
    candidates: tuple[Candidate, ...] = ()
    chosen: str | None = None
    """Name of the variant that a search chose, by validation accuracy."""
    shows_activations: bool = False
    conclusions: tuple[str, ...] = ()
    seeds: tuple[int, ...]
    iterations: tuple[int, ...]
    """Training iterations of the variants, each number once."""
    settings: str
    """Settings that all variants have in common, as options of the command line."""
    command: str
    """Command line that gives the same answer."""
    data_source: str
    machine: str
    versions: dict[str, str]
    finished: str
    """ISO 8601 with time zone."""
    picture: FileRef | None = None
    """The plot; None if nothing has run."""

    @property
    def missing(self) -> int:
        """Number of runs that failed or have not been run."""
        return sum(result is None for row in self.rows for result in row.results)


def make_row(variant: str, settings: str, costs: Costs | None, outcomes: Sequence[Outcome]) -> Row:
    """Return the statistics of one variant, without comparison."""
    results = tuple(outcome if isinstance(outcome, RunResult) else None for outcome in outcomes)
    done = [result for result in results if result is not None]
    failures = dict.fromkeys(outcome for outcome in outcomes if isinstance(outcome, str))
    return Row(
        variant=variant,
        settings=settings,
        costs=costs,
        results=results,
        failures=tuple(failures),
        test=t_interval([t.test for t in done], resolution(done)) if done else None,
        validation=t_interval([t.validation for t in done]) if done else None,
        seconds=t_interval([t.train_seconds for t in done]) if done else None,
        milliseconds=t_interval([t.milliseconds for t in done]) if done else None,
    )


def resolution(results: Sequence[RunResult]) -> float:
    """Return the smallest possible difference of two test accuracies, one image."""
    return 1 / max(1, results[0].test_images)


def compare(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Compare each row with the first one, over the seeds that both have."""
    if not rows:
        return ()
    compared = [compare_with(row, rows[0]) for row in rows[1:]]
    tested = [(i, d) for i, row in enumerate(compared) if (d := row.versus) and d.p is not None]
    for (i, difference), p in zip(tested, holm([d.p or 0.0 for _, d in tested]), strict=True):
        versus = difference.model_copy(update={"p": p})
        compared[i] = compared[i].model_copy(update={"versus": versus})
    return (rows[0], *compared)


def compare_with(row: Row, reference: Row) -> Row:
    """Return a row with its differences from another one, paired by seed."""
    pairs = [
        (mine, its)
        for mine, its in zip(row.results, reference.results, strict=False)
        if mine is not None and its is not None
    ]
    if not pairs:
        return row
    mine, its = zip(*pairs, strict=True)
    timed = all(result.milliseconds > 0 for pair in pairs for result in pair)
    return row.model_copy(
        update={
            "versus": paired_difference(
                [t.test for t in mine], [t.test for t in its], resolution(mine)
            ),
            "time_ratio": ratio([t.milliseconds for t in mine], [t.milliseconds for t in its])
            if timed
            else None,
            "identical_predictions": sum(m.predictions == i.predictions for m, i in pairs),
        }
    )
