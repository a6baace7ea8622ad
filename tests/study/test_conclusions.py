"""Tests of the conclusions of studies."""

import re

from helpers.made_up import BASE, MANY, answer, result, row, text_of

from tasks.model.costs import Costs
from tasks.study.answer import Candidate
from tasks.study.conclusions import MINUS, signed_hundredths


def test_difference_is_stated_with_its_size() -> None:
    text = text_of(row("none", MANY), row("half", [n + 50 for n in MANY]))
    assert text == "Better than “none”: “half” by +0.50 points (95 % interval +0.50 to +0.50)."
    text = text_of(row("none", MANY), row("half", [n - 99 for n in MANY[:6]] + [9800] * 6))
    assert text.startswith("Worse than “none”: “half” by −1.0")


def test_equality_is_stated_only_if_it_is_certain() -> None:
    assert text_of(row("none", MANY), row("half", MANY)) == (
        "The same as “none” within 0.1 points: “half”, 0.00 points (95 % interval 0.00 to 0.00)."
    )
    text = text_of(row("none", MANY), row("half", [*MANY[:7], *(n + 30 for n in MANY[7:])]))
    assert text.startswith("Undecided against “none”: “half”, +0.13 points")


def test_undecided_comparison_has_the_number_of_further_seeds() -> None:
    text = text_of(row("none", BASE), row("half", [9990, 9850, 9930]))
    assert re.fullmatch(
        r"Undecided against “none”: “half”, \+0.18 points .*; about \d+ further seeds would decide"
        r" it\.",
        text,
    )


def test_variant_that_fails_to_train_is_named_and_compared_without_those_runs() -> None:
    ruined = [result(8900, never_predicted=1) if n % 4 == 0 else n + 9890 for n in range(12)]
    made = answer(row("none", MANY), row("half", ruined))
    text = " ".join(made.conclusions)
    assert "“half” fails to train with 3 of 12 seeds (95 % interval of the share 5% to 57%)" in text
    assert "its other runs are compared without them" in text
    mean = made.rows[1].test
    assert mean and mean.mean > 0.98 and mean.values == 9
    assert made.rows[1].versus and made.rows[1].versus.interval.values == 9


def test_variant_that_always_fails_is_not_compared() -> None:
    text = text_of(row("none", MANY), row("half", [result(1000, never_predicted=9)] * 12))
    assert "fails to train with 12 of 12 seeds" in text
    assert "nothing is left to compare" in text
    assert "Undecided" not in text


def test_zero_difference_has_no_sign() -> None:
    assert [signed_hundredths(share) for share in (0.0012, -0.0012, 0.0, -0.00004)] == [
        "+0.12",
        f"{MINUS}0.12",
        "0.00",
        "0.00",
    ]


def test_single_seed_decides_nothing() -> None:
    text = text_of(row("none", [9000]), row("half", [9950]))
    assert text.startswith("Undecided against “none”: “half”, +9.50 points; about ")


def test_time_is_stated_with_the_multiply_adds() -> None:
    slow = [result(right, 3 * 10.0 + n / 10) for n, right in enumerate(MANY)]
    costs = Costs(parameters=1000, multiply_adds=20_000, activations=100)
    text = text_of(row("pooled", MANY), row("not pooled", slow, costs=costs))
    assert "an iteration of “not pooled” takes 3.05 times the processor time" in text
    assert text.endswith("for 2 times the multiply-adds.")
    assert "an iteration" not in text_of(row("pooled", MANY), row("the same work", slow))
    unsure = [result(right, (6.0, 20.0, 13.0)[n % 3]) for n, right in enumerate(MANY)]
    text = text_of(row("pooled", MANY), row("not pooled", unsure, costs=costs))
    assert re.search(r"undecided: about \d+ further seeds would decide it", text)
    equal = [result(right, 10.1) for right in MANY]
    text = text_of(row("pooled", MANY), row("not pooled", equal, costs=costs))
    assert "takes 1.01 times the processor time" in text


def test_failed_runs_are_counted_and_excluded() -> None:
    made = answer(row("none", BASE), row("half", ["no memory", 9950, 9956]))
    assert made.conclusions[-1] == "1 of 6 runs are missing."
    assert made.rows[1].failures == ("no memory",)
    assert made.rows[1].versus and made.rows[1].test and made.rows[1].test.values == 2
    text = text_of(row("none", ["no memory"] * 3), row("half", BASE))
    assert text == "The reference variant has no result, so no conclusion is possible."


def test_repeatability_compares_weights() -> None:
    rows = [row("once", BASE), row("again", BASE)]
    assert text_of(*rows, name="repeat").startswith(
        "With deterministic operations, with 3 of 3 seeds a second run ended with the weights of"
        " the first, bit for bit."
    )
    other = [result(9900), result(9905, weights="other"), result(9911)]
    text = text_of(row("once", BASE), row("again", other), name="repeat")
    assert "with 1 of 3 seeds it ended with other weights." in text
    assert "standard deviation of 0.06 points (95 % interval 0.03 to 0.35) between seeds" in text


def test_orders_of_pooling_and_activation_are_compared_by_weights() -> None:
    first, second = "max-pooling, ReLU", "ReLU, max-pooling"
    costs = Costs(parameters=1000, multiply_adds=10_000, activations=400)
    text = text_of(row(first, BASE), row(second, BASE, costs=costs), name="relu-pooling-order")
    assert "the weights are the same, bit for bit" in text
    assert "4.0 times as many values go through the activation" in text
    other = [result(right, weights="other", predictions="other") for right in (9900, 9905, 9000)]
    text = text_of(row(first, BASE), row(second, other), name="relu-pooling-order")
    assert "the same function, but gradients are summed in another order, and the results" in text
    assert "the results differ (with 3 of 3 seeds)" in text
    text = text_of(
        row("average-pooling, ReLU", BASE),
        row("ReLU, average-pooling", other),
        name="relu-pooling-order",
    )
    assert "the results differ" in text
    assert "the same function" not in text


def test_equal_logits_are_given_as_reason_only_if_more_frequent() -> None:
    dead = [result(right, lowest_classes=8.0) for right in (5000, 3000, 9900)]
    text = text_of(row("as it is", BASE), row("ReLU", dead), name="relu-on-logits")
    assert "8.0 classes share the lowest logit" in text
    assert "ReLU makes negative logits zero" in text
    text = text_of(row("as it is", BASE), row("ReLU", BASE), name="relu-on-logits")
    assert "makes negative logits zero" not in text


def test_99_percent_is_stated_only_if_the_interval_is_above() -> None:
    high = text_of(row("best", [9950, 9956, 9961]), name="how-high")
    assert "99.56\N{NO-BREAK SPACE}% (95 % interval" in high
    assert "lies at or above 99 %" in high
    assert "cannot" not in high
    assert "cannot be claimed" in text_of(row("best", [9890, 9956, 9861]), name="how-high")
    assert "lies below 99 %" in text_of(row("best", [9500, 9506, 9503]), name="how-high")


def test_smallest_network_is_stated_with_its_test_accuracy() -> None:
    costs = Costs(parameters=100, multiply_adds=10_000, activations=100)
    tried = Candidate(settings="--dense 8", costs=costs, validation=0.985, on_front=True)
    rows = row("as it is", BASE), row("100 parameters", [9800, 9806, 9812], costs=costs)
    text = text_of(*rows, name="smallest", candidates=(tried,), chosen="100 parameters")
    assert "100 parameters, 10 times fewer than “as it is”" in text
    assert "98.06\N{NO-BREAK SPACE}%" in text
    nothing = text_of(rows[0], name="smallest", candidates=(tried,))
    assert nothing == "Of 1 network that were tried, none was good enough."
