"""What may be said, by rule from the numbers: nothing that the intervals do not bear."""

from collections.abc import Callable, Sequence

from tasks.report.formatting import percent
from tasks.statistics import SIGNIFICANT, Difference, Interval
from tasks.study.answer import Answer, Row

MINUS = "\N{MINUS SIGN}"


def conclude(answer: Answer) -> tuple[str, ...]:
    """The conclusions that answer a study."""
    rows = [row for row in answer.rows if row.done]
    if not rows or rows[0] is not answer.rows[0]:
        return ("What the others are compared with has not been run, so nothing can be said.",)
    said = OF_STUDIES.get(answer.name, usual)(answer, rows)
    if answer.missing:
        total = sum(len(row.trials) for row in answer.rows)
        said = [*said, f"{answer.missing} of {total} runs are missing."]
    return tuple(said)


def usual(answer: Answer, rows: Sequence[Row]) -> list[str]:
    """Which variants are better or worse than the first, and what they cost."""
    return [*differences(rows), *costs(rows)]


def differences(rows: Sequence[Row]) -> list[str]:
    """What can be claimed of test accuracies, and of which variants nothing can."""
    first, others = rows[0], [row for row in rows[1:] if row.versus is not None]
    if not others:
        return []
    if all(row.versus and row.versus.p is None for row in others):
        return [f"One seed has no interval: no difference from “{first.variant}” can be claimed."]
    claimed = [row for row in others if row.versus and row.versus.significant]
    claimed.sort(key=lambda row: -gain(row))
    better = [row for row in claimed if gain(row) > 0]
    worse = [row for row in claimed if gain(row) < 0]
    rest = [row for row in others if row not in claimed]
    said = []
    for which, found in (("better", better), ("worse", worse)):
        if found:
            said.append(
                f"Significantly {which} than “{first.variant}”:"
                f" {listed([by_how_much(row) for row in found])}."
            )
    if rest:
        names = listed([f"“{row.variant}” ({points(gain(row))})" for row in rest])
        said.append(
            f"With {seeds(others)}, no difference from “{first.variant}” can be claimed for"
            f" {names}."
        )
    return said


def costs(rows: Sequence[Row]) -> list[str]:
    """The dearest and the cheapest variant, where the time per iteration surely differs.

    If a network does the same work as the first, a difference is the machine's, which others
    may use too.
    """
    first = rows[0]
    timed = [
        row
        for row in rows[1:]
        if row.costs != first.costs and row.time_ratio and row.time_ratio.excludes(1.0)
    ]
    said = []
    for row in ends(timed):
        assert row.time_ratio
        counted = ""
        if row.costs and first.costs and row.costs.multiply_adds != first.costs.multiply_adds:
            share = row.costs.multiply_adds / first.costs.multiply_adds
            counted = f", for {share:.2g} times the multiply-adds"
        said.append(
            f"An iteration of “{row.variant}” takes {times(row.time_ratio)} the processor time of"
            f" one of “{first.variant}”{counted}."
        )
    return said


def ends(timed: Sequence[Row]) -> list[Row]:
    """The fastest below the first's time and the slowest above it."""
    ordered = sorted(timed, key=lambda row: row.time_ratio.mean if row.time_ratio else 1.0)
    fast = [row for row in ordered[:1] if row.time_ratio and row.time_ratio.mean < 1]
    slow = [row for row in ordered[-1:] if row.time_ratio and row.time_ratio.mean > 1]
    return [*fast, *slow]


def repeat(answer: Answer, rows: Sequence[Row]) -> list[str]:
    """Exercise 1: which of its variants give the same weights, and how far the others scatter."""
    by_name = {row.variant: row for row in rows}
    once = rows[0]
    said = []
    if again := by_name.get("again"):
        said.append(f"With deterministic operations, {same_weights(once, again)}.")
    loose = by_name.get("without deterministic operations")
    loosely_again = by_name.get("without them, again")
    if loose and loosely_again:
        said.append(f"Without them, {same_weights(loose, loosely_again)}.")
    scatters = [
        f"{spread(row)} {name}"
        for name, row in (
            ("between seeds", once),
            ("where only the initial weights differ", by_name.get(WEIGHTS)),
            ("where only the order of images differs", by_name.get(ORDER)),
        )
        if row and len(row.done) > 1
    ]
    if scatters:
        said.append(f"Test accuracy has a standard deviation of {listed(scatters)}.")
    return said


WEIGHTS, ORDER = "only the initial weights differ", "only the order of images differs"


def same_weights(first: Row, second: Row) -> str:
    pairs = [(a, b) for a, b in zip(first.trials, second.trials, strict=True) if a and b]
    same = sum(a.weights == b.weights for a, b in pairs)
    if same == len(pairs):
        seeds = f"{len(pairs)} of {counted(len(pairs), 'seed')}"
        return f"with {seeds} a second run ended with the weights of the first, bit for bit"
    return f"with {len(pairs) - same} of {counted(len(pairs), 'seed')} it ended with other weights"


def spread(row: Row) -> str:
    """Sample standard deviation of the test accuracy."""
    values = [trial.test for trial in row.done]
    mean = sum(values) / len(values)
    deviation = (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5
    return f"{100 * deviation:.2f} points"


def pooling_order(answer: Answer, rows: Sequence[Row]) -> list[str]:
    """Exercise 6: each activation and pooling in both orders."""
    by_name = {row.variant: row for row in rows}
    said = []
    for pool_first, other, same_function in (
        ("max-pooling, ReLU", "ReLU, max-pooling", True),
        ("max-pooling, sigmoid", "sigmoid, max-pooling", True),
        ("average-pooling, ReLU", "ReLU, average-pooling", False),
    ):
        if pool_first in by_name and other in by_name:
            said.append(in_both_orders(by_name[pool_first], by_name[other], same_function))
    return [*said, *differences(rows)]


def in_both_orders(pooled_first: Row, other: Row, same_function: bool) -> str:
    """How the results of two orders differ, and what they cost.

    Args:
        pooled_first: its results.
        other: those of the other order.
        same_function: whether both orders give the same outputs with the same weights, as they
            do where the largest value stays the largest under the activation. Then what is
            trained differs by rounding alone: gradients are sums of other numbers of values.
    """
    pairs = [(a, b) for a, b in zip(pooled_first.trials, other.trials, strict=True) if a and b]
    if not pairs:
        return f"“{pooled_first.variant}” and “{other.variant}” have no seed in common."
    same_weights = sum(a.weights == b.weights for a, b in pairs)
    same = sum(a.predictions == b.predictions for a, b in pairs)
    right = sum(a.test == b.test for a, b in pairs)
    if same_weights == len(pairs):
        result = "the weights are the same, bit for bit"
    elif same == len(pairs):
        result = "the predictions are the same, bit for bit"
    elif right == len(pairs):
        result = "as many test images are right, with weights that differ"
    else:
        result = f"the results differ (with {len(pairs) - same} of {counted(len(pairs), 'seed')})"
    from tasks.statistics import ratio

    time = ratio([b.milliseconds for _, b in pairs], [a.milliseconds for a, _ in pairs])
    cost = f"an iteration takes {times(time)} the processor time"
    if time.low is None or not time.excludes(1.0):
        cost = f"a difference in time cannot be claimed ({times(time)})"
    if same_function and same_weights < len(pairs):
        result = f"the same function, but gradients are summed in another order, and {result}"
    if pooled_first.costs and other.costs:
        share = other.costs.activations / pooled_first.costs.activations
        cost = f"{share:.1f} times as many values go through the activation, and {cost}"
    return f"“{other.variant}” instead of “{pooled_first.variant}”: {result}; {cost}."


def relu_on_logits(answer: Answer, rows: Sequence[Row]) -> list[str]:
    """Exercise 9: what changes, and how many logits are equal."""
    said = usual(answer, rows)
    if len(rows) > 1:
        plain, relu = (
            sum(t.lowest_classes for t in row.done) / len(row.done) for row in (rows[0], rows[1])
        )
        said.append(
            f"On average {relu:.1f} classes share the lowest logit of a test image"
            f" ({plain:.1f} without ReLU)"
            + (
                ": ReLU makes negative logits zero, so that they cannot be told apart and have no"
                " gradient."
                if relu > plain + 1
                else "."
            )
        )
    return said


def smallest(answer: Answer, rows: Sequence[Row]) -> list[str]:
    """Exercise 8: what the search chose, and what that is worth on the test split."""
    chosen = next((row for row in rows if row.variant == answer.chosen), None)
    tried = f"Of {counted(len(answer.candidates), 'network')} that were tried"
    if chosen is None or not chosen.costs or not rows[0].costs or not chosen.test:
        return [f"{tried}, none was good enough."]
    share = rows[0].costs.parameters / chosen.costs.parameters
    said = [
        f"{tried}, the smallest with a good validation accuracy has"
        f" {chosen.costs.parameters:,} parameters, {share:.0f} times fewer than"
        f" “{rows[0].variant}” ({chosen.settings}): {accuracy(chosen.test)} on the test split."
    ]
    return [*said, *differences([rows[0], chosen])]


def how_high(answer: Answer, rows: Sequence[Row]) -> list[str]:
    """Exercise 12: the best mean, and whether its interval lies above 99 %."""
    best = max(rows, key=lambda row: row.test.mean if row.test else 0.0)
    assert best.test
    said = [f"The highest mean is that of “{best.variant}”: {accuracy(best.test)}."]
    top = max(trial.test for row in rows for trial in row.done)
    if best.test.low is None:
        said.append("One seed has no interval: whether that is 99 % or more cannot be claimed.")
    elif best.test.low >= 0.99:
        said.append("The whole interval lies at or above 99 %.")
    elif best.test.high is not None and best.test.high < 0.99:
        said.append("The whole interval lies below 99 %.")
    else:
        said.append("The interval holds 99 %: that the mean is above cannot be claimed.")
    return [*said, f"The best single run has {percent(top)}.", *differences(rows)]


OF_STUDIES: dict[str, Callable[[Answer, Sequence[Row]], list[str]]] = {
    "repeat": repeat,
    "relu-pooling-order": pooling_order,
    "relu-on-logits": relu_on_logits,
    "smallest": smallest,
    "how-high": how_high,
}
"""Where the usual rule does not answer the question."""


def gain(row: Row) -> float:
    return row.versus.interval.mean if row.versus else 0.0


def by_how_much(row: Row) -> str:
    assert row.versus
    return f"“{row.variant}” by {difference(row.versus)}"


def difference(versus: Difference) -> str:
    """0.12 points (95 % interval 0.02 to 0.22; p = 0.03)."""
    interval, sign = versus.interval, 1 if versus.interval.mean >= 0 else -1
    low, high = sorted((sign * (interval.low or 0.0), sign * (interval.high or 0.0)))
    return (
        f"{abs(100 * interval.mean):.2f} points"
        f" (95 % interval {signed(low)} to {signed(high)}; {p_value(versus)})"
    )


def signed(share: float) -> str:
    return change(share).removeprefix("+")


def p_value(versus: Difference) -> str:
    if versus.p is None:
        return "no p-value"
    return "p < 0.001" if versus.p < 0.001 else f"p = {versus.p:.2g}"


def points(share: float) -> str:
    """0.0012 → +0.12 points."""
    return f"{change(share)} points"


def change(share: float) -> str:
    """0.0012 → +0.12; nothing has no sign."""
    hundredths = round(10_000 * share)
    return f"{hundredths / 100:+.2f}".replace("-", MINUS) if hundredths else "0.00"


def accuracy(interval: Interval) -> str:
    """99.09 % (95 % interval 98.98 % to 99.20 %, 5 seeds)."""
    if interval.low is None or interval.high is None:
        return f"{percent(interval.mean)} (one seed, no interval)"
    return (
        f"{percent(interval.mean)} (95 % interval {percent(interval.low)} to"
        f" {percent(min(1.0, interval.high))}, {interval.values} seeds)"
    )


def times(interval: Interval) -> str:
    """2.81 times (95 % interval 2.70 to 2.93)."""
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.2f} times (one seed, no interval)"
    return f"{interval.mean:.2f} times (95 % interval {interval.low:.2f} to {interval.high:.2f})"


def seeds(rows: Sequence[Row]) -> str:
    most = max(row.versus.interval.values if row.versus else 0 for row in rows)
    return counted(most, "seed")


def counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def significance_note() -> str:
    """What “significant” means, for the pages."""
    return (
        "Intervals are Student's t over seeds, at 95 %. Significant: p <"
        f" {SIGNIFICANT:g} in a paired t-test over seeds, after Holm's correction for the variants"
        " of the study. Validation accuracy is what a choice looks at; test accuracy is only"
        " reported."
    )
