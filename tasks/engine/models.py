"""Records: the small, frozen values that stages take and return."""

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    field_validator,
    model_validator,
)

from tasks.engine.digests import json_sha256


class NotInKey:
    """Mark a field that does not influence a stage's result."""


def check_relative(path: str) -> str:
    """Return a path that stays below the artifact root.

    Raises:
        ValueError: it is absolute, or has other than plain names in it.
    """
    if "\\" in path or not path.isprintable():
        raise ValueError("should be printable, with forward slashes")
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError("should be relative to the artifact root, without `.` and `..`")
    return path


def check_printable(text: str) -> str:
    """Return a text without control characters, which a terminal would obey.

    Raises:
        ValueError: it has some.
    """
    if not text.isprintable():
        raise ValueError("should hold printable characters alone")
    return text


class FileRef(BaseModel):
    """A file below the artifact root and its expected content."""

    model_config = ConfigDict(frozen=True)

    path: Annotated[str, AfterValidator(check_relative)]
    """Relative to the artifact root, with forward slashes."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: NonNegativeInt
    """Bytes."""

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


class Record(BaseModel):
    """Base of the values that stages return: facts and `FileRef`s, no arrays."""

    model_config = ConfigDict(frozen=True)


class StageRecord(BaseModel):
    """The cache entry of one finished stage run, `records/<stage>-<key>.json`."""

    model_config = ConfigDict(frozen=True)

    stage: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    label: Annotated[str, AfterValidator(check_printable)]
    """Name of the run, e.g. `train-100`."""
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    key_inputs: dict[str, Any]
    """Everything that the key was computed from."""
    reason: Annotated[str, AfterValidator(check_printable)]
    """Why the stage ran."""
    seconds: float
    instructions: Annotated[str, AfterValidator(check_printable)] = ""
    """Vector instructions of the processor that computed it, such as `AVX2`; empty if not known.

    The last bits of floating-point results differ between processors. They are not in the key.
    """
    output: dict[str, Any]
    """The record that the stage returned."""
    output_sha256: str
    """Digest of the output when it was written; a changed output is not used."""

    @model_validator(mode="before")
    @classmethod
    def seal(cls, values: Any) -> Any:
        """Add the digest of the output to a new record."""
        if isinstance(values, dict) and "output" in values:
            values = {"output_sha256": json_sha256(values["output"]), **values}
        return values

    @field_validator("key_inputs")
    @classmethod
    def check_key_inputs(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Reject key inputs of another form, such as code without digests."""
        groups = [values.get(name, {}) for name in ("arguments", "code", "libraries")]
        if not all(isinstance(group, dict) for group in groups):
            raise ValueError("arguments, code and libraries should be by name")
        if not all(isinstance(digest, str) for digest in groups[1].values()):
            raise ValueError("code should be given by digests")
        return values

    @model_validator(mode="after")
    def check_output(self) -> Self:
        """Reject an output that was changed after it was written, or names no proper files."""
        if self.output_sha256 != json_sha256(self.output):
            raise ValueError("the output was changed")
        for _ in file_refs(self.output):
            pass
        return self


def file_refs(value: object) -> Iterator[FileRef]:
    """Yield every `FileRef` in a record, or in a record's JSON form."""
    if isinstance(value, FileRef):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from file_refs(getattr(value, name))
    elif isinstance(value, dict):
        if value.keys() == FileRef.model_fields.keys():
            yield FileRef.model_validate(value)
        else:
            for item in value.values():
                yield from file_refs(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from file_refs(item)
