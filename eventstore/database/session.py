"""What a connection is told, and what is learned from it, before it is lent for the first time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import asyncpg

from eventstore.database.protocols import Connection, the_row
from eventstore.database.server import ServerIdentity
from eventstore.private_names.asyncpg_names import codecs_of, register_types
from eventstore.sql import template

# Services that are like PostgreSQL lack a function, or give no right to it.
_NOT_TOLD = ("0A", "42", "55")

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


@dataclass(frozen=True, slots=True)
class Learned:
    """What a new connection has learned of its session and its server.

    Attributes:
        schema: The first schema of the search path that exists; None where there is none.
        server: The server.
        wal: How many bytes of write-ahead log it has written; None where it does not say.
        is_pooled: Whether a pooler stands between, so that the next statement may be another server's.
    """

    schema: str | None
    server: ServerIdentity
    wal: int | None
    is_pooled: bool


async def learn(connection: Connection) -> Learned:
    """Ask a new connection for its schema and its server.

    Raises:
        Exception: Errors of asyncpg, not mapped.
    """
    try:
        row = the_row(await connection.fetchrow(template("database/learn_server")))
    except asyncpg.PostgresError as error:
        if not (error.sqlstate or "").startswith(_NOT_TOLD):
            raise
        start = the_row(await connection.fetchrow(template("database/server_start")))
        server = ServerIdentity(start["started_at"], in_recovery=start["in_recovery"])
        return Learned(await find_schema(connection), server, None, is_pooled=False)
    server = ServerIdentity(
        row["started_at"], row["system_identifier"], row["timeline"], in_recovery=row["in_recovery"]
    )
    # A pooler makes up the process id that it tells its clients.
    is_pooled = row["backend_pid"] != connection.get_server_pid()
    return Learned(row["schema"], server, row["wal"], is_pooled)


async def find_schema(connection: Connection) -> str | None:
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
    register_types(connection, _RECORDS)


def array_codecs(connection: Any) -> tuple[Any, ...]:
    """Return what the driver reads and writes arrays with; other objects once a codec of an element was changed."""
    return codecs_of(connection, [oid for oid, _ in _ARRAYS.values()])
