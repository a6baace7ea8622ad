"""Settings of the network."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PositiveFloat, model_validator

from tasks.settings.base import MAX_LAYERS, PixelSizes, Sizes, StageSettings, split_commas

Pooling = Annotated[
    tuple[Literal["max", "average", "none"], ...],
    Field(min_length=1, max_length=MAX_LAYERS),
    BeforeValidator(split_commas),
]


class NetworkSettings(StageSettings):
    """A convolutional network; by default the tutorial's."""

    conv_filters: Sizes = Field(
        (16, 36), description="Filters of each convolutional layer; `none` for no such layer."
    )
    conv_sizes: PixelSizes = Field(
        (5, 5),
        description="Width and height of the filters, in pixels; one number for all layers, or"
        " one for each.",
    )
    conv_strides: PixelSizes = Field(
        (1,), description="Step from one place of a filter to the next; as above."
    )
    pooling: Pooling = Field(
        ("max",), description="What becomes of 2 × 2 outputs of a convolutional layer; as above."
    )
    dense: Sizes = Field(
        (128,),
        description="Neurons of each fully-connected layer before the logits; `none` for no such"
        " layer.",
    )
    activation: Literal["relu", "sigmoid", "tanh"] = Field(
        "relu", description="Follows every layer but the last."
    )
    activation_first: bool = Field(
        False, description="Put the activation before pooling, which costs four times as much."
    )
    logits_activation: Literal["none", "relu"] = Field(
        "none", description="Follows the last layer."
    )
    normalisation: bool = Field(
        False, description="Normalise each batch before the activations (batch normalisation)."
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the fully-connected layers' outputs that is left out in training.",
    )
    initial_weights: Literal["normal", "he"] = Field(
        "normal",
        description="What weights start from: a truncated normal of --initial-sigma, or one whose"
        " width fits the size of the layer (He et al. 2015).",
    )
    initial_sigma: PositiveFloat = Field(
        0.05, description="Standard deviation of the truncated normal that weights start from."
    )
    initial_bias: float = Field(0.05, description="Value that biases start from.")

    @model_validator(mode="after")
    def one_or_one_for_each(self) -> Self:
        layers = len(self.conv_filters)
        for name in ("conv_sizes", "conv_strides", "pooling"):
            count = len(getattr(self, name))
            if layers and count not in (1, layers):
                raise ValueError(
                    f"--{name.replace('_', '-')} names {count} layers and --conv-filters"
                    f" {layers}; give one for all layers, or one for each"
                )
        return self
