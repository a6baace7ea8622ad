"""What is said follows from the numbers, and nothing is claimed that they do not bear."""

from helpers.made_up import BASE, answer, row, said, trial

from tasks.model.costs import Costs
from tasks.study.answer import Candidate, compare, front
from tasks.study.conclusions import MINUS, change


def test_a_clear_difference_is_claimed_with_its_size() -> None:
    text = said(row("none", BASE), row("half", [9950, 9956, 9961]))
    assert text.startswith("Significantly better than “none”: “half” by 0.50 points (95 % interval")
    text = said(row("none", BASE), row("half", [9800, 9806, 9812]))
    assert text.startswith("Significantly worse than “none”: “half” by 0.99 points")


def test_what_the_intervals_do_not_bear_is_not_claimed() -> None:
    text = said(row("none", BASE), row("half", [9990, 9850, 9930]))
    assert (
        text == "With 3 seeds, no difference from “none” can be claimed for “half” (+0.18 points)."
    )


def test_no_difference_has_no_sign() -> None:
    assert [change(share) for share in (0.0012, -0.0012, 0.0, -0.00004)] == [
        "+0.12",
        f"{MINUS}0.12",
        "0.00",
        "0.00",
    ]


def test_one_seed_claims_nothing() -> None:
    text = said(row("none", [9000]), row("half", [9950]))
    assert text == "One seed has no interval: no difference from “none” can be claimed."


def test_several_variants_make_it_harder_to_claim() -> None:
    better = [9906, 9913, 9921]
    alone = compare([row("none", BASE), row("half", better)])
    assert alone[1].versus and alone[1].versus.significant
    others = [row(f"other {n}", [9900, 9911, 9908]) for n in range(20)]
    among = compare([row("none", BASE), row("half", better), *others])
    assert among[1].versus and not among[1].versus.significant


def test_time_is_claimed_only_where_it_surely_differs() -> None:
    slow = [trial(right, ms) for right, ms in zip(BASE, (30.0, 31.0, 29.5), strict=True)]
    costs = Costs(parameters=1000, multiply_adds=20_000, activations=100)
    text = said(row("pooled", BASE), row("not pooled", slow, costs=costs))
    assert "An iteration of “not pooled” takes 3.02 times" in text
    assert text.endswith("for 2 times the multiply-adds.")
    assert "An iteration" not in said(row("pooled", BASE), row("the same work", slow))
    unsure = [trial(right, ms) for right, ms in zip(BASE, (6.0, 20.0, 13.0), strict=True)]
    assert "An iteration" not in said(row("pooled", BASE), row("not pooled", unsure, costs=costs))


def test_runs_that_failed_are_told_and_left_out() -> None:
    made = answer(row("none", BASE), row("half", ["no memory", 9950, 9956]))
    assert made.conclusions[-1] == "1 of 6 runs are missing."
    assert made.rows[1].failures == ("no memory",)
    assert made.rows[1].versus and made.rows[1].versus.interval.values == 2
    text = said(row("none", ["no memory"] * 3), row("half", BASE))
    assert text == "What the others are compared with has not been run, so nothing can be said."


def test_repetition_is_judged_by_the_weights() -> None:
    rows = [row("once", BASE), row("again", BASE)]
    assert said(*rows, name="repeat").startswith(
        "With deterministic operations, with 3 of 3 seeds a second run ended with the weights of"
        " the first, bit for bit."
    )
    other = [trial(9900), trial(9905, weights="other"), trial(9911)]
    text = said(row("once", BASE), row("again", other), name="repeat")
    assert "with 1 of 3 seeds it ended with other weights." in text
    assert "standard deviation of 0.06 points between seeds" in text


def test_orders_of_pooling_and_activation_are_told_apart_by_their_weights() -> None:
    first, second = "max-pooling, ReLU", "ReLU, max-pooling"
    costs = Costs(parameters=1000, multiply_adds=10_000, activations=400)
    text = said(row(first, BASE), row(second, BASE, costs=costs), name="relu-pooling-order")
    assert "the weights are the same, bit for bit" in text
    assert "4.0 times as many values go through the activation" in text
    other = [trial(right, weights="other", predictions="other") for right in (9900, 9905, 9000)]
    text = said(row(first, BASE), row(second, other), name="relu-pooling-order")
    assert "the same function, but gradients are summed in another order, and the results" in text
    assert "the results differ (with 3 of 3 seeds)" in text
    text = said(
        row("average-pooling, ReLU", BASE),
        row("ReLU, average-pooling", other),
        name="relu-pooling-order",
    )
    assert "the results differ" in text
    assert "the same function" not in text


def test_equal_logits_are_the_reason_only_if_there_are_more_of_them() -> None:
    dead = [trial(right, lowest_classes=8.0) for right in (5000, 3000, 9900)]
    text = said(row("as it is", BASE), row("ReLU", dead), name="relu-on-logits")
    assert "8.0 classes share the lowest logit" in text
    assert "ReLU makes negative logits zero" in text
    text = said(row("as it is", BASE), row("ReLU", BASE), name="relu-on-logits")
    assert "makes negative logits zero" not in text


def test_ninety_nine_percent_is_claimed_only_if_the_whole_interval_is_above() -> None:
    high = said(row("best", [9950, 9956, 9961]), name="how-high")
    assert "99.56\N{NO-BREAK SPACE}% (95 % interval" in high
    assert "lies at or above 99 %" in high
    assert "cannot" not in high
    assert "cannot be claimed" in said(row("best", [9890, 9956, 9861]), name="how-high")
    assert "lies below 99 %" in said(row("best", [9500, 9506, 9503]), name="how-high")


def test_the_smallest_network_is_told_by_its_test_accuracy() -> None:
    costs = Costs(parameters=100, multiply_adds=10_000, activations=100)
    tried = Candidate(settings="--dense 8", costs=costs, validation=0.985, on_front=True)
    rows = row("as it is", BASE), row("100 parameters", [9800, 9806, 9812], costs=costs)
    text = said(*rows, name="smallest", candidates=(tried,), chosen="100 parameters")
    assert "100 parameters, 10 times fewer than “as it is”" in text
    assert "98.06\N{NO-BREAK SPACE}%" in text
    nothing = said(rows[0], name="smallest", candidates=(tried,))
    assert nothing == "Of 1 network that were tried, none was good enough."


def test_the_pareto_front_holds_what_nothing_else_beats() -> None:
    tried = [(100, 0.9), (200, 0.95), (150, 0.95), (300, 0.94), (100, 0.9), (400, 0.99)]
    assert front(tried) == [True, False, True, False, True, True]
