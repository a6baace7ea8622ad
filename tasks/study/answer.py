"""Trials → what is known of each variant, and how far it is from the one it is compared with."""

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
from tasks.study.result import RunResult

Outcome = RunResult | str | None
"""Of one seed: what the run gave, why it failed, or None if it has not been run."""


class Row(Record):
    """A variant with all its seeds."""

    variant: str
    settings: str = ""
    """What it changes, in words of the settings; empty for nothing."""
    costs: Costs | None = None
    """None of a network that cannot be built."""
    trials: tuple[RunResult | None, ...]
    """Of each seed; None where there is none."""
    failures: tuple[str, ...] = ()
    """Why there is none, each reason once."""
    test: Interval | None = None
    validation: Interval | None = None
    seconds: Interval | None = None
    """Of training."""
    milliseconds: Interval | None = None
    """Of processor time, per iteration; by the clock on a GPU."""
    versus: Difference | None = None
    """Test accuracy, against the first variant; p corrected for all variants of the study."""
    time_ratio: Interval | None = None
    """Time per iteration, as a multiple of the first variant's."""
    identical_predictions: int | None = None
    """With how many seeds the predictions are the first variant's, image by image."""

    @property
    def done(self) -> list[RunResult]:
        return [trial for trial in self.trials if trial is not None]


class Candidate(Record):
    """A network that a search has tried, with one seed."""

    settings: str
    costs: Costs
    validation: float
    on_front: bool
    """No other that was tried is both as small and as good."""


class Answer(Record):
    """A question, the numbers, and what follows from them."""

    number: int
    name: str
    question: str
    rows: tuple[Row, ...]
    candidates: tuple[Candidate, ...] = ()
    chosen: str | None = None
    """The row that a search chose, by validation accuracy."""
    shows_activations: bool = False
    conclusions: tuple[str, ...] = ()
    seeds: tuple[int, ...]
    iterations: tuple[int, ...]
    """What the variants were trained for."""
    settings: str
    """What all variants have in common."""
    command: str
    """Gives the same again."""
    data_source: str
    machine: str
    versions: dict[str, str]
    finished: str
    """ISO 8601 with time zone."""
    picture: FileRef | None = None
    """The plot; None if nothing has run."""

    @property
    def missing(self) -> int:
        """Runs that have failed or not been run."""
        return sum(trial is None for row in self.rows for trial in row.trials)


def make_row(variant: str, settings: str, costs: Costs | None, outcomes: Sequence[Outcome]) -> Row:
    """What is known of one variant by itself."""
    trials = tuple(outcome if isinstance(outcome, RunResult) else None for outcome in outcomes)
    done = [trial for trial in trials if trial is not None]
    failures = dict.fromkeys(outcome for outcome in outcomes if isinstance(outcome, str))
    return Row(
        variant=variant,
        settings=settings,
        costs=costs,
        trials=trials,
        failures=tuple(failures),
        test=t_interval([t.test for t in done], resolution(done)) if done else None,
        validation=t_interval([t.validation for t in done]) if done else None,
        seconds=t_interval([t.train_seconds for t in done]) if done else None,
        milliseconds=t_interval([t.milliseconds for t in done]) if done else None,
    )


def resolution(trials: Sequence[RunResult]) -> float:
    """The smallest difference of two test accuracies: one image."""
    return 1 / max(1, trials[0].test_images)


def compare(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows, all but the first compared with it where they have seeds in common."""
    if not rows:
        return ()
    compared = [compare_with(row, rows[0]) for row in rows[1:]]
    tested = [(i, d) for i, row in enumerate(compared) if (d := row.versus) and d.p is not None]
    for (i, difference), p in zip(tested, holm([d.p or 0.0 for _, d in tested]), strict=True):
        versus = difference.model_copy(update={"p": p})
        compared[i] = compared[i].model_copy(update={"versus": versus})
    return (rows[0], *compared)


def compare_with(row: Row, reference: Row) -> Row:
    """A row with its differences from another, seed by seed."""
    pairs = [
        (mine, its)
        for mine, its in zip(row.trials, reference.trials, strict=False)
        if mine is not None and its is not None
    ]
    if not pairs:
        return row
    mine, its = zip(*pairs, strict=True)
    timed = all(trial.milliseconds > 0 for pair in pairs for trial in pair)
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


def front(candidates: Sequence[tuple[int, float]]) -> list[bool]:
    """Which of some (size, accuracy) are on the Pareto front: as small and as good is no other."""
    return [
        not any(
            (size <= mine and accuracy >= my_accuracy) and (size, accuracy) != (mine, my_accuracy)
            for size, accuracy in candidates
        )
        for mine, my_accuracy in candidates
    ]
