"""Sentences that follow from the numbers by rule; no claim without support of the intervals."""

from collections.abc import Callable, Sequence

from tasks.report.formatting import two_decimal_percent
from tasks.statistics import SIGNIFICANT, Difference, Interval, ratio
from tasks.study.answer import Row, StudyAnswer

MINUS = "\N{MINUS SIGN}"


def conclude(
    answer: StudyAnswer, rule: Callable[[StudyAnswer, Sequence[Row]], list[str]]
) -> tuple[str, ...]:
    """Return the sentences that answer a study.

    Args:
        answer: numbers of the study.
        rule: rule of the study, for the rows with results.
    """
    rows = [row for row in answer.rows if row.done]
    if not rows or rows[0] is not answer.rows[0]:
        return ("The reference variant has no result, so no conclusion is possible.",)
    sentences = rule(answer, rows)
    if answer.missing:
        total = sum(len(row.results) for row in answer.rows)
        sentences.append(f"{answer.missing} of {total} runs are missing.")
    return tuple(sentences)


def compare_and_count_costs(_answer: StudyAnswer, rows: Sequence[Row]) -> list[str]:
    """Say which variants are better or worse than the first one, and what they cost."""
    return [*differences(rows), *costs(rows)]


def differences(rows: Sequence[Row]) -> list[str]:
    """Say which test accuracies differ from the first variant's, and which do not."""
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
    sentences = []
    for which, found in (("better", better), ("worse", worse)):
        if found:
            sentences.append(
                f"Significantly {which} than “{first.variant}”:"
                f" {listed([by_how_much(row) for row in found])}."
            )
    if rest:
        names = listed([f"“{row.variant}” ({points(gain(row))})" for row in rest])
        sentences.append(
            f"With {seeds(others)}, no difference from “{first.variant}” can be claimed for"
            f" {names}."
        )
    return sentences


def costs(rows: Sequence[Row]) -> list[str]:
    """Compare the slowest and the fastest variant with the first one, if the interval excludes 1.

    A network with the same costs as the first one is left out: its difference in time comes from
    other load of the machine.
    """
    first = rows[0]
    timed = [
        row
        for row in rows[1:]
        if row.costs != first.costs and row.time_ratio and row.time_ratio.excludes(1.0)
    ]
    sentences = []
    for row in ends(timed):
        assert row.time_ratio
        counted = ""
        if row.costs and first.costs and row.costs.multiply_adds != first.costs.multiply_adds:
            share = row.costs.multiply_adds / first.costs.multiply_adds
            counted = f", for {share:.2g} times the multiply-adds"
        sentences.append(
            f"An iteration of “{row.variant}” takes {times(row.time_ratio)} the processor time of"
            f" one of “{first.variant}”{counted}."
        )
    return sentences


def ends(timed: Sequence[Row]) -> list[Row]:
    """Return the fastest row below the first variant's time and the slowest above it."""
    ordered = sorted(timed, key=lambda row: row.time_ratio.mean if row.time_ratio else 1.0)
    fast = [row for row in ordered[:1] if row.time_ratio and row.time_ratio.mean < 1]
    slow = [row for row in ordered[-1:] if row.time_ratio and row.time_ratio.mean > 1]
    return [*fast, *slow]


def same_weights(first: Row, second: Row) -> str:
    """Say for how many seeds two runs ended with the same weights."""
    pairs = [(a, b) for a, b in zip(first.results, second.results, strict=True) if a and b]
    same = sum(a.weights == b.weights for a, b in pairs)
    if same == len(pairs):
        seeds = f"{len(pairs)} of {counted(len(pairs), 'seed')}"
        return f"with {seeds} a second run ended with the weights of the first, bit for bit"
    return f"with {len(pairs) - same} of {counted(len(pairs), 'seed')} it ended with other weights"


def standard_deviation(row: Row) -> str:
    """Return the sample standard deviation of the test accuracy, as text."""
    values = [result.test for result in row.done]
    mean = sum(values) / len(values)
    deviation = (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5
    return f"{100 * deviation:.2f} points"


def in_both_orders(pooled_first: Row, other: Row, same_function: bool) -> str:
    """Say how the results of the two orders of pooling and activation differ, and their costs.

    Args:
        pooled_first: row of pooling before the activation.
        other: row of the other order.
        same_function: whether both orders give the same outputs with the same weights: max-pooling
            with an activation that keeps the order of values. Then training differs only by
            rounding: gradients are sums over different numbers of values.
    """
    pairs = [(a, b) for a, b in zip(pooled_first.results, other.results, strict=True) if a and b]
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


def gain(row: Row) -> float:
    """Return the mean gain of test accuracy against the first variant."""
    return row.versus.interval.mean if row.versus else 0.0


def by_how_much(row: Row) -> str:
    """Return name and difference of a variant, as text."""
    assert row.versus
    return f"“{row.variant}” by {difference(row.versus)}"


def difference(versus: Difference) -> str:
    """Return a difference as text: 0.12 points (95 % interval 0.02 to 0.22; p = 0.03)."""
    interval, sign = versus.interval, 1 if versus.interval.mean >= 0 else -1
    low, high = sorted((sign * (interval.low or 0.0), sign * (interval.high or 0.0)))
    return (
        f"{abs(100 * interval.mean):.2f} points"
        f" (95 % interval {signed(low)} to {signed(high)}; {p_value(versus)})"
    )


def signed(share: float) -> str:
    """Return a share in points, with a sign only if it is negative."""
    return signed_hundredths(share).removeprefix("+")


def p_value(versus: Difference) -> str:
    """Return a p-value as text."""
    if versus.p is None:
        return "no p-value"
    return "p < 0.001" if versus.p < 0.001 else f"p = {versus.p:.2g}"


def points(share: float) -> str:
    """Return a share as points of a percentage: 0.0012 → +0.12 points."""
    return f"{signed_hundredths(share)} points"


def signed_hundredths(share: float) -> str:
    """Return a share in hundredths with its sign: 0.0012 → +0.12; zero has no sign."""
    hundredths = round(10_000 * share)
    return f"{hundredths / 100:+.2f}".replace("-", MINUS) if hundredths else "0.00"


def accuracy_with_interval(interval: Interval) -> str:
    """Return an accuracy as text: 99.09 % (95 % interval 98.98 % to 99.20 %, 5 seeds)."""
    if interval.low is None or interval.high is None:
        return f"{two_decimal_percent(interval.mean)} (one seed, no interval)"
    return (
        f"{two_decimal_percent(interval.mean)} (95 % interval {two_decimal_percent(interval.low)}"
        f" to {two_decimal_percent(min(1.0, interval.high))}, {interval.values} seeds)"
    )


def times(interval: Interval) -> str:
    """Return a ratio as text: 2.81 times (95 % interval 2.70 to 2.93)."""
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.2f} times (one seed, no interval)"
    return f"{interval.mean:.2f} times (95 % interval {interval.low:.2f} to {interval.high:.2f})"


def seeds(rows: Sequence[Row]) -> str:
    """Return the largest number of seeds that were compared, as text."""
    most = max(row.versus.interval.values if row.versus else 0 for row in rows)
    return counted(most, "seed")


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, in the plural unless it is 1."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """Join parts to a list in a sentence: a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def significance_note() -> str:
    """Return the explanation of intervals and of “significant” for the pages."""
    return (
        "Intervals are Student's t over seeds, at 95 %. Significant: p <"
        f" {SIGNIFICANT:g} in a paired t-test over seeds, after Holm's correction for the variants"
        " of the study. Choices depend on validation accuracy; test accuracy is only reported."
    )
