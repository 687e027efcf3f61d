"""The preparation of a connection before its first loan: it asks the server, and configures the driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import asyncpg

from eventstore.database.protocols import Connection, the_row
from eventstore.database.server import ServerIdentity
from eventstore.private_names.asyncpg_names import codecs_of, register_types
from eventstore.sql import template

# Services that resemble PostgreSQL may lack a function, or refuse the right to call it.
_NOT_TOLD = ("0A", "42", "55")

# The array types that the library's statements and read tables use, and their element types. The numbers of
# PostgreSQL's built-in types never change.
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
# In the form that asyncpg's own look-up of types returns.
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
    """The session and the server of a new connection.

    Attributes:
        schema: The first existing schema of the search path; None if none exists.
        server: The server.
        wal: The bytes of write-ahead log that the server has written; None if it does not reveal it.
        is_pooled: Whether it is a connection through a pooler, so that the next statement may reach
            another server.
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
    # A pooler invents the process id that it sends to its clients.
    is_pooled = row["backend_pid"] != connection.get_server_pid()
    return Learned(row["schema"], server, row["wal"], is_pooled)


async def find_schema(connection: Connection) -> str | None:
    """Return the first existing schema of the session's search path; None if none exists.

    Raises:
        Exception: Errors of asyncpg, not mapped.
    """
    schema: str | None = await connection.fetchval(template("database/find_schema"))
    return schema


def learn_types(connection: Any) -> None:
    """Register the array types of PostgreSQL's built-in types with the driver.

    By default asyncpg looks them up with a statement. That takes several round trips, and another user's
    object in the search path could replace the operators of the statement.
    """
    register_types(connection, _RECORDS)


def array_codecs(connection: Any) -> tuple[Any, ...]:
    """Return the driver's codecs for arrays; they are new objects after a codec of an element has changed."""
    return codecs_of(connection, [oid for oid, _ in _ARRAYS.values()])
