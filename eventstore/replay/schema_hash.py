"""The statements of a read table's past, and the checksum of what a stored state depends on."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from zlib import crc32

import orjson

from eventstore.core.schema_snapshot import canonical_fields
from eventstore.sql import Template, fill, template

if TYPE_CHECKING:
    from eventstore.core.entity import Entity

_SIGNED_32 = 1 << 31


@cache
def of_table(name: str, table: str) -> Template:
    """Return a statement about the past of one read table.

    Args:
        name: The statement's name, such as `replay/rows_within`.
        table: The read table: `orders`, `positions` ...
    """
    return fill(template(name), table=table)


def schema_hash(kind: type[Entity], version: int) -> int:
    """Return a checksum of what a stored state depends on besides its events; states with another one are not read.

    The checksum is the same in every process.

    Args:
        kind: The class of the entity, with its fields.
        version: The version of its projection.
    """
    checksum = crc32(b"\n".join((_fields(kind), b"%d" % version)))
    return checksum - 2 * _SIGNED_32 if checksum >= _SIGNED_32 else checksum


@cache
def _fields(kind: type[Entity]) -> bytes:
    # Not the text of the annotations: for a validator it contains its address in this process.
    return orjson.dumps(canonical_fields(kind), option=orjson.OPT_SORT_KEYS)
