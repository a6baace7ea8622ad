"""Tests of the conclusions of studies."""

import re

from helpers.made_up import BASE, MANY, answer, result, row, text_of

from tasks.model.costs import Costs
from tasks.records import Probe
from tasks.study.answer import Candidate, Row
from tasks.study.conclusions import MINUS, signed_hundredths
from tasks.study.exercises import POOLING_ORDERS
from tasks.study.result import CurvePoint, RunResult

NBSP = "\N{NO-BREAK SPACE}"


def test_difference_is_stated_with_its_size() -> None:
    made = answer(row("none", MANY), row("half", [n + 50 for n in MANY])).conclusion
    assert made.answer == "“half” is more accurate than “none”, by 0.50 points."
    assert made.numbers == (
        "Better than “none”: “half” by 0.50 points (95 % interval 0.50 to 0.50).",
    )
    made = answer(row("none", MANY), row("half", [n - 99 for n in MANY])).conclusion
    assert made.answer == "“half” is less accurate than “none”, by 0.99 points."
    assert made.numbers[0].startswith(
        "Worse than “none”: “half” by 0.99 points (95 % interval 0.99"
    )


def test_equality_is_stated_only_if_it_is_certain() -> None:
    made = answer(row("none", MANY), row("half", MANY), row("third", MANY)).conclusion
    assert made.answer == "“half” and “third” are as accurate as “none”, within 0.1 points."
    assert "“half” by 0.00 points (95 % interval 0.00 to 0.00)" in made.numbers[0]
    partly = [*MANY[:7], *(n + 30 for n in MANY[7:])]
    made = answer(row("none", MANY), row("half", partly)).conclusion
    assert made.answer == "“half” against “none” is undecided after 12 seeds."


def test_undecided_comparison_has_the_number_of_further_seeds() -> None:
    text = text_of(row("none", BASE), row("half", [9990, 9850, 9930]))
    assert re.search(
        r"Undecided against “none”: “half” by \+0.18 points .*, about \d+ further seeds would"
        r" decide it\.",
        text,
    )


def test_variant_that_fails_to_train_is_named_and_compared_without_those_runs() -> None:
    ruined = [result(8900, never_predicted=1) if n % 4 == 0 else n + 9890 for n in range(12)]
    made = answer(row("none", MANY), row("half", ruined))
    assert "“half” fails to train with some seeds." in made.conclusion.answer
    text = " ".join(made.conclusion.numbers)
    assert "“half” fails to train with 3 of 12 seeds (95 % interval of the share 5 to 57 %)" in text
    assert "its other runs are compared without them" in text
    mean = made.rows[1].test
    assert mean and mean.mean > 0.98 and mean.values == 9
    assert made.rows[1].versus and made.rows[1].versus.interval.values == 9


def test_variant_that_always_fails_is_not_compared() -> None:
    text = text_of(row("none", MANY), row("half", [result(1000, never_predicted=9)] * 12))
    assert "fails to train with 12 of 12 seeds" in text
    assert "nothing is left to compare" in text
    assert "ndecided" not in text


def test_few_runs_of_a_variant_that_mostly_fails_are_not_compared() -> None:
    ruined = [result(8900, never_predicted=1) if n < 10 else 9870 + 60 * n for n in range(12)]
    made = answer(row("none", MANY), row("half", ruined))
    assert made.rows[1].versus is None
    assert made.rows[1].decided
    assert made.conclusion.answer == "“half” fails to train with most seeds."
    assert "with 10 of 12 seeds" in made.conclusion.numbers[0]
    assert made.conclusion.numbers[0].endswith("its other runs are too few to compare.")


def test_zero_difference_has_no_sign() -> None:
    assert [signed_hundredths(share) for share in (0.0012, -0.0012, 0.0, -0.00004)] == [
        "+0.12",
        f"{MINUS}0.12",
        "0.00",
        "0.00",
    ]


def test_single_seed_decides_nothing() -> None:
    text = text_of(row("none", [9000]), row("half", [9950]))
    assert "“half” against “none” is undecided" in text
    assert "“half” by +9.50 points, about " in text


def test_time_is_stated_with_the_multiply_adds() -> None:
    slow = [result(right, 3 * 10.0 + n / 10) for n, right in enumerate(MANY)]
    costs = Costs(parameters=1000, multiply_adds=20_000, activations=100)
    text = text_of(row("pooled", MANY), row("not pooled", slow, costs=costs))
    assert "“not pooled” 3.05 times the processor time (95 % interval" in text
    assert "for 2.00 times the multiply-adds." in text
    assert re.match(
        r"“not pooled” is .*, and an iteration takes 3.05 times the processor time", text
    )
    assert "processor time" not in text_of(row("pooled", MANY), row("the same work", slow))
    unsure = [result(right, (6.0, 20.0, 13.0)[n % 3]) for n, right in enumerate(MANY)]
    text = text_of(row("pooled", MANY), row("not pooled", unsure, costs=costs))
    assert re.search(r"undecided \(about \d+ further seeds would decide it\), for 2.00 times", text)
    equal = [result(right, 10.1) for right in MANY]
    text = text_of(row("pooled", MANY), row("not pooled", equal, costs=costs))
    assert "1.01 times the processor time" in text
    assert "more" not in text


def test_less_accurate_variants_overfit_or_have_learned_less() -> None:
    def fitted(name: str, off: int, training: float) -> Row:
        return row(name, [result(n - off, training=training) for n in MANY])

    text = text_of(
        fitted("as it is", 0, 0.99),
        fitted("few", 50, 0.98),
        fitted("many", 50, 0.999),
        name="more-layers",
    )
    assert "as well, so not for overfitting: “few”." in text
    assert "than “as it is” and less on others, which is overfitting: “many”." in text
    text = text_of(fitted("as it is", 0, 0.99), fitted("equal", 0, 0.98), name="more-layers")
    assert "overfitting:" not in text


def test_missing_runs_are_counted_and_excluded() -> None:
    made = answer(row("none", BASE), row("half", ["no memory", 9950, 9956]))
    assert "1 of 6 runs are missing." in made.conclusion.numbers
    assert made.rows[1].failures == ("no memory",)
    assert made.rows[1].test and made.rows[1].test.values == 2
    text = text_of(row("none", ["no memory"] * 3), row("half", BASE))
    assert text == "The first variant has no result, so there is no answer."


def test_repeatability_compares_weights() -> None:
    rows = [row("once", BASE), row("again", BASE)]
    text = text_of(*rows, name="repeat")
    assert text.startswith("Yes, bit for bit, with the same seed.")
    assert "A second run ended with the same weights for 3 of 3 seeds." in text
    other = [result(9900), result(9905, weights="other"), result(9911)]
    text = text_of(row("once", BASE), row("again", other), name="repeat")
    assert text.startswith("No, with the same seed.")
    assert "A second run ended with the same weights for 2 of 3 seeds." in text
    assert "all at once 0.06 points (95 % interval 0.03 to 0.35)" in text


def test_sources_of_randomness_are_named_with_their_spread() -> None:
    text = text_of(
        row("once", BASE),
        row("only the initial weights differ", BASE),
        row("only the order of images differs", [9905] * 3),
        name="repeat",
    )
    assert text.startswith(
        "Randomness comes from the initial weights (0.06 points) and from the order of images"
        " (0.00 points):"
    )


def test_spread_of_seeds_stands_beside_that_of_the_images() -> None:
    text = text_of(row("once", MANY), name="repeat")
    assert "“once” has a standard deviation of 0.05 points (95 % interval 0.04 to 0.09)" in text
    # A binomial share of 99 % of 10,000: (0.99 x 0.01 / 10,000)^0.5.
    assert "would have one of 0.10 points (binomial)" in text


def test_rounding_of_another_number_of_threads_is_measured() -> None:
    moved = [result(right + 3, weights=f"t{right}") for right in BASE]
    text = text_of(row("once", BASE), row("with one thread", moved), name="repeat")
    assert text.startswith("One thread instead of two ends with other weights.")
    assert "A run with one thread instead of two ended with the same weights for 0 of 3" in text
    assert "moves the test accuracy by 0.03 points on average, 0.03 at most." in text


def test_learning_curve_is_given_up_to_the_longer_run() -> None:
    def run(right: int, points: int, training: float) -> RunResult:
        curve = [CurvePoint(iteration=100 * n, validation=0.9 + n / 100) for n in range(1, points)]
        return result(right, iterations=100 * points, curve=tuple(curve), training=training)

    once = row("once as long", [run(right, 3, 0.97) for right in MANY])
    twice = row("twice as long", [run(right + 20, 5, 0.99) for right in MANY])
    text = text_of(once, twice, name="longer")
    assert text.startswith("Yes. “twice as long” is more accurate than “once as long”, by 0.20 po")
    assert "100: 91.00\N{NO-BREAK SPACE}%; 200: 92.00" in text
    assert "400: 94.00" in text
    assert "there was something left to learn" in text
    worse = row("twice as long", [run(right + 20, 5, 0.96) for right in MANY])
    assert "nothing more was learned" in text_of(once, worse, name="longer")


def test_validation_chooses_the_learning_rate() -> None:
    good_on_test = row("one cycle up to 0.002", [result(n + 50, validation=0.9) for n in MANY])
    chosen = row("one cycle up to 0.01", [result(n, validation=0.99) for n in MANY])
    text = text_of(chosen, good_on_test, name="learning-rate")
    assert text.startswith("For one cycle, validation chooses “one cycle up to 0.01”")


def test_the_ends_of_a_grid_of_rates_say_why_they_are_worse() -> None:
    def rate(name: str, validation: float, training: float) -> Row:
        return row(name, [result(n, validation=validation, training=training) for n in MANY])

    best = rate("one cycle up to 0.01", 0.99, 0.995)
    low, high = rate("one cycle up to 0.001", 0.98, 0.985), rate("one cycle up to 0.04", 0.97, 0.99)
    text = text_of(best, low, high, name="learning-rate")
    assert f"“one cycle up to 0.001” gets 1.50{NBSP}% wrong, that of" in text
    assert f"0.50{NBSP}%: at so low a rate, there is more left to learn." in text
    assert f"“one cycle up to 0.04” gets 1.00{NBSP}% wrong, that of" in text
    fitted = rate("one cycle up to 0.04", 0.97, 0.996)
    assert "so high a rate" not in text_of(best, fitted, name="learning-rate")


def test_front_of_shapes_holds_those_that_no_smaller_one_equals() -> None:
    def shape(name: str, parameters: int, right: int) -> Row:
        costs = Costs(parameters=parameters, multiply_adds=10, activations=10)
        return row(name, [right] * 3, costs=costs)

    rows = shape("as it is", 200, 9900), shape("small", 100, 9800), shape("bad", 150, 9790)
    text = text_of(*rows, name="layer-shapes")
    front = text.partition("higher validation accuracy than: ")[2].partition(".\n")[0]
    assert "“small” 100 (98.00" in front
    assert "“as it is” 200" in front
    assert "“bad” 150 (" not in front


def test_orders_of_pooling_and_activation_are_compared_by_logits_and_weights() -> None:
    def run(right: int, logit: float, gradient: float = 0.01, weights: str = "w") -> RunResult:
        probe = Probe(
            images=1024,
            logits=f"{logit}",
            first_logits=(0.1, logit),
            layers=("conv1", "conv2", "fc1", "fc2"),
            gradients=(gradient, 0.1, 0.1, 0.1),
        )
        return result(right, probe=probe, weights=weights)

    names = [variant.name for pair in POOLING_ORDERS for variant in pair[:2]]
    costs = Costs(parameters=1000, multiply_adds=10_000, activations=400)
    runs = [
        [run(9900, 1.0), *BASE],
        [run(9900, 1.0), *BASE],
        [run(9700, 2.0, 1e-5), *BASE],
        [run(9700, 2.0 - 2e-7, 1e-5, "other"), *BASE],
        [run(9800, 3.0), *BASE],
        [run(9800, 3.1, weights="other"), *BASE],
    ]
    rows = [row(name, of) for name, of in zip(names, runs, strict=True)]
    rows[1] = rows[1].model_copy(update={"costs": costs})
    made = answer(*rows, name="relu-pooling-order").conclusion
    assert made.answer.startswith(
        "“ReLU, max-pooling” is the same function as “max-pooling, ReLU”. “sigmoid, max-pooling” is"
        " the same function as “max-pooling, sigmoid”. “ReLU, average-pooling” is another function"
        " than “average-pooling, ReLU”. Pooling first is less work: 100 instead of 400 values"
    )
    assert "the same logits, bit for bit, for 1,024 images before training" in made.numbers[0]
    assert "; the same weights after it; 4.00 times" in made.numbers[0]
    assert (
        "logits before training differ by up to 2e-07, which is rounding; other weights after it,"
        " since gradients are rounded differently; " in made.numbers[1]
    )
    assert "logits before training differ by up to 0.1; other weights after it; " in made.numbers[2]
    assert "4.00 times as many values go through the activation" in made.numbers[0]
    assert "through 3 layers, a gradient shrinks to (1/4)^3 = 1/64 or less" in made.reasons[1]
    assert "is 1.0e-05 with sigmoid and 1.0e-02 with ReLU, 0.001 of it" in made.reasons[1]


def test_equal_logits_are_given_as_reason_only_if_more_frequent() -> None:
    dead = [result(right, lowest_classes=8.0) for right in (5000, 3000, 9900)]
    text = text_of(row("as it is", BASE), row("ReLU", dead), name="relu-on-logits")
    assert "8.0 of the classes share the lowest logit" in text
    assert "ReLU makes negative logits zero" in text
    assert "runs that failed" not in text
    text = text_of(row("as it is", BASE), row("ReLU", BASE), name="relu-on-logits")
    assert "makes negative logits zero" not in text
    failing = [result(8000, never_predicted=2), *BASE[1:]]
    text = text_of(row("as it is", BASE), row("ReLU", failing), name="relu-on-logits")
    assert "the runs that failed never predict 2 of the classes" in text


def test_99_percent_is_stated_only_if_the_interval_is_above() -> None:
    high = answer(row("best", [9950, 9956, 9961]), name="how-high").conclusion
    assert high.answer.endswith("with “best”, which validation chooses: above 99 %.")
    assert "99.56\N{NO-BREAK SPACE}% (95 % interval" in high.numbers[0]
    assert "for images to come, seeds aside, the 95 % interval is 99.41" in high.numbers[0]
    unsure = answer(row("best", [9890, 9956, 9861]), name="how-high").conclusion
    assert unsure.answer.endswith("whether the mean is above 99 % is open.")
    low = answer(row("best", [9500, 9506, 9503]), name="how-high").conclusion
    assert low.answer.endswith("below 99 %.")


def test_gap_that_dropout_is_against_is_given() -> None:
    fitted = [result(right, training=0.999) for right in BASE]
    text = text_of(row("none", fitted), row("half", fitted), name="dropout")
    assert "99.00\N{NO-BREAK SPACE}% of the validation images: −0.90 points." in text


def test_smallest_network_is_stated_with_its_test_accuracy() -> None:
    costs = Costs(parameters=100, multiply_adds=10_000, activations=100)
    tried = Candidate(settings="--dense 8", costs=costs, validation=0.9885, on_front=True)
    rows = row("as it is", BASE), row("100 parameters", [9800, 9806, 9812], costs=costs)
    made = answer(*rows, name="smallest", candidates=(tried,), chosen="100 parameters").conclusion
    assert made.answer == (
        "Of 1 network that were tried, validation chooses none for 99.0 % and 100 parameters for"
        " 98.8 %."
    )
    assert made.numbers[0].startswith("100 parameters have 98.06\N{NO-BREAK SPACE}% (95 % interval")
    assert "100: 98.85" in made.numbers[1]
    nothing = answer(rows[0], name="smallest").conclusion
    assert nothing.answer.endswith("validation chooses none for 99.0 % and none for 98.8 %.")
