"""Messages and fields of settings."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError


def fault(model: type[BaseModel], **values: object) -> str:
    """Return the error message for invalid values; one line."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    [error] = caught.value.errors()
    message: str = error["msg"]
    assert "\n" not in message
    return message


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every option of a JSON schema: all fields except nested models."""
    for model in [schema, *schema.get("$defs", {}).values()]:
        for name, field in model["properties"].items():
            if "$ref" not in field:
                yield name, field
