"""Run results and answers with made-up numbers."""

from collections.abc import Sequence
from typing import Any

from tasks.model.costs import Costs
from tasks.records import Device
from tasks.study.answer import Row, StudyAnswer, compare, make_row
from tasks.study.conclusions import conclude
from tasks.study.decide import plan_looks
from tasks.study.exercises import BY_NAME
from tasks.study.result import Outcome, RunResult

IMAGES = 10_000
BASE = (9900, 9905, 9911)
"""Number of correct test images with three seeds."""
MANY = tuple(9900 + n for n in (0, 5, 11, -4, 7, 2, 9, -6, 3, 8, 1, 6))
"""Number of correct test images with twelve seeds."""


def result(right: int, milliseconds: float = 10.0, **changes: Any) -> RunResult:
    """Return a run with a number of correct test images."""
    facts: dict[str, Any] = {
        "test": right / IMAGES,
        "test_images": IMAGES,
        "validation": right / IMAGES,
        "iterations": 100,
        "train_seconds": 1.0,
        "work_seconds": milliseconds / 10,
        "device": Device(kind="CPU", name="a processor, 2 cores", reason="requested"),
        "weights": f"w{right}",
        "predictions": f"p{right}",
        "lowest_classes": 1.0,
        "never_predicted": 0,
        "folder": "train/w",
        "trained": "2026-01-30T09:00:00+00:00" if right < 9900 else "2026-01-31T09:00:00+00:00",
    }
    return RunResult(**facts | changes)


def row(name: str, outcomes: Sequence[Outcome | int], **changes: Any) -> Row:
    """Return a variant with a number of correct test images for each seed."""
    costs = Costs(parameters=1000, multiply_adds=10_000, activations=100)
    results = [result(o) if isinstance(o, int) else o for o in outcomes]
    return make_row(name, "", costs, results).model_copy(update=changes)


def answer(*rows: Row, name: str = "dropout", **changes: Any) -> StudyAnswer:
    """Return an answer with its conclusions."""
    seeds = max(len(row.results) for row in rows)
    looks = plan_looks(seeds, seeds)
    facts: dict[str, Any] = {
        "number": 5,
        "name": name,
        "question": "Does it help?",
        "rows": compare(rows, looks),
        "seeds": tuple(range(seeds)),
        "looks": looks,
        "iterations": (100,),
        "settings": "--preset fast",
        "command": "python flows/study.py dropout --seeds 3",
        "data_source": "a folder",
        "machine": "a processor, 2 cores",
        "versions": {"Python": "3.11"},
        "finished": "2026-01-31T14:05:09+00:00",
    }
    made = StudyAnswer(**facts | changes)
    return made.model_copy(update={"conclusion": conclude(made, BY_NAME[name].rule)})


def text_of(*rows: Row, **changes: Any) -> str:
    """Return the conclusions from some variants."""
    return " ".join(answer(*rows, **changes).conclusion.sentences)
