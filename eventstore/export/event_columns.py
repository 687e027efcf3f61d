"""The columns of a frame of events: how each field is read on the server, and from an event in Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import orjson
from pydantic_core import to_jsonable_python

from eventstore.core import codec
from eventstore.core.event import Event, RecordedEvent
from eventstore.core.event_codec import event_codecs
from eventstore.errors import ConfigurationError
from eventstore.sql import literal
from eventstore.suggestions import suggestion

Kind = Literal["text", "decimal", "integer", "float", "time", "boolean", "json"]
"""What the values of a column are; `json` is the JSON of anything else, as text."""

_PLAIN: dict[type, Kind] = {
    Decimal: "decimal",
    int: "integer",
    float: "float",
    bool: "boolean",
    datetime: "time",
}
_ENVELOPE: dict[str, tuple[Kind, str]] = {
    "position": ("integer", "position"),
    "stream_id": ("text", "stream_id"),
    "version": ("integer", "version"),
    "type": ("text", "type"),
    "occurred_at": ("time", "occurred_at"),
    "recorded_at": ("time", "recorded_at"),
    "metadata": ("text", "metadata"),
}
_PREFIX = "data_"


@dataclass(frozen=True, slots=True)
class EventColumn:
    """A column of a frame of events.

    Attributes:
        name: Its name.
        kind: What its values are.
        sql: The expression that reads it on the server.
        value: Reads it from an event.
    """

    name: str
    kind: Kind
    sql: str
    value: Callable[[RecordedEvent], Any]


def event_columns(classes: Sequence[type[Event]], names: Collection[str] | None) -> list[EventColumn]:
    """Return the columns of the envelope and of each field of some event classes.

    Args:
        classes: The classes.
        names: Only these, in this order; None for all.

    Raises:
        ConfigurationError: There is no column of a name, or a field is of different types in two classes.
    """
    found = {name: _of_envelope(name) for name in _ENVELOPE}
    fields = dict.fromkeys(name for one in classes for name in one.model_fields if name != "occurred_at")
    for field in fields:
        name = f"{_PREFIX}{field}" if field in _ENVELOPE else field
        found[name] = _of_field(name, field, [one for one in classes if field in one.model_fields], classes)
    if names is None:
        return list(found.values())
    for name in names:
        if name not in found:
            raise ConfigurationError(f"these events have no column {name!r}: {suggestion(name, found)}")
    return [found[name] for name in dict.fromkeys(names)]


def is_current(classes: Sequence[type[Event]]) -> str:
    """Return the condition on a row of which the server can read each field: its JSON is that of a class of now."""
    conditions = []
    for one in classes:
        form = codec.form_of(one)
        if form.has_serializer or form.is_root or form.extras is not None:
            continue
        conditions_of_one = [
            f"category = {literal(one.category)} AND type = {literal(one.type)}",
            f"schema_version = {one.schema_version}",
            "pg_catalog.jsonb_typeof(data) = 'object'",
        ]
        for name, reader in form.readers.items():
            if name == "occurred_at" or (name in form.defaults and name not in form.made):
                continue
            key = f"{literal(name)}::pg_catalog.text"
            conditions_of_one.append(f"data ? {key}" if reader.may_be_none else f"data ->> {key} IS NOT NULL")
        condition = " AND ".join(conditions_of_one)
        conditions.append(f"({condition})")
    return " OR ".join(conditions) or "false"


def _of_envelope(name: str) -> EventColumn:
    kind, sql = _ENVELOPE[name]
    return EventColumn(name, kind, sql, _ENVELOPE_VALUES[name])


_ENVELOPE_VALUES: dict[str, Callable[[RecordedEvent], Any]] = {
    "position": lambda one: one.position,
    "stream_id": lambda one: str(one.stream_id),
    "version": lambda one: one.version,
    "type": lambda one: one.type,
    "occurred_at": lambda one: one.occurred_at,
    "recorded_at": lambda one: one.recorded_at,
    "metadata": lambda one: as_jsonb(dict(one.metadata)),
}


def _of_field(
    name: str, field: str, having: Sequence[type[Event]], classes: Sequence[type[Event]]
) -> EventColumn:
    kinds = {_kind(one, field) for one in having}
    if len(kinds) > 1:
        named = ", ".join(f"{one.type} ({_kind(one, field)})" for one in having)
        raise ConfigurationError(
            f"the field {field} is not of one type: {named}: ask for fewer types, or leave the column out"
        )
    kind = kinds.pop()
    expressions = {one: _expression(one, field) for one in having}
    if len(set(expressions.values())) == 1 and len(having) == len(classes):
        sql = expressions[having[0]]
    else:
        cases = " ".join(
            f"WHEN category = {literal(one.category)} AND type = {literal(one.type)} THEN {sql}"
            for one, sql in expressions.items()
        )
        sql = f"CASE {cases} END"
    holders = tuple(having)

    def value(recorded: RecordedEvent) -> Any:
        event = recorded.event
        return told(event, field, kind) if isinstance(event, holders) else None

    return EventColumn(name, kind, sql, value)


def _kind(event_class: type[Event], field: str) -> Kind:
    reader = codec.form_of(event_class).readers.get(field)
    if reader is None or reader.is_opaque:
        return "json"
    types = reader.types - {type(None)}
    if len(types) == 1 and (one := next(iter(types))) in _PLAIN:
        return _PLAIN[one]
    if types and all(issubclass(one, str | UUID) for one in types):
        return "text"
    return "json"


def _expression(event_class: type[Event], field: str) -> str:
    form, key = codec.form_of(event_class), f"{literal(field)}::pg_catalog.text"
    value = f"data ->> {key}"
    default = form.defaults.get(field)
    if default is None:
        return value
    text = literal(_text(default, _kind(event_class, field)))
    if form.readers[field].may_be_none:
        return f"CASE WHEN data ? {key} THEN {value} ELSE {text} END"
    return f"COALESCE({value}, {text})"


def _text(value: Any, kind: Kind) -> str:
    """Return a value as the server tells it."""
    if kind == "json":
        return as_jsonb(to_jsonable_python(value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, datetime):
        return value.isoformat()
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def told(event: Event, field: str, kind: Kind) -> Any:
    """Return the value of a field as its column has it."""
    value = getattr(event, field)
    if value is None:
        return None
    if kind == "json":
        stored = orjson.loads(event_codecs[type(event)].encode(event))
        return as_jsonb(stored[field] if field in stored else to_jsonable_python(value))
    if isinstance(value, Enum):
        value = value.value
    return str(value) if kind == "text" else value


def as_jsonb(value: Any) -> str:
    """Return JSON as jsonb prints it: keys by length, then by bytes."""
    return json.dumps(_sorted(value), ensure_ascii=False, separators=(", ", ": "))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
        return {key: _sorted(value[key]) for key in keys}
    if isinstance(value, list | tuple):
        return [_sorted(one) for one in value]
    return value
