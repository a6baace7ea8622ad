"""Settings as a form asks for them: every field may stay empty.

Prefect's forms fill in each default that a schema has, and a value that is filled in counts as
given, so that a preset would have no effect. In this form fields have no default: an empty field
takes the preset's value.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue, SkipJsonSchema
from pydantic_core import CoreSchema

from tasks.settings.base import Number
from tasks.settings.presets import Preset
from tasks.settings.run import Settings
from tasks.settings.training import Rate, Seed


class MoreSettings(BaseModel):
    """All other settings; an empty field takes the preset's value."""

    model_config = ConfigDict(extra="allow")

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _core: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return a flat schema of the settings that are not among the first."""
        properties = {
            name: without_default(schema)
            | {"position": position, "title": name.replace("_", " ").capitalize()}
            for position, (name, (_, schema)) in enumerate(leaf_schemas().items())
            if name not in FormSettings.model_fields
        }
        return {
            "title": "More",
            "type": "object",
            "description": cls.__doc__,
            "properties": properties,
            "additionalProperties": False,
        }


class FormSettings(BaseModel):
    """Most people change only these; an empty field takes the preset's value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # A form shows a field of one type as an empty box, and one that may be null as a switch.
    preset: Preset = Field(
        "tutorial",
        description="tutorial (98.7 % in 10,000 iterations), fast (the same network, 99 % in a"
        " 25th of the time) or best (a larger network, 99.67 %). A field that is filled in"
        " replaces the preset's value.",
    )
    iterations: Number | SkipJsonSchema[None] = Field(
        None, description="Training iterations in all. Empty: the preset's."
    )
    learning_rate: Rate | SkipJsonSchema[None] = Field(
        None, description="The optimizer's step size, or its peak. Empty: the preset's."
    )
    seed: Seed | SkipJsonSchema[None] = Field(
        None, description="Seed of the initial weights and of the order of images. Empty: 0."
    )
    source: str | SkipJsonSchema[None] = Field(
        None, description="Other data, as the worker sees them. Empty: MNIST."
    )
    more: MoreSettings | None = Field(None, description="All other settings.")

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the schema without the nulls that a form would fill in and a server refuse."""
        schema = handler(core)
        properties = handler.resolve_ref_schema(schema)["properties"]
        for position, (name, value) in enumerate(properties.items()):
            value |= {"position": position, "title": name.replace("_", " ").capitalize()}
            if name not in ("preset", "more"):
                value.pop("default", None)
        return schema

    def settings(self) -> Settings:
        """Return the settings that the form asks for.

        Raises:
            ValidationError: a value is not allowed.
        """
        groups = {name: group for name, (group, _) in leaf_schemas().items()}
        values: dict[str, Any] = {}
        more = self.more.model_dump() if self.more else {}
        for name, value in (more | self.model_dump(exclude={"more"})).items():
            if value is None:
                continue
            group = groups.get(name)
            place = values.setdefault(group, {}) if group else values
            place[name] = value
        return Settings.model_validate(values)


def leaf_schemas() -> dict[str, tuple[str | None, JsonSchemaValue]]:
    """Return group and JSON schema of every setting, by name; names are unique, as in options."""
    own = Settings.model_json_schema()["properties"]
    found: dict[str, tuple[str | None, JsonSchemaValue]] = {}
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, BaseModel):
            leaves = type(field.default).model_json_schema()["properties"]
            found |= {leaf: (name, schema) for leaf, schema in leaves.items()}
        else:
            found[name] = (None, own[name])
    return found


def without_default(schema: JsonSchemaValue) -> JsonSchemaValue:
    """Return the schema of a field that may stay empty: its default stands in the description."""
    schema = dict(schema)
    default = schema.pop("default", None)
    types = [part for part in schema.pop("anyOf", [schema]) if part != {"type": "null"}]
    for part in types:
        schema |= part
    if schema.get("type") == "boolean":
        schema |= {"type": "string", "enum": ["true", "false"]}  # a switch could not stay empty
    if default not in (None, []) and "Default" not in schema["description"]:
        shown = ", ".join(map(str, default)) if isinstance(default, list) else default
        schema["description"] += f" Tutorial: {shown}."
    return schema
