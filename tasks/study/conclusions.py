"""Sentences that follow from the numbers by rule; no claim without support of the intervals."""

from collections.abc import Callable, Sequence
from math import exp

from tasks.report.formatting import two_decimal_percent
from tasks.statistics import SIGNIFICANT, Interval, clopper_pearson, deviation_interval
from tasks.study.answer import Row, StudyAnswer, compare
from tasks.study.decide import SAME_ACCURACY, SAME_TIME, Comparison, Look

SAME_POINTS = f"{100 * SAME_ACCURACY:g}"
"""Points below which accuracies count as the same, as text."""
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
    """Say of each variant which way its comparison with the first one ended."""
    first, others = rows[0], [row for row in rows[1:] if row.versus]
    better = [row for row in others if verdict(row) == "higher"]
    worse = [row for row in others if verdict(row) == "lower"]
    same = [row for row in others if verdict(row) == "same"]
    open_ones = [row for row in others if verdict(row) == "undecided"]
    sentences = failures_to_train(rows)
    for word, found in (("Better", better), ("Worse", worse)):
        if found:
            found.sort(key=lambda row: -abs(gain(row)))
            sentences.append(
                f"{word} than “{first.variant}”: {listed([by_how_much(row) for row in found])}."
            )
    if same:
        names = listed([f"“{row.variant}”, {with_interval(row)}" for row in same])
        sentences.append(f"The same as “{first.variant}” within {SAME_POINTS} points: {names}.")
    if open_ones:
        names = listed([undecided(row) for row in open_ones])
        sentences.append(f"Undecided against “{first.variant}”: {names}.")
    return sentences


def failures_to_train(rows: Sequence[Row]) -> list[str]:
    """Say which variants fail to train, with how many seeds."""
    return [failure_to_train(row) for row in rows if row.failed]


def failure_to_train(row: Row) -> str:
    """Say with how many seeds a variant fails to train, with the exact interval of the share."""
    low, high = clopper_pearson(row.failed, len(row.done))
    rest = (
        "its other runs are compared without them" if row.trained else "nothing is left to compare"
    )
    return (
        f"“{row.variant}” fails to train with {row.failed} of {counted(len(row.done), 'seed')}"
        f" (95 % interval of the share {low:.0%} to {high:.0%}): there is a class that the network"
        f" never predicts; {rest}."
    )


def verdict(row: Row) -> str | None:
    """Return what is claimed about the accuracy of a variant; None if nothing was compared."""
    return row.versus.verdict if row.versus else None


def undecided(row: Row) -> str:
    """Return an undecided comparison as text, with the number of seeds that would decide it."""
    assert row.versus
    further = counted(row.versus.further, "further seed")
    return f"“{row.variant}”, {with_interval(row)}; about {further} would decide it"


def costs(rows: Sequence[Row]) -> list[str]:
    """Compare the time of the variants that do other work than the first one."""
    first = rows[0]
    timed = [row for row in rows[1:] if row.costs != first.costs and row.time]
    return (
        [f"Of “{first.variant}”, {listed([cost(row, first) for row in timed])}."] if timed else []
    )


def cost(row: Row, first: Row) -> str:
    """Return the work of a variant as text, counted and measured."""
    assert row.time
    text = f"an iteration of “{row.variant}” takes {time_as_text(row.time)}"
    if row.costs and first.costs and row.costs.multiply_adds != first.costs.multiply_adds:
        share = row.costs.multiply_adds / first.costs.multiply_adds
        text += f" for {share:.2g} times the multiply-adds"
    return text


def time_as_text(time: Comparison) -> str:
    """Return a comparison of times as text."""
    interval = time.interval
    text = f"{exp(interval.mean):.2f} times the processor time"
    if interval.low is not None and interval.high is not None:
        text += f" (95 % interval {exp(interval.low):.2f} to {exp(interval.high):.2f})"
    if time.verdict == "same":
        return f"the same processor time within {exp(SAME_TIME) - 1:.0%}, {text}"
    if time.verdict == "undecided":
        return f"{text}, undecided: about {counted(time.further, 'further seed')} would decide it"
    return text


def same_weights(first: Row, second: Row) -> str:
    """Say for how many seeds two runs ended with the same weights."""
    pairs = [(a, b) for a, b in zip(first.results, second.results, strict=True) if a and b]
    same = sum(a.weights == b.weights for a, b in pairs)
    if same == len(pairs):
        seeds = f"{len(pairs)} of {counted(len(pairs), 'seed')}"
        return f"with {seeds} a second run ended with the weights of the first, bit for bit"
    return f"with {len(pairs) - same} of {counted(len(pairs), 'seed')} it ended with other weights"


def standard_deviation(row: Row) -> str:
    """Return the standard deviation of the test accuracy between seeds, with its interval."""
    found = deviation_interval([result.test for result in row.trained])
    text = f"{100 * found.mean:.2f} points"
    if found.mean and found.low is not None and found.high is not None:
        text += f" (95 % interval {100 * found.low:.2f} to {100 * found.high:.2f})"
    return text


def in_both_orders(
    pooled_first: Row, other: Row, same_function: bool, looks: Sequence[Look]
) -> str:
    """Say how the results of the two orders of pooling and activation differ, and their costs.

    Args:
        pooled_first: row of pooling before the activation.
        other: row of the other order.
        same_function: whether both orders give the same outputs with the same weights: max-pooling
            with an activation that keeps the order of values. Then training differs only by
            rounding: gradients are sums over different numbers of values.
        looks: the looks of the study.
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
    if same_function and same_weights < len(pairs):
        result = f"the same function, but gradients are summed in another order, and {result}"
    time = compare([pooled_first, other], looks)[1].time
    cost = f"an iteration takes {time_as_text(time)}" if time else "its time was not measured"
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
    small = f", by less than {SAME_POINTS}" if row.versus.same < SIGNIFICANT else ""
    return f"“{row.variant}” by {with_interval(row)}{small}"


def with_interval(row: Row) -> str:
    """Return the difference of a variant as text: +0.12 points (95 % interval +0.02 to +0.22)."""
    assert row.versus
    return f"{points(gain(row))}{interval_text(row.versus)}"


def interval_text(versus: Comparison) -> str:
    """Return the interval of a difference as text, if it has one."""
    low, high = versus.interval.low, versus.interval.high
    if low is None or high is None:
        return ""
    return f" (95 % interval {signed_hundredths(low)} to {signed_hundredths(high)})"


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


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, in the plural unless it is 1."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """Join parts to a list in a sentence: a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def significance_note() -> str:
    """Return the explanation of intervals and of claims for the pages."""
    return (
        "A variant is better or worse, or the same within"
        f" {SAME_POINTS} points, if an exact test says so: by flips of the signs of the differences"
        " by seed, or by permutations where seeds are few. Of all studies, at most"
        f" {SIGNIFICANT:.0%} claim a difference that is not there, at most {SIGNIFICANT:.0%} an"
        " equality that is not there, however often they have looked (Holm's correction for the"
        " variants, a share of the error probability for each look). Intervals are at 95 %, each by"
        " itself. Choices depend on validation accuracy; test accuracy is only reported."
    )
