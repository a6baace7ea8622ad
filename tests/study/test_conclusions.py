"""Tests of the conclusions of studies."""

from helpers.made_up import BASE, answer, result, row, text_of

from tasks.model.costs import Costs
from tasks.study.answer import Candidate, compare
from tasks.study.conclusions import MINUS, signed_hundredths


def test_significant_difference_is_stated_with_its_size() -> None:
    text = text_of(row("none", BASE), row("half", [9950, 9956, 9961]))
    assert text.startswith("Significantly better than “none”: “half” by 0.50 points (95 % interval")
    text = text_of(row("none", BASE), row("half", [9800, 9806, 9812]))
    assert text.startswith("Significantly worse than “none”: “half” by 0.99 points")


def test_insignificant_difference_is_not_stated() -> None:
    text = text_of(row("none", BASE), row("half", [9990, 9850, 9930]))
    assert (
        text == "With 3 seeds, no difference from “none” can be claimed for “half” (+0.18 points)."
    )


def test_zero_difference_has_no_sign() -> None:
    assert [signed_hundredths(share) for share in (0.0012, -0.0012, 0.0, -0.00004)] == [
        "+0.12",
        f"{MINUS}0.12",
        "0.00",
        "0.00",
    ]


def test_single_seed_gives_no_conclusion() -> None:
    text = text_of(row("none", [9000]), row("half", [9950]))
    assert text == "One seed has no interval: no difference from “none” can be claimed."


def test_more_variants_require_a_larger_difference() -> None:
    better = [9906, 9913, 9921]
    alone = compare([row("none", BASE), row("half", better)])
    assert alone[1].versus and alone[1].versus.significant
    others = [row(f"other {n}", [9900, 9911, 9908]) for n in range(20)]
    among = compare([row("none", BASE), row("half", better), *others])
    assert among[1].versus and not among[1].versus.significant


def test_time_difference_is_stated_only_if_the_interval_excludes_1() -> None:
    slow = [result(right, ms) for right, ms in zip(BASE, (30.0, 31.0, 29.5), strict=True)]
    costs = Costs(parameters=1000, multiply_adds=20_000, activations=100)
    text = text_of(row("pooled", BASE), row("not pooled", slow, costs=costs))
    assert "An iteration of “not pooled” takes 3.02 times" in text
    assert text.endswith("for 2 times the multiply-adds.")
    assert "An iteration" not in text_of(row("pooled", BASE), row("the same work", slow))
    unsure = [result(right, ms) for right, ms in zip(BASE, (6.0, 20.0, 13.0), strict=True)]
    assert "An iteration" not in text_of(
        row("pooled", BASE), row("not pooled", unsure, costs=costs)
    )


def test_failed_runs_are_counted_and_excluded() -> None:
    made = answer(row("none", BASE), row("half", ["no memory", 9950, 9956]))
    assert made.conclusions[-1] == "1 of 6 runs are missing."
    assert made.rows[1].failures == ("no memory",)
    assert made.rows[1].versus and made.rows[1].versus.interval.values == 2
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
    assert "standard deviation of 0.06 points between seeds" in text


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
