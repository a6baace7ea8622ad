"""The tutorial's exercises as studies, each with its variants and the rule of its conclusions.

The first variant of each is the reference of the others: the settings of the command line, or of
the preset, unchanged.
"""

from collections.abc import Sequence
from typing import Any

from tasks.report.formatting import two_decimal_percent
from tasks.settings.presets import PRESETS
from tasks.study.answer import Row, StudyAnswer
from tasks.study.conclusions import (
    accuracy_with_interval,
    compare_and_count_costs,
    counted,
    differences,
    in_both_orders,
    listed,
    same_weights,
    standard_deviation,
)
from tasks.study.design import Search, Study, Variant

UNCHANGED = Variant(name="as it is")


def network(name: str, **changes: Any) -> Variant:
    """Return a variant with other network settings."""
    return Variant(name=name, changes={"network": changes})


def pooling_variant(name: str, **changes: Any) -> Variant:
    """Return a variant of the pooling, without sampled pooling, so that times compare."""
    return Variant(name=name, changes={"network": changes, "training": {"sampled_pooling": 0.0}})


def constant_rate(rate: float) -> Variant:
    """Return a variant with a constant learning rate."""
    return Variant(
        name=f"constant {rate:g}",
        changes={"training": {"learning_rate": rate, "rate_schedule": "constant"}},
    )


def find(rows: Sequence[Row], variant: Variant) -> Row | None:
    """Return the row of a variant, or None if it has no result."""
    return next((row for row in rows if row.variant == variant.name), None)


LOOSE = {"training": {"deterministic": False}}
ONCE = Variant(name="once")
AGAIN = Variant(name="again", repetition=1)
NONDETERMINISTIC = Variant(name="without deterministic operations", changes=LOOSE)
NONDETERMINISTIC_AGAIN = Variant(name="without them, again", changes=LOOSE, repetition=1)
ONLY_WEIGHTS = Variant(name="only the initial weights differ", fixed="order")
ONLY_ORDER = Variant(name="only the order of images differs", fixed="weights")


def repeatability(_answer: StudyAnswer, rows: Sequence[Row]) -> list[str]:
    """Say which repetitions give the same weights, and how much the accuracy varies."""
    once = rows[0]
    sentences = []
    if again := find(rows, AGAIN):
        sentences.append(f"With deterministic operations, {same_weights(once, again)}.")
    loose = find(rows, NONDETERMINISTIC)
    loose_again = find(rows, NONDETERMINISTIC_AGAIN)
    if loose and loose_again:
        sentences.append(f"Without them, {same_weights(loose, loose_again)}.")
    scatters = [
        f"{standard_deviation(row)} {name}"
        for name, row in (
            ("between seeds", once),
            ("where only the initial weights differ", find(rows, ONLY_WEIGHTS)),
            ("where only the order of images differs", find(rows, ONLY_ORDER)),
        )
        if row and len(row.done) > 1
    ]
    if scatters:
        sentences.append(f"Test accuracy has a standard deviation of {listed(scatters)}.")
    return sentences


REPEAT = Study(
    number=1,
    name="repeat",
    question="Run it several times without changing anything: is the result the same? Where"
    " does randomness come from?",
    variants=(
        ONCE,
        AGAIN,
        NONDETERMINISTIC,
        NONDETERMINISTIC_AGAIN,
        ONLY_WEIGHTS,
        ONLY_ORDER,
    ),
    conclusion=repeatability,
)

LONGER = Study(
    number=2,
    name="longer",
    question="Another 10,000 iterations: does it get better?",
    variants=(
        Variant(name="once as long", changes={"preset": "tutorial"}),
        Variant(name="twice as long", changes={"preset": "tutorial"}, times=2),
    ),
    iterations=10_000,
)

LEARNING_RATE = Study(
    number=3,
    name="learning-rate",
    question="Other learning rates.",
    variants=(
        UNCHANGED.model_copy(update={"name": "one cycle up to 0.01"}),
        *map(constant_rate, (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)),
    ),
)

LAYER_SHAPES = Study(
    number=4,
    name="layer-shapes",
    question="Other layer shapes: number and size of filters, neurons in fc1.",
    variants=(
        UNCHANGED,
        network("half the filters", conv_filters=(8, 18)),
        network("twice the filters", conv_filters=(32, 72)),
        network("filters of 3 × 3", conv_sizes=(3,)),
        network("filters of 7 × 7", conv_sizes=(7,)),
        network("64 neurons", dense=(64,)),
        network("256 neurons", dense=(256,)),
    ),
)

DROPOUT = Study(
    number=5,
    name="dropout",
    question="Dropout after the fully-connected layer (off at evaluation).",
    variants=(
        UNCHANGED.model_copy(update={"name": "none"}),
        network("25 %", dropout=0.25),
        network("50 %", dropout=0.5),
    ),
)

POOLING_ORDERS = (
    (
        pooling_variant("max-pooling, ReLU"),
        pooling_variant("ReLU, max-pooling", activation_first=True),
        True,
    ),
    (
        pooling_variant("max-pooling, sigmoid", activation="sigmoid"),
        pooling_variant("sigmoid, max-pooling", activation="sigmoid", activation_first=True),
        True,
    ),
    (
        pooling_variant("average-pooling, ReLU", pooling=("average",)),
        pooling_variant("ReLU, average-pooling", pooling=("average",), activation_first=True),
        False,
    ),
)
"""Variants with pooling first and with the activation first; whether both compute the same
function."""


def pooling_order(_answer: StudyAnswer, rows: Sequence[Row]) -> list[str]:
    """Compare each activation and pooling in both orders."""
    sentences = []
    for pool_first, activation_first, same_function in POOLING_ORDERS:
        first, second = find(rows, pool_first), find(rows, activation_first)
        if first and second:
            sentences.append(in_both_orders(first, second, same_function))
    return [*sentences, *differences(rows)]


POOLING_ORDER = Study(
    number=6,
    name="relu-pooling-order",
    question="Swap the order of ReLU and max-pooling: is the result the same? Which is"
    " cheaper, by how much? And with sigmoid, and with average-pooling?",
    variants=tuple(variant for pair in POOLING_ORDERS for variant in pair[:2]),
    shows_activations=True,
    conclusion=pooling_order,
)

MORE_LAYERS = Study(
    number=7,
    name="more-layers",
    question="One or more further convolutional and fully-connected layers.",
    variants=(
        UNCHANGED,
        network("a third convolution", conv_filters=(16, 36, 64), conv_sizes=(5,)),
        network("a second fully-connected layer", dense=(128, 128)),
        network("both", conv_filters=(16, 36, 64), conv_sizes=(5,), dense=(128, 128)),
    ),
)


def smallest_network(answer: StudyAnswer, rows: Sequence[Row]) -> list[str]:
    """Say which network the search chose, and its accuracy on the test split."""
    chosen = next((row for row in rows if row.variant == answer.chosen), None)
    tried = f"Of {counted(len(answer.candidates), 'network')} that were tried"
    if chosen is None or not chosen.costs or not rows[0].costs or not chosen.test:
        return [f"{tried}, none was good enough."]
    share = rows[0].costs.parameters / chosen.costs.parameters
    sentences = [
        f"{tried}, the smallest with a good validation accuracy has"
        f" {chosen.costs.parameters:,} parameters, {share:.0f} times fewer than"
        f" “{rows[0].variant}” ({chosen.settings}): {accuracy_with_interval(chosen.test)}"
        " on the test split."
    ]
    return [*sentences, *differences([rows[0], chosen])]


SMALLEST = Study(
    number=8,
    name="smallest",
    question="The smallest configuration that still gives good results.",
    variants=(UNCHANGED,),
    search=Search(trials=36, batch_size=4),
    conclusion=smallest_network,
)


def relu_on_logits(answer: StudyAnswer, rows: Sequence[Row]) -> list[str]:
    """Compare the variants, and say how many logits are equal."""
    sentences = compare_and_count_costs(answer, rows)
    if len(rows) > 1:
        plain, relu = (
            sum(result.lowest_classes for result in row.done) / len(row.done)
            for row in (rows[0], rows[1])
        )
        sentences.append(
            f"On average {relu:.1f} classes share the lowest logit of a test image"
            f" ({plain:.1f} without ReLU)"
            + (
                ": ReLU makes negative logits zero, so that they cannot be told apart and have no"
                " gradient."
                if relu > plain + 1
                else "."
            )
        )
    return sentences


RELU_ON_LOGITS = Study(
    number=9,
    name="relu-on-logits",
    question="ReLU on the last fully-connected layer: what changes, and why?",
    variants=(UNCHANGED, network("ReLU on the logits", logits_activation="relu")),
    conclusion=relu_on_logits,
)

UNSAMPLED = pooling_variant("as it is")

NO_POOLING = Study(
    number=10,
    name="no-pooling",
    question="No pooling in the convolutional layers: accuracy and training time?",
    variants=(UNSAMPLED, pooling_variant("no pooling", pooling=("none",))),
)

STRIDES = Study(
    number=11,
    name="strides",
    question="Stride 2 × 2 in the convolution instead of max-pooling.",
    variants=(
        UNSAMPLED,
        pooling_variant("stride 2 × 2", conv_strides=(2,), pooling=("none",)),
    ),
)


def highest_accuracy(_answer: StudyAnswer, rows: Sequence[Row]) -> list[str]:
    """Say which mean is the highest, and whether its interval lies above 99 %."""
    best = max(rows, key=lambda row: row.test.mean if row.test else 0.0)
    assert best.test
    sentences = [
        f"The highest mean is that of “{best.variant}”: {accuracy_with_interval(best.test)}."
    ]
    top = max(result.test for row in rows for result in row.done)
    if best.test.low is None:
        sentences.append(
            "One seed has no interval: whether that is 99 % or more cannot be claimed."
        )
    elif best.test.low >= 0.99:
        sentences.append("The whole interval lies at or above 99 %.")
    elif best.test.high is not None and best.test.high < 0.99:
        sentences.append("The whole interval lies below 99 %.")
    else:
        sentences.append("The interval holds 99 %: that the mean is above cannot be claimed.")
    return [*sentences, f"The best single run has {two_decimal_percent(top)}.", *differences(rows)]


HOW_HIGH = Study(
    number=12,
    name="how-high",
    question="The tutorial says 99 % is possible, “or higher if you do the exercises”: how high?",
    variants=tuple(Variant(name=preset, changes={"preset": preset}) for preset in PRESETS),
    conclusion=highest_accuracy,
)

STUDIES = (
    REPEAT,
    LONGER,
    LEARNING_RATE,
    LAYER_SHAPES,
    DROPOUT,
    POOLING_ORDER,
    MORE_LAYERS,
    SMALLEST,
    RELU_ON_LOGITS,
    NO_POOLING,
    STRIDES,
    HOW_HIGH,
)
BY_NAME = {study.name: study for study in STUDIES}
