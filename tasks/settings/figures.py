"""Settings of the figures."""

from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    field_validator,
)

from tasks.settings.base import (
    Numbers,
    StageSettings,
    split_commas,
)

Insight = Literal["excite", "attribute", "embed", "none"]


class FigureSettings(StageSettings):
    """Contents of the figures."""

    test_images: Numbers = Field(
        (0, 13), description="Test images whose way through the network is drawn."
    )
    conv2_channels: Numbers = Field(
        (0, 1), description="Input channels of conv2 whose filters are drawn."
    )
    insights: Annotated[tuple[Insight, ...], BeforeValidator(split_commas)] = Field(
        ("excite", "attribute", "embed"),
        description="Looks into the trained network, each a stage of its own; 'none' for none."
        " excite (3 s): the input that excites each class most; attribute (3 s): which pixels"
        " speak for the wrong and for the true class; embed (9 s): a map of the test images as"
        " the last hidden layer sees them. Seconds on two cores, for MNIST.",
    )

    @field_validator("insights")
    @classmethod
    def none_stands_alone(cls, value: tuple[Insight, ...]) -> tuple[Insight, ...]:
        if "none" in value and len(value) > 1:
            raise ValueError("should be none alone, or excite, attribute, embed")
        return value
