"""The schemas of event classes, in a form that can be committed and compared.

Pydantic's JSON schema of a class is converted to a form that does not change between pydantic
versions and holds only what matters to stored events. It has no titles and no descriptions,
references are resolved, and a decimal is `{"type": "decimal"}`. `occurred_at` is left out, because
the envelope has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

import orjson
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from eventstore.core.event import Event
from eventstore.core.registry import EventRegistry
from eventstore.errors import ConfigurationError

EventSchema: TypeAlias = dict[str, Any]
"""`schema_version`, and `fields`: for each field `schema`, `required` and, if any, `default`.

For a type whose class was removed, `given_up` is set and `fields` is empty. Its `schema_version` is
the highest version that an upcaster takes.
"""

_FORMAT = 1
_OF_NO_MATTER = {"title", "description", "examples", "deprecated", "default", "$defs"}
# Other names that pydantic uses for the same constraints, after a custom validator.
_SAME = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
    "min_length": "minLength",
    "max_length": "maxLength",
}
_DEPTH_MAX = 32


def snapshot_of(classes: Iterable[type[Event]]) -> dict[str, EventSchema]:
    """Return the schema of each event class, by `category/Type`.

    Args:
        classes: The classes. For a registry, the result also has the types without a class that its
            upcasters take.
    """
    found: dict[str, EventSchema] = {
        f"{each.category}/{each.type}": {
            "schema_version": each.schema_version,
            "fields": canonical_fields(each),
        }
        for each in classes
    }
    if isinstance(classes, EventRegistry):
        given_up: dict[str, int] = {}
        for category, type_, version in classes.upcasters:
            event = f"{category}/{type_}"
            given_up[event] = max(version, given_up.get(event, 0))
        for event, version in given_up.items():
            found.setdefault(event, {"schema_version": version, "fields": {}, "given_up": True})
    return dict(sorted(found.items()))


def write_snapshot(snapshot: Mapping[str, EventSchema]) -> bytes:
    """Return a snapshot as file content: JSON, sorted and indented, so that a diff is readable."""
    content = {"format": _FORMAT, "events": snapshot}
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


def parse_snapshot(content: bytes, *, name: str) -> dict[str, EventSchema]:
    """Return the snapshot from the content of a file.

    Args:
        content: The result of `write_snapshot`.
        name: The file's name, for the error.

    Raises:
        ConfigurationError: The content is not a snapshot, or has another format version.
    """
    try:
        parsed = orjson.loads(content)
        events: dict[str, EventSchema] = parsed["events"]
        if parsed["format"] != _FORMAT:
            raise ConfigurationError(
                f"{name} has format {parsed['format']}, but this program reads format {_FORMAT}"
            )
        for each in events.values():
            int(each["schema_version"])
            dict(each["fields"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{name} is not a snapshot of event schemas: {error!r}") from error
    return events


def canonical_fields(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schemas of a model's fields, without `occurred_at`, which is in the envelope."""
    schema = model.model_json_schema(schema_generator=_StoredJson)
    fields = _fields(schema, schema.get("$defs", {}), 0)
    fields.pop("occurred_at", None)
    return fields


def _fields(schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int) -> dict[str, Any]:
    required = set(schema.get("required", ()))
    fields: dict[str, Any] = {}
    for name, field in schema.get("properties", {}).items():
        fields[name] = {"schema": _node(field, definitions, depth + 1), "required": name in required}
        if "default" in field:
            fields[name]["default"] = field["default"]
    return fields


def _node(schema: Any, definitions: Mapping[str, Any], depth: int) -> Any:
    """Return a schema as a list of alternatives, or as the only alternative."""
    if not isinstance(schema, Mapping):
        return schema
    alternatives = _alternatives(schema, definitions, depth)
    ordered = sorted(alternatives, key=lambda each: orjson.dumps(each, option=orjson.OPT_SORT_KEYS))
    return ordered[0] if len(ordered) == 1 else ordered


def _alternatives(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int
) -> list[dict[str, Any]]:
    if depth > _DEPTH_MAX:
        return [{"type": "object", "recursive": True}]
    rest = {_SAME.get(name, name): value for name, value in schema.items() if name not in _OF_NO_MATTER}
    if "$ref" in rest:
        found = definitions[rest.pop("$ref").rpartition("/")[2]]
        return [each | rest for each in _alternatives(found, definitions, depth + 1)]
    for keyword in ("anyOf", "oneOf", "allOf"):
        if keyword in rest:
            among = rest.pop(keyword)
            rest.pop("discriminator", None)
            return [
                {**each, **rest} if each.get("type") != "null" else each
                for one in among
                for each in _alternatives(one, definitions, depth + 1)
            ]
    if "properties" in rest:
        rest["fields"] = _fields(rest, definitions, depth)
        del rest["properties"]
        rest.pop("required", None)
    for keyword in ("items", "additionalProperties", "propertyNames"):
        if keyword in rest:
            rest[keyword] = _node(rest[keyword], definitions, depth + 1)
    if "prefixItems" in rest:
        rest["prefixItems"] = [_node(each, definitions, depth + 1) for each in rest["prefixItems"]]
    if "enum" in rest:
        rest["enum"] = sorted(rest["enum"], key=str)
    return [rest]


class _StoredJson(GenerateJsonSchema):
    """Pydantic's JSON schema with additions, because changes of these may break old events too."""

    def decimal_schema(self, schema: Any) -> dict[str, Any]:
        """Add digits and decimal places, and exact bounds."""
        constraints = {name: schema[name] for name in ("max_digits", "decimal_places") if name in schema}
        bounds = {_SAME[name]: _exact(schema[name]) for name in ("gt", "ge", "lt", "le") if name in schema}
        if "multiple_of" in schema:
            bounds["multipleOf"] = _exact(schema["multiple_of"])
        return {**constraints, **bounds, "type": "decimal"}

    def dict_schema(self, schema: Any) -> dict[str, Any]:
        """Add the type of the keys, because all keys are text in JSON."""
        found = super().dict_schema(schema)
        if "keys_schema" in schema and "propertyNames" not in found:
            keys = self.generate_inner(schema["keys_schema"])
            if keys.get("type", "string") != "string":
                found["propertyNames"] = keys
        return found

    def default_schema(self, schema: Any) -> dict[str, Any]:
        """Add the default of a factory that returns a constant collection.

        Other factories may read a clock or draw at random.
        """
        found = super().default_schema(schema)
        default, factory = schema.get("default"), schema.get("default_factory")
        if factory is not None and not schema.get("default_factory_takes_data"):
            default = factory()
            if isinstance(default, tuple | list | dict | set | frozenset) and default == factory():
                found = {**found, "default": self.encode_default(default)}
        if isinstance(default, set | frozenset) and "default" in found:
            # The order of a set differs between processes.
            found = {**found, "default": sorted(found["default"], key=orjson.dumps)}
        return found


def _exact(bound: Any) -> float | str:
    """Return a bound as a float, as pydantic does, if that is exact; otherwise as text."""
    return float(bound) if Decimal(float(bound)) == Decimal(bound) else str(bound)
