"""The statements of milestones, for each of the read tables."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING
from zlib import crc32

import orjson

from eventstore.domain.schema_snapshot import canonical_fields
from eventstore.sql import Template, template

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventstore.domain.entity import Entity

__all__ = ["at_milestone", "category_form", "of_table"]

_TABLE = re.compile(r"\b(milestone_)?orders\b")
_SIGNED_32 = 1 << 31


@cache
def of_table(name: str, table: str) -> Template:
    """Return a statement that is written for `orders` or `milestone_orders`, for another table of that form.

    Args:
        name: The statement's name, such as `replay/rows_within`.
        table: The read table: `orders`, `positions` ...
    """
    return Template(_TABLE.sub(rf"\g<1>{table}", template(name)))


@cache
def at_milestone(statement: str, table: str, *, parameter: int) -> Template:
    """Return a list's statement that reads the states of a milestone instead of the read table.

    A common table expression takes the place of the table in the statement, and the planner merges it, so each filter
    is written once, and the indexes of both tables are used alike.

    Args:
        statement: The name of the list's statement, such as `orders/active`.
        table: The read table.
        parameter: The number of the parameter that has the milestone's position.
    """
    chosen = of_table("replay/milestone_set", table).replace("$1", f"${parameter}")
    lists = template(statement).removeprefix("WITH ")  # each list is a WITH query
    lists = lists.replace(f"{{schema}}.{table} ", f"{table} ")
    return Template(f"WITH {table} AS NOT MATERIALIZED (\n{chosen}\n),\n{lists}")


def category_form(kind: type[Entity], version: int, discarded: Iterable[int]) -> int:
    """Return a checksum, the same in every process, of what a stored state depends on besides its events: states of another form are not read.

    Args:
        kind: The class of the entity, with its fields.
        version: The version of its projection.
        discarded: The positions of the events that somebody decided to leave out of it.
    """
    parts = [_fields(kind), b"%d" % version, *(b"%d" % position for position in sorted(discarded))]
    checksum = crc32(b"\n".join(parts))
    return checksum - 2 * _SIGNED_32 if checksum >= _SIGNED_32 else checksum


@cache
def _fields(kind: type[Entity]) -> bytes:
    # Not the annotations' own text: where a validator is in one, it has its address in this process.
    return orjson.dumps(canonical_fields(kind), option=orjson.OPT_SORT_KEYS)
