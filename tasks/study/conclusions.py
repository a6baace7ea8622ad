"""Sentences that follow from the numbers by rule: an answer, the numbers, and the reasons."""

from collections.abc import Callable, Sequence
from math import exp, sqrt

from tasks.statistics import (
    SIGNIFICANT,
    Interval,
    clopper_pearson,
    deviation_interval,
    wilson_interval,
)
from tasks.study.answer import Conclusion, Row, StudyAnswer
from tasks.study.decide import SAME_ACCURACY, SAME_TIME, Comparison
from tasks.words import joined, percent, plural

MINUS = "\N{MINUS SIGN}"
SAME_POINTS = f"{100 * SAME_ACCURACY:g} points"
"""Difference below which accuracies count as the same, as text."""


def conclude(
    answer: StudyAnswer, rule: Callable[[StudyAnswer, Sequence[Row]], Conclusion]
) -> Conclusion:
    """Return the sentences that answer a study.

    Args:
        answer: numbers of the study.
        rule: rule of the study, for the rows with results.
    """
    rows = [row for row in answer.rows if row.done]
    if not rows or rows[0] is not answer.rows[0]:
        return Conclusion(answer="The first variant has no result, so there is no answer.")
    made = rule(answer, rows)
    if answer.missing:
        total = sum(len(row.results) for row in answer.rows)
        missing = f"{answer.missing} of {total} runs are missing."
        made = made.model_copy(update={"numbers": (*made.numbers, missing)})
    return made


def compare_with_first(_answer: StudyAnswer, rows: Sequence[Row]) -> Conclusion:
    """Say which variants are better or worse than the first one, and what they cost."""
    return Conclusion(
        answer=plain_answer(rows), numbers=numbers_of(rows), reasons=tuple(fit_and_size(rows))
    )


def plain_answer(rows: Sequence[Row]) -> str:
    """Say in plain words how each comparison with the first variant ended."""
    first = f"“{rows[0].variant}”"
    sentences = []
    for kind, (one, many) in PLAIN.items():
        found = [row for row in rows[1:] if verdict(row) == kind]
        words = one if len(found) == 1 else many
        if found:
            seeds = plural(max(len(row.results) for row in found), "seed")
            names = joined([f"“{row.variant}”" for row in found])
            sentences.append(f"{names} {words.format(first=first, seeds=seeds)}")
    if len(rows) == 2 and sentences:
        sentences[-1] += how_much(rows[1], rows[0])
    for most, share in ((True, "most"), (False, "some")):
        failing = [f"“{row.variant}”" for row in rows if row.failed and row.mostly_fails == most]
        if failing:
            verb = "fails" if len(failing) == 1 else "fail"
            sentences.append(f"{joined(failing)} {verb} to train with {share} seeds")
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences) or (
        "Nothing was compared."
    )


def how_much(row: Row, first: Row) -> str:
    """Return the size of a difference and what it costs, to end the sentence about it."""
    parts = []
    if verdict(row) in ("higher", "lower"):
        parts.append(f"by {without_sign(abs(gain(row)))} points")
    if row.time and row.time.verdict in ("higher", "lower") and row.costs != first.costs:
        parts.append(f"and an iteration takes {times_as_long(row.time)}")
    return "".join(f", {part}" for part in parts)


PLAIN = {
    "higher": ("is more accurate than {first}", "are more accurate than {first}"),
    "lower": ("is less accurate than {first}", "are less accurate than {first}"),
    "same": (
        f"is as accurate as {{first}}, within {SAME_POINTS}",
        f"are as accurate as {{first}}, within {SAME_POINTS}",
    ),
    "undecided": (
        "against {first} is undecided after {seeds}",
        "against {first} are undecided after {seeds}",
    ),
}
"""Words for what is claimed about one variant, and about several."""


def numbers_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the numbers of all comparisons, and what the variants cost."""
    return (*failures_to_train(rows), *differences(rows), *costs(rows))


def differences(rows: Sequence[Row]) -> list[str]:
    """Return the difference of each variant from the first one, by what is claimed."""
    first, others = rows[0], [row for row in rows[1:] if row.versus]
    groups = (
        ("higher", f"Better than “{first.variant}”"),
        ("lower", f"Worse than “{first.variant}”"),
        ("same", f"The same as “{first.variant}” within {SAME_POINTS}"),
        ("undecided", f"Undecided against “{first.variant}”"),
    )
    sentences = []
    for kind, words in groups:
        found = sorted(
            (row for row in others if verdict(row) == kind), key=lambda row: -abs(gain(row))
        )
        if found:
            sentences.append(f"{words}: {'; '.join(by_how_much(row) for row in found)}.")
    return sentences


def failures_to_train(rows: Sequence[Row]) -> list[str]:
    """Say which variants fail to train, with how many seeds."""
    return [failure_to_train(row) for row in rows if row.failed]


def failure_to_train(row: Row) -> str:
    """Say with how many seeds a variant fails to train, with the exact interval of the share."""
    low, high = (100 * share for share in clopper_pearson(row.failed, len(row.done)))
    if not row.trained:
        rest = "nothing is left to compare"
    elif row.mostly_fails:
        rest = "its other runs are too few to compare"
    else:
        rest = "its other runs are compared without them"
    return (
        f"“{row.variant}” fails to train with {row.failed} of {plural(len(row.done), 'seed')}"
        f" (95 % interval of the share {low:.0f} to {high:.0f} %): there is a class that it"
        f" never predicts; {rest}."
    )


def verdict(row: Row) -> str | None:
    """Return what is claimed about the accuracy of a variant; None if nothing was compared."""
    return row.versus.verdict if row.versus else None


def by_how_much(row: Row) -> str:
    """Return name and difference of a variant as text, and what would decide it."""
    assert row.versus
    text = f"“{row.variant}” by {difference_text(row.versus)}"
    if row.versus.verdict == "undecided":
        return f"{text}, about {plural(row.versus.further, 'further seed')} would decide it"
    if row.versus.verdict != "same" and row.versus.same < SIGNIFICANT:
        return f"{text}, which is less than {SAME_POINTS}"
    return text


def costs(rows: Sequence[Row]) -> list[str]:
    """Compare the time of the variants that do other work than the first one.

    Of more than three, the fastest and the slowest are named; the table has them all.
    """
    first = rows[0]
    timed = [row for row in rows[1:] if row.costs != first.costs and row.time]
    if not timed:
        return []
    if len(timed) > 3:
        timed.sort(key=lambda row: row.time.interval.mean if row.time else 0.0)
        timed = [timed[0], timed[-1]]
    named = "; ".join(f"“{row.variant}” {cost(row, first)}" for row in timed)
    return [f"An iteration takes, compared with “{first.variant}”: {named}."]


def cost(row: Row, first: Row) -> str:
    """Return the work of a variant as text, counted and measured."""
    assert row.time
    text = time_as_text(row.time)
    if row.costs and first.costs and row.costs.multiply_adds != first.costs.multiply_adds:
        times = multiple(row.costs.multiply_adds, first.costs.multiply_adds)
        text += f", for {times} the multiply-adds"
    return text


def multiple(number: float, of: float) -> str:
    """Return a ratio as text: 2.50 times."""
    return f"{number / of:.2f} times"


def times_as_long(time: Comparison) -> str:
    """Return a ratio of times as text."""
    return f"{exp(time.interval.mean):.2f} times the processor time"


def time_as_text(time: Comparison) -> str:
    """Return a comparison of times as text."""
    interval = time.interval
    text = times_as_long(time)
    if interval.low is not None and interval.high is not None:
        text += f" (95 % interval {exp(interval.low):.2f} to {exp(interval.high):.2f})"
    if time.verdict == "same":
        return f"{text}, the same within {100 * exp(SAME_TIME) - 100:.0f} %"
    if time.verdict == "undecided":
        return f"{text}, undecided (about {plural(time.further, 'further seed')} would decide it)"
    return text


def fit_and_size(rows: Sequence[Row]) -> list[str]:
    """Say how well each variant fits the training images, and how many parameters it has."""
    first = rows[0]
    sentences = []
    fitted = [(row, fit) for row in rows if (fit := training_accuracy(row)) is not None]
    if len(fitted) > 1:
        named = "; ".join(f"“{row.variant}” {percent(fit)}" for row, fit in fitted)
        sentences.append(f"Of the training images, the first seed's networks get right: {named}.")
        sentences += under_and_overfitting(fitted)
    sized = [
        row
        for row in rows[1:]
        if row.costs and first.costs and row.costs.parameters != first.costs.parameters
    ]
    if sized and first.costs:
        named = "; ".join(f"“{row.variant}” {row.costs.parameters:,}" for row in sized if row.costs)
        sentences.append(f"Parameters: “{first.variant}” {first.costs.parameters:,}; {named}.")
    return sentences


def under_and_overfitting(fitted: Sequence[tuple[Row, float]]) -> list[str]:
    """Say whether the variants that are less accurate fit the training images less well, too.

    Args:
        fitted: rows and their accuracies on the training images, the reference first.
    """
    (first, its_fit), *others = fitted
    worse = [(f"“{row.variant}”", fit) for row, fit in others if verdict(row) == "lower"]
    less = [name for name, fit in worse if fit < its_fit]
    more = [name for name, fit in worse if fit > its_fit]
    sentences = []
    if less:
        sentences.append(
            f"Less accurate on the training images as well, so not for overfitting: {joined(less)}."
        )
    if more:
        sentences.append(
            f"More accurate on the training images than “{first.variant}” and less on others, which"
            f" is overfitting: {joined(more)}."
        )
    return sentences


def training_accuracy(row: Row) -> float | None:
    """Return the mean accuracy on the training images, of the runs that have it."""
    values = [result.training for result in row.trained if result.training is not None]
    return sum(values) / len(values) if values else None


def pareto_front(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that no other equals with fewer parameters, by validation accuracy."""
    sized = sorted(
        (row.costs.parameters, -row.validation.mean, n)
        for n, row in enumerate(rows)
        if row.costs and row.validation
    )
    front, best = [], 1.0
    for _, error, n in sized:
        if error < best:
            front.append(rows[n])
            best = error
    return front


def mean_curve(row: Row) -> list[tuple[int, float]]:
    """Return the validation accuracy by iterations, averaged over the seeds that have trained."""
    curves = [result.curve for result in row.trained]
    return [
        (of[0].iteration, sum(point.validation for point in of) / len(of))
        for of in zip(*curves, strict=True)
    ]


def same_weights(first: Row, second: Row) -> tuple[int, int]:
    """Return for how many seeds two variants ended with the same weights, and of how many."""
    pairs = [(a, b) for a, b in zip(first.results, second.results, strict=False) if a and b]
    return sum(a.weights == b.weights for a, b in pairs), len(pairs)


def deviation(row: Row) -> Interval | None:
    """Return the standard deviation of the test accuracy between seeds; None for one seed."""
    values = [result.test for result in row.trained]
    return deviation_interval(values) if len(values) > 1 else None


def deviation_text(found: Interval) -> str:
    """Return a standard deviation as text: 0.07 points (95 % interval 0.05 to 0.13)."""
    text = f"{100 * found.mean:.2f} points"
    if found.mean and found.low is not None and found.high is not None:
        text += f" (95 % interval {100 * found.low:.2f} to {100 * found.high:.2f})"
    return text


def spread_of_seeds_and_images(row: Row) -> str:
    """Say how much of a test accuracy's spread comes from seeds, and how much from the images."""
    found = deviation(row)
    if found is None or row.test is None:
        return ""
    images = row.trained[0].test_images
    by_images = sqrt(row.test.mean * (1 - row.test.mean) / images)
    return (
        f"The test accuracy of “{row.variant}” has a standard deviation of {deviation_text(found)}"
        f" between seeds, on the same {images:,} images. Between sets of so many images, that of"
        f" one network would have one of {100 * by_images:.2f} points (binomial). Variants are"
        " compared on the same images: what is claimed is about other seeds, not other images."
    )


def gain(row: Row) -> float:
    """Return the mean gain of test accuracy against the first variant."""
    return row.versus.interval.mean if row.versus else 0.0


def difference_text(versus: Comparison) -> str:
    """Return a difference and its interval as text, without a sign where words tell it."""
    sign = -1 if versus.verdict == "lower" else 1
    write = without_sign if versus.verdict in ("higher", "lower") else signed_hundredths
    text = f"{write(sign * versus.interval.mean)} points"
    if versus.interval.low is None or versus.interval.high is None:
        return text
    low, high = sorted((sign * versus.interval.low, sign * versus.interval.high))
    return f"{text} (95 % interval {write(low)} to {write(high)})"


def points(share: float) -> str:
    """Return a share as points of a percentage: 0.0012 → +0.12 points."""
    return f"{signed_hundredths(share)} points"


def signed_hundredths(share: float) -> str:
    """Return a share in hundredths with its sign: 0.0012 → +0.12; zero has no sign."""
    hundredths = round(10_000 * share)
    return f"{hundredths / 100:+.2f}".replace("-", MINUS) if hundredths else "0.00"


def without_sign(share: float) -> str:
    """Return a share in hundredths without a plus: 0.0012 → 0.12."""
    return signed_hundredths(share).removeprefix("+")


def accuracy_with_interval(interval: Interval) -> str:
    """Return an accuracy as text: 99.09 % (95 % interval 98.98 % to 99.20 %, 5 seeds)."""
    if interval.low is None or interval.high is None:
        return f"{percent(interval.mean)} (one seed, no interval)"
    return (
        f"{percent(interval.mean)} (95 % interval {percent(interval.low)}"
        f" to {percent(min(1.0, interval.high))}, {interval.values} seeds)"
    )


def with_both_intervals(row: Row) -> str:
    """Return a test accuracy with its intervals over seeds, and over images to come."""
    assert row.test
    images = row.trained[0].test_images
    low, high = wilson_interval(round(row.test.mean * images), images)
    return (
        f"{accuracy_with_interval(row.test)} on these images; for images to come, seeds aside, the"
        f" 95 % interval is {percent(low)} to {percent(high)}"
    )


def significance_note() -> str:
    """Return the explanation of intervals and of claims for the pages."""
    share = f"{100 * SIGNIFICANT:g} %"
    return (
        f"A variant is better or worse, or the same within {SAME_POINTS}, if an exact test says so:"
        " by flips of the signs of the differences by seed, or by permutations where seeds are few."
        f" Of all studies, at most {share} claim a difference that is not there, and at most"
        f" {share} an equality that is not there, however often they have looked (Holm's correction"
        " for the variants, a share of the error probability for each look). A run fails to train"
        " if there is a class that it never predicts. Intervals are at 95 %, each by itself."
        " Choices depend on validation accuracy; test accuracy is only reported."
    )
