"""What a connection is told, and what is learned from it, before it is lent for the first time."""

from __future__ import annotations

from typing import Any

from eventstore.sql import template

__all__ = ["array_codecs", "find_schema", "learn_types"]

# The arrays that the library's statements and read tables use, and their elements. PostgreSQL's own types have these
# numbers for good.
_ARRAYS = {
    "bool": (1000, 16),
    "bytea": (1001, 17),
    "date": (1182, 1082),
    "int2": (1005, 21),
    "int4": (1007, 23),
    "int8": (1016, 20),
    "jsonb": (3807, 3802),
    "numeric": (1231, 1700),
    "timestamptz": (1185, 1184),
    "uuid": (2951, 2950),
}
# As asyncpg's own look-up of types returns them.
_RECORDS = [
    {
        "oid": oid,
        "ns": "pg_catalog",
        "name": f"_{name}",
        "kind": b"b",
        "basetype": None,
        "elemtype": element,
        "elemdelim": ",",
        "range_subtype": None,
        "attrtypoids": None,
        "attrnames": None,
        "depth": 1,
        "basetype_name": None,
        "elemtype_name": name,
        "range_subtype_name": None,
    }
    for name, (oid, element) in _ARRAYS.items()
]


async def find_schema(connection: Any) -> str | None:
    """Return the first schema of the session's search path that exists; None where there is none.

    Raises:
        Exception: Errors of asyncpg, not mapped.
    """
    schema: str | None = await connection.fetchval(template("database/find_schema"))
    return schema


def learn_types(connection: Any) -> None:
    """Tell the driver how to read arrays of PostgreSQL's own types.

    By itself asyncpg looks them up by a statement, which takes several round trips, and whose operators an object of
    somebody else's in the search path could replace.
    """
    connection._protocol.get_settings().register_data_types(_RECORDS)  # noqa: SLF001 - asyncpg has no public way


def array_codecs(connection: Any) -> tuple[Any, ...]:
    """Return what the driver reads and writes arrays with; other objects once a codec of an element was changed."""
    settings = connection._protocol.get_settings()  # noqa: SLF001 - asyncpg has no public way
    return tuple(settings.get_data_codec(oid, ignore_custom_codec=True) for oid, _ in _ARRAYS.values())
