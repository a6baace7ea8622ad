"""Results of runs → statistics of each variant, and its difference from the reference."""

from collections.abc import Callable, Sequence
from math import log

from tasks.engine.models import FileRef, Record
from tasks.model.costs import Costs
from tasks.statistics import Interval, clopper_pearson, t_interval
from tasks.study.decide import SAME_ACCURACY, SAME_TIME, Comparison, Look, compare_values
from tasks.study.result import Outcome, RunResult


class Row(Record):
    """The results and statistics of a variant over all seeds."""

    variant: str
    settings: str = ""
    """Its changes as options of the command line; empty for none."""
    compares: bool = True
    """Whether it is compared with the first variant."""
    stopped: int | None = None
    """Number of seeds at the look that decided it: it has no further runs. None: it has those of
    the study."""
    command: str = ""
    """Command line of its run with the first seed; empty if only a study can make such a run."""
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
    versus: Comparison | None = None
    """Test accuracy against the first variant's, of the runs that did not fail to train."""
    time: Comparison | None = None
    """Logarithm of the time per iteration against the first variant's."""

    @property
    def done(self) -> list[RunResult]:
        """Results of the seeds that have one."""
        return [result for result in self.results if result is not None]

    @property
    def trained(self) -> list[RunResult]:
        """Results of the runs that did not fail to train."""
        return [result for result in self.done if not result.failed]

    @property
    def failed(self) -> int:
        """Number of runs that failed to train."""
        return len(self.done) - len(self.trained)

    @property
    def mostly_fails(self) -> bool:
        """Whether it certainly fails to train more often than not: the rest is not compared."""
        return clopper_pearson(self.failed, len(self.done))[0] > 0.5 if self.failed else False

    @property
    def decided(self) -> bool:
        """Whether more seeds are of no use: the accuracy is decided, or there is none."""
        return self.versus is None or self.versus.verdict != "undecided"


class Candidate(Record):
    """A network tried by a search, with one seed."""

    settings: str
    costs: Costs
    validation: float
    on_front: bool
    """Whether it is on the Pareto front of parameters and validation accuracy."""


class Conclusion(Record):
    """The answer to a question in sentences."""

    answer: str
    """The answer in plain words."""
    numbers: tuple[str, ...] = ()
    """What it rests on."""
    reasons: tuple[str, ...] = ()
    """Why it is so, from what was counted and measured."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of it in order."""
        return (self.answer, *self.numbers, *self.reasons)


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
    conclusion: Conclusion = Conclusion(answer="")
    seeds: tuple[int, ...]
    looks: tuple[Look, ...]
    """Looks at the results, until everything was decided or the seeds were used up."""
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
    """When the answer was given, ISO 8601 with time zone."""
    picture: FileRef | None = None
    """The plot; None if nothing has run."""

    @property
    def trained(self) -> tuple[str, str]:
        """When the first and the last run ended their training; empty if that is not known."""
        times = sorted(r.trained for row in self.rows for r in row.done if r.trained)
        return (times[0], times[-1]) if times else ("", "")

    @property
    def missing(self) -> int:
        """Number of runs that failed or have not been run."""
        return sum(result is None for row in self.rows for result in row.results)


def make_row(
    variant: str,
    settings: str,
    costs: Costs | None,
    outcomes: Sequence[Outcome],
    *,
    command: str = "",
    compares: bool = True,
) -> Row:
    """Return the statistics of one variant, without comparison."""
    results = tuple(outcome if isinstance(outcome, RunResult) else None for outcome in outcomes)
    done = [result for result in results if result is not None]
    trained = [result for result in done if not result.failed]
    failures = dict.fromkeys(outcome for outcome in outcomes if isinstance(outcome, str))
    return Row(
        variant=variant,
        settings=settings,
        command=command,
        compares=compares,
        costs=costs,
        results=results,
        failures=tuple(failures),
        test=accuracy_interval([t.test for t in trained], done),
        validation=accuracy_interval([t.validation for t in trained], done),
        seconds=t_interval([t.train_seconds for t in done]) if done else None,
        milliseconds=t_interval([t.milliseconds for t in done]) if done else None,
    )


def accuracy_interval(values: Sequence[float], done: Sequence[RunResult]) -> Interval | None:
    """Return the mean accuracy of a variant with its interval; None if no run has trained."""
    return t_interval(values, 1 / max(1, done[0].test_images)) if values else None


def compare(rows: Sequence[Row], looks: Sequence[Look]) -> tuple[Row, ...]:
    """Compare each row with the first one, over the seeds that have been run.

    Args:
        rows: rows without comparison, the reference first.
        looks: the looks so far.
    """
    if not rows:
        return ()
    accuracies = [{} if row.mostly_fails else values_of(row, accuracy_of) for row in rows]
    times = [values_of(row, time_of) for row in rows]
    its_looks = [looks_at(row, looks) for row in rows[1:]]
    versus = compare_values(accuracies[1:], accuracies[0], SAME_ACCURACY, its_looks)
    time = compare_values(times[1:], times[0], SAME_TIME, its_looks)
    compared = [
        row.model_copy(update={"versus": its_accuracy, "time": its_time})
        for row, its_accuracy, its_time in zip(rows[1:], versus, time, strict=True)
    ]
    return (rows[0], *compared)


def looks_at(row: Row, looks: Sequence[Look]) -> Sequence[Look]:
    """Return the looks up to that which decided a row."""
    return [look for look in looks if row.stopped is None or look.seeds <= row.stopped]


def values_of(row: Row, value_of: Callable[[RunResult], float | None]) -> dict[int, float]:
    """Return values of a row's results by the number of their seed, without those that are None."""
    if not row.compares:
        return {}
    found = {n: value_of(result) for n, result in enumerate(row.results) if result is not None}
    return {n: value for n, value in found.items() if value is not None}


def accuracy_of(result: RunResult) -> float | None:
    """Return the test accuracy of a run; None if it failed to train."""
    return None if result.failed else result.test


def time_of(result: RunResult) -> float | None:
    """Return the logarithm of a run's time per iteration; None if it was not measured."""
    return log(result.milliseconds) if result.milliseconds > 0 else None
