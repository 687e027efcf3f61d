"""Each SQL file prepares on a migrated database, with the parameter types that its header names."""

from __future__ import annotations

import asyncpg

from eventstore.log.records import COLUMNS
from eventstore.repositories.read_tables import READ_TABLES
from eventstore.sql import render
from tests.migrated import migrate
from tools.lint import sql_header
from tools.statements import OF_ORDERS, STATEMENTS

# Numbers keep their digits; the driver needs not look up what an enum is.
AS_TEXT = ("numeric", "order_side", "order_type", "order_status", "time_in_force")
_TYPES = """
    SELECT format_type(type.oid, NULL)
    FROM unnest($1::oid[]) WITH ORDINALITY AS asked (oid, place)
    JOIN pg_type AS type ON type.oid = asked.oid
    ORDER BY place
"""


async def differences(connection: asyncpg.Connection, text: str) -> list[str]:
    """Prepare a SQL file's statement and name each parameter whose type is not the one in its header."""
    header = sql_header.parse(text)
    statement = await connection.prepare(render(header.statement, "public"))
    oids = [parameter.oid for parameter in statement.get_parameters()]
    types = [row[0] for row in await connection.fetch(_TYPES, oids)]
    if len(types) != len(header.parameters):
        return [f"{len(types)} parameters, {len(header.parameters)} in the header"]
    return [
        f"${parameter.number} {parameter.name} is {type_name}, not {parameter.rest}"
        for parameter, type_name in zip(header.parameters, types, strict=True)
        if not parameter.is_of(type_name)
    ]


async def test_each_file_prepares(database_url: str):
    """The server accepts every statement and agrees with its header on each parameter's type."""
    await migrate(database_url)
    found: dict[str, list[str]] = {}
    connection = await asyncpg.connect(database_url)
    try:
        for name, text in STATEMENTS.items():
            try:
                found[name] = await differences(connection, text)
            except (asyncpg.PostgresError, ValueError) as error:
                found[name] = [f"{type(error).__name__}: {error}"]
    finally:
        await connection.close()
    assert {name: said for name, said in found.items() if said} == {}


async def test_each_statement_of_a_table_prepares(database_url: str):
    """The server accepts what the templates of a projection's table make for `orders`, and nothing of it is left open."""
    await migrate(database_url)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("CREATE TABLE orders__rebuild (LIKE orders)")
        create = OF_ORDERS["tables/create/orders"]
        for name, text in OF_ORDERS.items():
            assert "{" not in text, name
            if text != create:
                await connection.prepare(text)
        await connection.execute("DROP TABLE orders")
        await connection.execute(create)
    finally:
        await connection.close()


HEADER = "-- Purpose: x\n-- Parameters:\n--   $1 after {type}\n-- Result: x\n-- Locks: x\n-- Index: x\n"


async def test_a_wrong_type_is_found(database_url: str):
    """A header that names another type, or one parameter too many, does not pass."""
    connection = await asyncpg.connect(database_url)
    try:
        query = "SELECT FROM pg_class WHERE oid = $1"
        assert await differences(connection, HEADER.format(type="oid of a table") + query) == []
        assert await differences(connection, HEADER.format(type="bigint") + query) == [
            "$1 after is oid, not bigint"
        ]
        text = HEADER.format(type="oid") + "SELECT 1"
        assert await differences(connection, text) == ["0 parameters, 1 in the header"]
    finally:
        await connection.close()


async def test_lists_and_loads_give_every_field(database_url: str):
    """The columns of each list and load are the fields of its entity in order, numbers as text, and then an event's."""
    await migrate(database_url)
    connection = await asyncpg.connect(database_url)
    wrong: dict[str, list[tuple[str, str]]] = {}
    try:
        event = dict(await columns_of(connection, "SELECT * FROM events"))
        for kind, table in READ_TABLES.items():
            types = dict(await columns_of(connection, f"SELECT * FROM {table.projection}"))
            expected = [
                (
                    "row_version" if name == "version" else name,
                    "text" if types[name] in AS_TEXT else types[name],
                )
                for name in kind.model_fields
            ] + [(name, event[name]) for name in COLUMNS]
            for name, text in STATEMENTS.items():
                if name.startswith(f"{table.projection}/") and not name.endswith("/count_by_status"):
                    found = await columns_of(connection, render(sql_header.parse(text).statement, "public"))
                    if name.endswith("/load"):
                        assert found.pop(len(kind.model_fields)) == ("last_position", "int8")
                    if found != expected:
                        wrong[name] = found
    finally:
        await connection.close()
    assert wrong == {}


async def columns_of(connection: asyncpg.Connection, statement: str) -> list[tuple[str, str]]:
    """Return the names and types of a statement's columns."""
    prepared = await connection.prepare(statement)
    return [(attribute.name, attribute.type.name) for attribute in prepared.get_attributes()]
