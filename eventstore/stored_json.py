"""A stored event as text: its JSON exactly as PostgreSQL stores it, to any depth."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson

from eventstore.printable import printable

_ENVELOPE = (
    "position",
    "stream_id",
    "version",
    "event_id",
    "category",
    "type",
    "schema_version",
    "occurred_at",
    "recorded_at",
)
_CATEGORY_WIDTH = 9
_TYPE_WIDTH = 24
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_STRING_OR_BRACKET = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)
_SCALAR = re.compile(rf"{_STRING}|[^,}}]*", re.DOTALL)
_OPENING = frozenset("[{")


def as_line(row: Any) -> str:
    """Return an event as one line of fields separated by spaces; a text with spaces is in quotes."""
    texts = (f"{_field(name)}={_field(value)}" for name, value in pairs(row["data"]))
    return (
        f"{row['position']:>9} {time_text(row['recorded_at'])} {_field(row['category']):<{_CATEGORY_WIDTH}} "
        f"{_field(row['type']):<{_TYPE_WIDTH}} {row['stream_id']} v{row['version']:<4} {' '.join(texts)}"
    ).rstrip()


def as_json(row: Any) -> str:
    """Return an event as a JSON object; stored values are copied digit for digit."""
    envelope = {name: row[name] for name in _ENVELOPE}
    envelope |= {name: _infinity(row[name]) or row[name] for name in ("occurred_at", "recorded_at")}
    stored = {name: orjson.Fragment(row[name]) for name in ("metadata", "data")}
    return orjson.dumps(envelope | stored, default=str).decode()  # asyncpg has its own UUID class


def pairs(data: str) -> Iterator[tuple[str, str]]:
    """Yield the members of a JSON object: texts without quotes, all other values as they are stored.

    Args:
        data: The text of a jsonb value. If it is not an object, it is yielded as one value named `data`.
    """
    if not data.startswith("{"):
        yield "data", data
        return
    place = 1
    while data[place] != "}":
        name, place = _value(data, place)
        value, place = _value(data, place + len(": "))
        yield json.loads(name), json.loads(value) if value.startswith('"') else value
        if data[place] == ",":
            place += len(", ")


def time_text(when: datetime) -> str:
    """Return a time in UTC, to the millisecond."""
    return _infinity(when) or when.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")


def _infinity(when: datetime) -> str | None:
    if when.tzinfo is not None:  # the driver returns infinite times without a time zone
        return None
    return "infinity" if when.year > 1 else "-infinity"


def _field(text: str) -> str:
    """Return a text without spaces as it is, and any other text in quotes."""
    if not text.startswith('"') and not any(map(str.isspace, text)):
        return printable(text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{printable(escaped)}"'


def _value(data: str, start: int) -> tuple[str, int]:
    """Return the value that begins at an index, and the index after it."""
    if data[start] not in _OPENING:
        found = _SCALAR.match(data, start)
        end = start if found is None else found.end()
        return data[start:end], end
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(data, start):
        text = token.group()
        if text[0] != '"':
            depth += 1 if text in _OPENING else -1
            if depth == 0:
                return data[start : token.end()], token.end()
    return data[start:], len(data)
