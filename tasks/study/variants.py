"""The tutorial's exercises, in its order: a question, and variants of the settings that answer it.

To add a variant, add a line here; to ask another question, add an exercise to `EXERCISES`.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tasks.runtime.errors import PipelineError

SEEDS, FEW_SEEDS, REPEATS = 8, 5, 3
"""Runs of a variant that takes seconds, of one that takes longer, and of one that takes minutes or
is only repeated. Of fewer than `FEW_SEEDS`, the page gives intervals but no verdict."""

Changes = dict[str, Any]
"""Values of settings by group, as in a preset; may hold `preset` itself."""


@dataclass(frozen=True)
class Variant:
    """One way to train."""

    label: str
    changes: Changes = field(default_factory=dict)
    seeds: int = SEEDS
    against: str = ""
    """Label of the variant that it is compared with; by default, the first of its exercise."""
    repetition: int = 0
    """Trains again with the same settings, under a cache entry of its own for each number."""
    fixed: Literal["", "weights", "order"] = ""
    """Keeps the initial weights, or the order of images, of the first seed for all seeds."""


@dataclass(frozen=True)
class Exercise:
    """A question, and the variants that answer it."""

    number: int | None
    """Its number in the tutorial; None for a question of the tutorial's text."""
    name: str
    question: str
    variants: tuple[Variant, ...]
    compares: bool = True
    """Whether accuracies are compared; else spreads and weights matter."""


def exercise(
    number: int | None, name: str, question: str, *variants: Variant, compares: bool = True
) -> Exercise:
    """Return an exercise."""
    return Exercise(number, name, question, variants, compares)


def network(label: str, against: str = "", **changes: Any) -> Variant:
    """Return a variant with other network settings."""
    return Variant(label, {"network": changes}, against=against)


def two_epochs(variants: tuple[Variant, ...], seeds: int = FEW_SEEDS) -> list[Variant]:
    """Return variants trained for 1,800 iterations, compared with the first of them."""
    first = f"{variants[0].label}, two epochs"
    return [
        replace(
            variant,
            label=f"{variant.label}, two epochs",
            changes=variant.changes | {"schedule": {"iterations": 1800}},
            seeds=seeds,
            against=first,
        )
        for variant in variants
    ]


def rate(value: float) -> Variant:
    """Return a variant with another peak of the learning rate's cycle."""
    return Variant(f"one cycle up to {value:g}", {"training": {"learning_rate": value}})


def constant_rate(value: float) -> Variant:
    """Return the tutorial's training, shortened, with a constant learning rate."""
    schedule, training = {"iterations": 2000}, {"learning_rate": value}
    changes = {"preset": "tutorial", "schedule": schedule, "training": training}
    return Variant(f"constant {value:g}", changes, REPEATS, against="constant 0.0001")


def rung(filters: tuple[int, ...], dense: tuple[int, ...]) -> Variant:
    """Return a network of the ladder to the smallest."""
    conv, neurons = "-".join(map(str, filters)), dense[0] if dense else "no"
    changes: Changes = {
        "conv_filters": filters,
        "conv_sizes": (5,),
        "dense": dense,
        "normalisation": True,
    }
    return network(f"{conv} filters, {neurons} neurons", **changes)


AS_IT_IS = Variant("as it is")
DROPOUT = (
    AS_IT_IS,
    network("25 % dropout", dropout=0.25),
    network("50 % dropout", dropout=0.5),
)
LAYERS = (
    AS_IT_IS,
    network("a third convolution", conv_filters=(16, 36, 64), conv_sizes=(5,)),
    network("a second fully-connected layer", dense=(128, 128)),
    network("both", conv_filters=(16, 36, 64), conv_sizes=(5,), dense=(128, 128)),
)
LADDER = (
    rung((2, 4), ()),
    rung((4, 8), ()),
    rung((4, 8, 8), ()),
    rung((8, 12, 12), ()),
    rung((8, 16, 16), ()),
    rung((12, 24, 24), ()),
    rung((4, 8), (16,)),
    rung((8, 12, 12), (16,)),
    rung((8, 16), (16,)),
    rung((8, 16, 16), (32,)),
)
STRIDES = {"network": {"conv_strides": (2,), "pooling": ("none",)}}
LOOSE = {"training": {"deterministic": False}}
TUTORIAL = {"preset": "tutorial"}

EXERCISES = (
    exercise(
        1,
        "repeat",
        "Run it several times without changing anything: is the result the same? Where does"
        " randomness come from?",
        Variant("once"),
        Variant("again", seeds=REPEATS, repetition=1),
        Variant("not deterministic", LOOSE, REPEATS),
        Variant("other initial weights", fixed="order"),
        Variant("other order of images", fixed="weights"),
        compares=False,
    ),
    exercise(
        2,
        "longer",
        "Another 10,000 iterations: does it get better?",
        Variant("10,000 iterations", TUTORIAL, FEW_SEEDS),
        Variant("20,000 iterations", TUTORIAL | {"schedule": {"iterations": 20_000}}, FEW_SEEDS),
    ),
    exercise(
        3,
        "learning-rate",
        "Other learning rates.",
        *map(rate, (0.01, 0.001, 0.003, 0.02, 0.04)),
        *map(constant_rate, (0.0001, 0.0003, 0.001, 0.003)),
    ),
    exercise(
        4,
        "layer-shapes",
        "Other layer shapes: number and size of filters, neurons in fc1.",
        AS_IT_IS,
        network("a quarter of the filters", conv_filters=(4, 9)),
        network("half the filters", conv_filters=(8, 18)),
        network("twice the filters", conv_filters=(32, 72)),
        network("filters of 3 × 3", conv_sizes=(3,)),
        network("filters of 7 × 7", conv_sizes=(7,)),
        network("no fully-connected layer", dense=()),
        network("64 neurons", dense=(64,)),
        network("256 neurons", dense=(256,)),
    ),
    exercise(
        5,
        "dropout",
        "Dropout after the fully-connected layer (off at evaluation).",
        *DROPOUT,
        *two_epochs(DROPOUT),
    ),
    exercise(
        6,
        "relu-pooling-order",
        "Swap the order of ReLU and max-pooling: is the result the same? Which is cheaper, by how"
        " much? And with sigmoid, and with average-pooling?",
        Variant("max-pooling, ReLU"),
        network("ReLU, max-pooling", activation_first=True),
        network("max-pooling, sigmoid", activation="sigmoid"),
        network("sigmoid, max-pooling", activation="sigmoid", activation_first=True),
        network("average-pooling, ReLU", pooling=("average",)),
        network("ReLU, average-pooling", pooling=("average",), activation_first=True),
    ),
    exercise(
        7,
        "more-layers",
        "One or more further convolutional and fully-connected layers.",
        *LAYERS,
        *two_epochs(LAYERS),
    ),
    exercise(
        8,
        "smallest",
        "The smallest configuration that still gives good results.",
        *two_epochs((AS_IT_IS, *LADDER), REPEATS),
    ),
    exercise(
        9,
        "relu-on-logits",
        "ReLU on the last fully-connected layer: what changes, and why?",
        AS_IT_IS,
        network("ReLU on the logits", logits_activation="relu"),
    ),
    exercise(
        10,
        "no-pooling",
        "No pooling in the convolutional layers: accuracy and training time?",
        AS_IT_IS,
        Variant("no pooling", {"network": {"pooling": ("none",)}}, FEW_SEEDS),
    ),
    exercise(
        11,
        "strides",
        "Stride 2 × 2 in the convolution instead of max-pooling.",
        AS_IT_IS,
        Variant("stride 2 × 2", STRIDES),
        Variant("stride 2 × 2, longer", STRIDES | {"schedule": {"iterations": 1200}}),
    ),
    exercise(
        None,
        "linear",
        "How good is the simple linear model of the tutorial's first lesson?",
        AS_IT_IS,
        network("linear", conv_filters=(), dense=()),
        network("one hidden layer", conv_filters=()),
    ),
    exercise(
        None,
        "how-high",
        "The tutorial says 99 %, “or higher”: how high?",
        Variant("fast"),
        Variant("best", {"preset": "best"}, FEW_SEEDS),
    ),
)
BY_NAME = {exercise.name: exercise for exercise in EXERCISES}


def select(names: list[str]) -> list[Exercise]:
    """Return the named exercises, or `all`, in the tutorial's order.

    Raises:
        PipelineError: there is no exercise with one of the names.
    """
    if unknown := [name for name in names if name not in ("all", *BY_NAME)]:
        raise PipelineError(
            f"{unknown[0]}: no such study; there are {', '.join(BY_NAME)}, and all of them: all"
        )
    return [exercise for exercise in EXERCISES if exercise.name in names or "all" in names]
