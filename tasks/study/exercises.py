"""The tutorial's exercises as studies, in its order.

The first variant of each is what the others are compared with: the preset itself, unless the
command line says otherwise.
"""

from typing import Any

from tasks.settings.presets import PRESETS
from tasks.study.design import Search, Study, Variant

AS_IT_IS = Variant(name="as it is")


def network(name: str, **changes: Any) -> Variant:
    return Variant(name=name, changes={"network": changes})


def constant_rate(rate: float) -> Variant:
    return Variant(
        name=f"constant {rate:g}",
        changes={"training": {"learning_rate": rate, "rate_schedule": "constant"}},
    )


LOOSE = {"training": {"deterministic": False}}

STUDIES = (
    Study(
        number=1,
        name="repeat",
        question="Run it several times without changing anything: is the result the same? Where"
        " does randomness come from?",
        variants=(
            Variant(name="once"),
            Variant(name="again", again=1),
            Variant(name="without deterministic operations", changes=LOOSE),
            Variant(name="without them, again", changes=LOOSE, again=1),
            Variant(name="only the initial weights differ", fixed="order"),
            Variant(name="only the order of images differs", fixed="weights"),
        ),
    ),
    Study(
        number=2,
        name="longer",
        question="Another 10,000 iterations: does it get better?",
        variants=(
            Variant(name="once as long", changes={"preset": "tutorial"}),
            Variant(name="twice as long", changes={"preset": "tutorial"}, times=2),
        ),
        iterations=10_000,
    ),
    Study(
        number=3,
        name="learning-rate",
        question="Other learning rates.",
        variants=(
            AS_IT_IS.model_copy(update={"name": "one cycle up to 0.006"}),
            *map(constant_rate, (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)),
        ),
    ),
    Study(
        number=4,
        name="layer-shapes",
        question="Other layer shapes: number and size of filters, neurons in fc1.",
        variants=(
            AS_IT_IS,
            network("half the filters", conv_filters=(8, 18)),
            network("twice the filters", conv_filters=(32, 72)),
            network("filters of 3 × 3", conv_sizes=(3,)),
            network("filters of 7 × 7", conv_sizes=(7,)),
            network("64 neurons", dense=(64,)),
            network("256 neurons", dense=(256,)),
        ),
    ),
    Study(
        number=5,
        name="dropout",
        question="Dropout after the fully-connected layer (off at evaluation).",
        variants=(
            AS_IT_IS.model_copy(update={"name": "none"}),
            network("25 %", dropout=0.25),
            network("50 %", dropout=0.5),
        ),
    ),
    Study(
        number=6,
        name="relu-pooling-order",
        question="Swap the order of ReLU and max-pooling: is the result the same? Which is"
        " cheaper, by how much? And with sigmoid, and with average-pooling?",
        variants=(
            AS_IT_IS.model_copy(update={"name": "max-pooling, ReLU"}),
            network("ReLU, max-pooling", activation_first=True),
            network("max-pooling, sigmoid", activation="sigmoid"),
            network("sigmoid, max-pooling", activation="sigmoid", activation_first=True),
            network("average-pooling, ReLU", pooling=("average",)),
            network("ReLU, average-pooling", pooling=("average",), activation_first=True),
        ),
        shows_activations=True,
    ),
    Study(
        number=7,
        name="more-layers",
        question="One or more further convolutional and fully-connected layers.",
        variants=(
            AS_IT_IS,
            network("a third convolution", conv_filters=(16, 36, 64), conv_sizes=(5,)),
            network("a second fully-connected layer", dense=(128, 128)),
            network("both", conv_filters=(16, 36, 64), conv_sizes=(5,), dense=(128, 128)),
        ),
    ),
    Study(
        number=8,
        name="smallest",
        question="The smallest configuration that still gives good results.",
        variants=(AS_IT_IS,),
        search=Search(trials=36, at_a_time=4),
    ),
    Study(
        number=9,
        name="relu-on-logits",
        question="ReLU on the last fully-connected layer: what changes, and why?",
        variants=(AS_IT_IS, network("ReLU on the logits", logits_activation="relu")),
    ),
    Study(
        number=10,
        name="no-pooling",
        question="No pooling in the convolutional layers: accuracy and training time?",
        variants=(AS_IT_IS, network("no pooling", pooling=("none",))),
    ),
    Study(
        number=11,
        name="strides",
        question="Stride 2 × 2 in the convolution instead of max-pooling.",
        variants=(
            AS_IT_IS,
            network("stride 2 × 2", conv_strides=(2,), pooling=("none",)),
        ),
    ),
    Study(
        number=12,
        name="how-high",
        question="The tutorial says 99 % is possible, “or higher if you do the exercises”: how"
        " high?",
        variants=tuple(Variant(name=preset, changes={"preset": preset}) for preset in PRESETS),
    ),
)

BY_NAME = {study.name: study for study in STUDIES}
