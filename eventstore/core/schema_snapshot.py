"""The schemas of event classes, in a form to be committed and compared.

Pydantic's JSON schema of a class is brought to a form that stays the same from one pydantic version to the next and has
nothing in it that does not matter to stored events: no titles, no descriptions, references written out, a decimal as
`{"type": "decimal"}`. `occurred_at` is left out, since the envelope has it.
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
"""`schema_version`, and `fields`: of each field `schema`, `required`, and `default` where there is one.

Of a type whose class was given up, `given_up` instead of fields: the highest version that an upcaster takes.
"""

_FORMAT = 1
_OF_NO_MATTER = {"title", "description", "examples", "deprecated", "default", "$defs"}
# Names that pydantic gives the same constraint, by way of a validator of one's own.
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
        classes: The classes; of a registry also the types without a class that its upcasters take.
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
    """Return a snapshot as the content of a file: JSON, sorted and indented, so that changes show in a diff."""
    content = {"format": _FORMAT, "events": snapshot}
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


def parse_snapshot(content: bytes, *, name: str) -> dict[str, EventSchema]:
    """Return the snapshot that a file holds.

    Args:
        content: What `write_snapshot` gave.
        name: The file's name, for the error.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        parsed = orjson.loads(content)
        events: dict[str, EventSchema] = parsed["events"]
        if parsed["format"] != _FORMAT:
            raise ConfigurationError(f"{name} has format {parsed['format']}, this program knows {_FORMAT}")
        for each in events.values():
            int(each["schema_version"])
            dict(each["fields"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{name} is no snapshot of event schemas: {error!r}") from error
    return events


def canonical_fields(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schemas of a model's fields; without `occurred_at`, which an event has in its envelope."""
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
    """Return a schema as a list of alternatives, or as the one that there is."""
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
    """Pydantic's JSON schema, with what it leaves out of it although old events may break by it."""

    def decimal_schema(self, schema: Any) -> dict[str, Any]:
        """Give digits and places, and bounds to the last digit."""
        constraints = {name: schema[name] for name in ("max_digits", "decimal_places") if name in schema}
        bounds = {_SAME[name]: _exact(schema[name]) for name in ("gt", "ge", "lt", "le") if name in schema}
        if "multiple_of" in schema:
            bounds["multipleOf"] = _exact(schema["multiple_of"])
        return {**constraints, **bounds, "type": "decimal"}

    def dict_schema(self, schema: Any) -> dict[str, Any]:
        """Give the type of the keys, which in JSON are texts whatever they were."""
        found = super().dict_schema(schema)
        if "keys_schema" in schema and "propertyNames" not in found:
            keys = self.generate_inner(schema["keys_schema"])
            if keys.get("type", "string") != "string":
                found["propertyNames"] = keys
        return found

    def default_schema(self, schema: Any) -> dict[str, Any]:
        """Give the collection that a factory makes; what else it makes may be drawn from a clock, or at random."""
        found = super().default_schema(schema)
        default, factory = schema.get("default"), schema.get("default_factory")
        if factory is not None and not schema.get("default_factory_takes_data"):
            default = factory()
            if isinstance(default, tuple | list | dict | set | frozenset) and default == factory():
                found = {**found, "default": self.encode_default(default)}
        if isinstance(default, set | frozenset) and "default" in found:
            # Its own order is another one in each process.
            found = {**found, "default": sorted(found["default"], key=orjson.dumps)}
        return found


def _exact(bound: Any) -> float | str:
    """Return a bound as pydantic writes it where that is exact."""
    return float(bound) if Decimal(float(bound)) == Decimal(bound) else str(bound)
