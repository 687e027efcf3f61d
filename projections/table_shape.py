"""Checks whether a projection's rows fit its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eventstore.database.access import reading
from eventstore.database.protocols import Connection, Row
from eventstore.errors import ConfigurationError
from eventstore.log.event_log import EventLog
from eventstore.mapping.rows import Column
from eventstore.sql import load, qualified, schema_of, type_name
from projections.projection import Projection
from projections.table import LAST_POSITION, Table


async def check_table(log: EventLog, projection: Projection[Any]) -> None:
    """Check that the table fits the model of the projection's rows; a worker does so when it starts.

    Raises:
        ConfigurationError: It does not fit: the message names each difference with both sides.
        ConnectionError, TimeoutError: Safe to retry.
    """
    found = await find_differences(log, projection)
    if found:
        raise ConfigurationError(
            f"the table of projection {projection.name} does not fit its rows: {'; '.join(found)}. "
            "Change the table or the model; Table.create() returns the statement that creates such a table"
        )


async def find_differences(log: EventLog, projection: Projection[Any]) -> tuple[str, ...]:
    """Return how the table differs from the model of the projection's rows. See `table_differences`.

    Raises:
        ConnectionError, TimeoutError: Safe to retry.
    """
    async with reading(log.connection) as connection:
        return await table_differences(connection, projection.table)


async def table_differences(connection: Connection, table: Table[Any]) -> tuple[str, ...]:
    """Return how a table differs from the model of its rows, one line for each difference; empty if it fits.

    Ignored: extra columns that are nullable or have a default, and nullable columns for required fields.

    Args:
        connection: An asyncpg connection.
        table: The table.

    Raises:
        Exception: Errors of asyncpg, unmapped.
    """
    described = await connection.fetch(
        load("projections/describe_table", connection), qualified(schema_of(connection), table.name)
    )
    if not described:
        return (f"{table.name}: the model is {table.row.__name__}, and there is no such table",)
    if not described[0]["is_table"]:
        return (f"{table.name}: the model needs a table, and this is a view or another relation",)
    schema = schema_of(connection)
    names = [*(type_name(column.type, schema) for column in table.codec.columns), "bigint"]
    types = {
        row["name"]: row["type_id"]
        for row in await connection.fetch(load("projections/type_ids", connection), names)
    }
    there = {row["name"]: row for row in described}
    model = {column.name for column in table.codec.columns} | {LAST_POSITION}
    found = [
        said
        for column in table.codec.columns
        for said in _of_column(f"{table.name}.{column.name}", column, there.get(column.name), types, schema)
    ]
    found += _of_last_position(f"{table.name}.{LAST_POSITION}", there.get(LAST_POSITION))
    found += [
        f"{table.name}.{name}: the model has no such field, the table has {row['type']} NOT NULL without a default"
        for name, row in there.items()
        if name not in model and row["is_not_null"] and not row["has_default"]
    ]
    return (*found, *_of_key(table, described))


def _of_column(
    name: str,
    column: Column,
    there: Row | None,
    types: Mapping[str, int | None],
    schema: str,
) -> list[str]:
    wanted = f"the model has {column.field_type} ({column.type})"
    if there is None:
        return [f"{name}: {wanted}, the table has no such column"]
    found = []
    type_id = types[type_name(column.type, schema)]
    if type_id is None:
        found.append(f"{name}: {wanted}, and the database knows no such type")
    elif there["type_id"] != type_id:
        found.append(f"{name}: {wanted}, the table has {there['type']}")
    elif there["has_modifier"] and "(" not in column.type:
        found.append(f"{name}: {wanted}, the table has {there['type']}, which does not keep every value")
    if there["is_generated"]:
        found.append(f"{name}: {wanted}, the table has a column that the database generates")
    if column.is_nullable and there["is_not_null"]:
        found.append(f"{name}: the model may have None, the table has NOT NULL")
    return found


def _of_last_position(name: str, there: Row | None) -> list[str]:
    if there is None:
        return [f"{name}: every projection keeps it (bigint NOT NULL), the table has no such column"]
    if there["type"] != "bigint" or there["is_generated"]:
        return [f"{name}: every projection keeps it (bigint NOT NULL), the table has {there['type']}"]
    return []


def _of_key(table: Table[Any], described: Sequence[Row]) -> list[str]:
    wanted = [column.name for column in table.key]
    places = sorted((row["key_place"], row["name"]) for row in described if row["key_place"] is not None)
    there = [name for _, name in places]
    if there == wanted:
        return []
    has = f"the primary key ({', '.join(there)})" if there else "no primary key"
    return [f"{table.name}: the model has the key ({', '.join(wanted)}), the table has {has}"]
