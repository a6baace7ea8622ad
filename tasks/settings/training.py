"""Settings of training, schedule and evaluation."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from tasks.settings.base import BatchSize, Number, Numbers, StageSettings

Seed = Annotated[int, Field(ge=0, lt=2**64)]
Rate = Annotated[float, Field(gt=0)]


class TrainingSettings(StageSettings):
    """Adam and batches."""

    seed: Seed = Field(0, description="Seed of the initial weights and of the order of images.")
    batch_size: BatchSize = Field(64, description="Images per training iteration.")
    learning_rate: Rate = Field(1e-4, description="Adam's step size, or its peak.")
    rate_schedule: Literal["constant", "one-cycle"] = Field(
        "constant",
        description="one-cycle: the learning rate rises to its peak and falls to zero, once in"
        " --iterations; so other --iterations train from the start.",
    )
    beta_1: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the first moment.")
    beta_2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the second moment.")
    epsilon: PositiveFloat = Field(1e-8, description="Adam's guard against division by zero.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Share of the label that is spread over all classes."
    )
    shift: NonNegativeFloat = Field(
        0.0, le=1000, description="Training images are shifted by up to so many pixels, at random."
    )
    rotation: NonNegativeFloat = Field(
        0.0, le=180, description="… and rotated by up to so many degrees."
    )
    zoom: float = Field(0.0, ge=0, lt=1, description="… and zoomed by up to this share.")
    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="Processor to train on; auto takes a GPU where TensorFlow sees one."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="bfloat16: compute in bfloat16, with weights and logits in float32; a"
        " sixth to a quarter less time on processors with instructions for it.",
    )
    deterministic: bool = Field(
        True,
        description="Train with TensorFlow's deterministic operations: the same settings give the"
        " same weights, bit for bit.",
    )


class ScheduleSettings(StageSettings):
    """Number of iterations and milestones."""

    iterations: Number = Field(10_000, description="Training iterations in all.")
    milestones: Numbers = Field(
        (0, 1, 100, 1_000, 10_000),
        description="Iterations after which the test split is evaluated; those beyond"
        " --iterations are left out, and --iterations itself is always one.",
    )

    @property
    def stops(self) -> tuple[int, ...]:
        """Iterations at which a checkpoint is kept and evaluated, ascending, from 0."""
        reached = {m for m in self.milestones if m < self.iterations}
        return tuple(sorted({0} | reached | {self.iterations}))


class EvaluationSettings(StageSettings):
    """Settings of predictions."""

    evaluation_batch: BatchSize = Field(256, description="Images per evaluation batch.")
