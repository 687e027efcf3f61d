"""Keys: their normal form, their text, and the partition of each."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any
from uuid import UUID
from zlib import crc32

import orjson

from eventstore.core.context import in_utc
from eventstore.mapping.rows import Column

# An index entry takes 2,700 bytes, and includes the name of the projection.
_TEXT_BYTES_MAX = 1_000
_BEGINNING_BYTES = 900


def key_text(key: Sequence[Any]) -> str:
    """Return a key as text, the same in every process and version: a JSON list.

    If a key is too long for an index, the text is its beginning and a digest of the whole key.

    Args:
        key: The key in its normal form, as `Projection.key_of` returns it.
    """
    try:
        text = orjson.dumps(list(key), default=str)
    except TypeError:
        text = _unusual_text(key)
    if len(text) <= _TEXT_BYTES_MAX:
        return text.decode()
    return f"{text[:_BEGINNING_BYTES].decode(errors='ignore')}... {blake2b(text, digest_size=16).hexdigest()}"


def _unusual_text(key: Sequence[Any]) -> bytes:
    """Return the text of a key that orjson refuses, so that its event can still be folded or put in quarantine."""
    texts = list(map(_text_of, key))
    try:
        return orjson.dumps(texts)  # an integer of more than 64 bits was among them
    except TypeError:  # lone surrogates, which JSON can escape
        return json.dumps(texts).encode()


def _text_of(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a user's class may raise any error
        return f"a value of {type(value).__qualname__} without a text"


def partition_of(key: Sequence[Any], partitions: int) -> int:
    """Return the partition of a key, or its shard: the same in every process and version.

    It is a hash of the key modulo the number of partitions. The hash of a key that is one UUID, such as the id of
    a stream, is `uuid_hash`: the server computes the same, so it can read the events of one shard alone. The hash
    of any other key, which no column of the log has, is CRC-32 of its text.
    """
    if partitions == 1:
        return 0
    if len(key) == 1 and isinstance(key[0], UUID):
        return uuid_hash(key[0]) % partitions
    return crc32(key_text(key).encode()) % partitions


def uuid_hash(id: UUID) -> int:
    """Return the hash of a UUID, the same as `{uuid_hash column}` in a statement.

    It is the sum of two 16-bit numbers: one varies in UUIDs of version 1, which are made from the time, the other
    in all other versions.
    """
    value = id.int
    return (value >> 96 & 0xFFFF) + (value & 0xFFFF)


def normal_form(column: Column) -> Callable[[Any], Any] | None:
    """Return a function that gives equal values of a key's column the same form, the one that the database returns.

    1.5 and 1.50 are one key, and so is one point in time in two time zones; an enum is its text. None if equal
    values always have the same form.
    """
    if column.encode is not None:
        return _value_of_enum
    return {"numeric": _fewest_digits, "timestamptz": _in_utc}.get(column.parameter_type)


def _value_of_enum(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value


def _fewest_digits(value: Any) -> Any:
    if not isinstance(value, Decimal):
        return Decimal(value) if type(value) is int else value
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return Decimal("0" if text == "-0" else text)


def _in_utc(value: Any) -> Any:
    # A naive datetime means local time, as in the standard library.
    return in_utc(value) if isinstance(value, datetime) else value
