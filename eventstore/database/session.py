"""What a connection is told, and what is learned from it, before it is lent for the first time."""

from __future__ import annotations

from typing import Any

from eventstore.sql import template

__all__ = ["find_schema", "learn_types"]

# asyncpg looks up how to read an array by a statement of its own, whose operators a hostile schema of the search path could
# replace. So all that the library's statements and read tables use are looked up at once, where only PostgreSQL's own
# are found.
_ARRAYS = ("bool", "bytea", "date", "int2", "int4", "int8", "jsonb", "numeric", "text", "timestamptz", "uuid")
_EVERY_ARRAY = "SELECT " + ", ".join(f"NULL::pg_catalog.{name}[]" for name in _ARRAYS)


async def find_schema(connection: Any) -> str | None:
    """Return the first schema of the session's search path that exists; None where there is none.

    Raises:
        Exception: Errors of asyncpg, not mapped.
    """
    schema: str | None = await connection.fetchval(template("database/find_schema"))
    return schema


async def learn_types(connection: Any) -> None:
    """Let the driver look up the types that the library uses, under a search path that holds nobody's objects.

    Raises:
        Exception: Errors of asyncpg, not mapped.
    """
    await connection.execute("BEGIN; SET LOCAL search_path = pg_catalog")
    await connection.prepare(_EVERY_ARRAY)
    await connection.execute("COMMIT")
