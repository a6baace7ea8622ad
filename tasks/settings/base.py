"""Types that the groups of settings share."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def split_commas(value: object) -> object:
    """Let a list be written `0,1,100`, as on the command line."""
    if isinstance(value, str):
        value = (value,)
    if isinstance(value, (list, tuple)):
        return tuple(
            part
            for item in value
            for part in (item.split(",") if isinstance(item, str) else [item])
        )
    return value


def split_items(value: object) -> object:
    """Let a list be written `0,1,100`, and a list without items `none`."""
    return () if value in ("none", ("none",), ["none"]) else split_commas(value)


def without_password(address: str) -> str:
    """Return the address of an artifact root; refuse a URL with a password."""
    parts = urlsplit(address)
    if "://" in address and parts.password is not None:
        raise ValueError(
            "should hold no password, since Prefect's server stores the settings of a run; set"
            " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return address


Commas = BeforeValidator(split_items)
# Upper bounds keep typing errors from using all memory; usual networks are far below.
MAX_LAYERS = 50
Number = Annotated[int, Field(ge=0, le=10**9)]
Numbers = Annotated[tuple[Number, ...], Commas]
Root = Annotated[
    str,
    BeforeValidator(str),
    AfterValidator(without_password),
    # A form refuses passwords before they get into a database.
    Field(json_schema_extra={"pattern": r"^(?!\w+://[^/@]*:[^/@]*@)"}),
]
"""A folder or a URL."""
Size = Annotated[int, Field(ge=1, le=4096)]
Sizes = Annotated[tuple[Size, ...], Field(max_length=MAX_LAYERS), Commas]
Pixels = Annotated[int, Field(ge=1, le=255)]
PixelSizes = Annotated[tuple[Pixels, ...], Field(min_length=1, max_length=MAX_LAYERS), Commas]
BatchSize = Annotated[int, Field(ge=1, le=65_536)]
Share = Annotated[float, Field(ge=0, le=1)]


class StageSettings(BaseModel):
    """Base of all settings, among them the groups that stages receive."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
