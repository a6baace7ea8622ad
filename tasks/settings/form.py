"""Settings as a form asks for them: every field may stay empty, and then has the preset's value.

Prefect's forms fill in each default that a schema has, and a value that is filled in counts as
given, so that a preset would have no effect. So the fields of this form, which are those of
`Settings`, have no default.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from tasks.settings.run import Settings

FIRST = ("preset", "iterations", "learning_rate", "seed", "source")
"""Settings that most people change; the others are folded at first."""


class MoreSettings(BaseModel):
    """All other settings; an empty field takes the preset's value."""

    model_config = ConfigDict(frozen=True, extra="allow", title="More")

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return a flat schema, without the nulls that a form would fill in and a server refuse."""
        schema = handler(core)
        own = handler.resolve_ref_schema(schema)
        leaves = {
            name: leaf if name == "preset" else without_default(leaf)
            for name, (_, leaf) in leaf_schemas().items()
        }
        names = FIRST if cls is FormSettings else [name for name in leaves if name not in FIRST]
        properties = {name: leaves[name] for name in names} | own.get("properties", {})
        for position, (name, leaf) in enumerate(properties.items()):
            leaf |= {"position": position, "title": name.replace("_", " ").capitalize()}
        own |= {"properties": properties, "additionalProperties": False}
        return schema


class FormSettings(MoreSettings):
    """Most people change only these; an empty field takes the preset's value."""

    model_config = ConfigDict(title="Form")

    more: MoreSettings | None = Field(None, description="All other settings.")

    def settings(self) -> Settings:
        """Return the settings that the form asks for.

        Raises:
            ValidationError: a value is not allowed.
        """
        more = self.more.model_dump() if self.more else {}
        values: dict[str, Any] = {}
        for name, value in (more | self.model_dump(exclude={"more"})).items():
            group, _ = leaf_schemas().get(name, (None, {}))
            if value is not None:
                (values.setdefault(group, {}) if group else values)[name] = value
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
    for part in schema.pop("anyOf", []):
        if part != {"type": "null"}:  # a form shows what may be null as a switch
            schema |= part
    if schema.get("type") == "boolean":
        schema |= {"type": "string", "enum": ["true", "false"]}  # a switch could not stay empty
    if default not in (None, []) and "Default" not in schema["description"]:
        shown = ", ".join(map(str, default)) if isinstance(default, list) else default
        schema["description"] += f" Tutorial: {shown}."
    return schema
