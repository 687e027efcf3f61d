"""A database that a test gives back is used again only where it can be made like a new one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from eventstore.database import DatabaseConfig
from eventstore.domain import Order, OrderSide
from eventstore.store import EventStore
from eventstore.testing.databases import TestDatabases
from tests.conftest import admin_connection

CHANGES = {
    "a table more": "CREATE TABLE mine (id int)",
    "a table less": "DROP TABLE portfolio_snapshots CASCADE",
    "a column more": "ALTER TABLE orders ADD COLUMN mine int",
    "a default": "ALTER TABLE orders ALTER COLUMN symbol SET DEFAULT 'ES'",
    "an index less": "DROP INDEX {index}",
    "a constraint more": "ALTER TABLE orders ADD CONSTRAINT mine CHECK (symbol <> 'mine')",
    "a function": "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "a trigger off": "ALTER TABLE events DISABLE TRIGGER events_refuse_change",
    "a trigger in another way": "ALTER TABLE events ENABLE TRIGGER events_refuse_change",
    "a view": "CREATE VIEW mine AS SELECT 1 AS one",
    "a schema": "CREATE SCHEMA mine",
    "an operator": "CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_catalog.texteq)",
    "a privilege": "GRANT SELECT ON events TO PUBLIC",
    "a sequence's cache": "ALTER SEQUENCE events_position_seq CACHE 7",
    "a setting of the database": "ALTER DATABASE {database} SET work_mem = '5MB'",
    "statistics": "ANALYZE orders",
    "a comment": "COMMENT ON TABLE orders IS 'mine'",
    "a large object": "SELECT lo_create(0)",
    "an encoding": "UPDATE pg_database SET encoding = pg_char_to_encoding('LATIN1') WHERE datname = current_database()",
}


@pytest_asyncio.fixture
async def databases(server_config: DatabaseConfig) -> AsyncIterator[TestDatabases]:
    """Databases of this test's own."""
    made = TestDatabases(server_config)
    yield made
    await made.close()


async def everything(config: DatabaseConfig) -> dict[str, Any]:
    """The rows of all tables, and where the sequences are."""
    admin = await admin_connection(config)
    try:
        tables = await admin.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        found = {name: await admin.fetch(f'SELECT * FROM "{name}" ORDER BY 1') for (name,) in tables}
        found["sequences"] = await admin.fetch(
            "SELECT sequencename, last_value FROM pg_sequences ORDER BY sequencename"
        )
        found["triggers"] = await admin.fetch(
            "SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgname"
        )
        return found
    finally:
        await admin.close()


async def test_rows_are_removed(databases: TestDatabases):
    """Events, read tables, checkpoints and sequences are as in a new database, and its guards are on again."""
    async with databases.migrated() as config:
        first, new = config.database, await everything(config)
        async with EventStore.open(config) as store:
            async with store.unit_of_work() as uow:
                await uow.orders.save_order(Order.create_market_order("ES", Decimal(1), OrderSide.BUY))
            await store.wait_for(await store.log.head())
        assert await everything(config) != new
    async with databases.migrated() as config:
        assert config.database == first
        assert await everything(config) == new


@pytest.mark.parametrize("change", CHANGES)
async def test_a_database_with_other_definitions_is_not_used_again(databases: TestDatabases, change: str):
    """Whatever a test changes beside rows, no other test sees."""
    async with databases.migrated() as config:
        first = config.database
        admin = await admin_connection(config)
        index = await admin.fetchval(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisunique AND indrelid = 'orders'::regclass LIMIT 1"
        )
        await admin.execute(CHANGES[change].format(index=index, database=first))
        await admin.close()
    async with databases.migrated() as config:
        assert config.database != first
    admin = await admin_connection(databases.server)
    assert await admin.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", first) == 0
    await admin.close()


async def test_sessions_are_ended_of_this_database_alone(databases: TestDatabases):
    """A connection that a test forgot to close holds nothing; those to other databases go on."""
    async with databases.migrated() as config, databases.migrated() as other:
        forgotten, kept = await admin_connection(config), await admin_connection(other)
        elsewhere = await admin_connection(databases.server)
        await forgotten.execute("BEGIN; LOCK TABLE orders")
        await databases.give_back(config.database)
        assert await kept.fetchval("SELECT 1") == await elsewhere.fetchval("SELECT 1") == 1
        assert await databases.take() == config.database
        for one in (forgotten, kept, elsewhere):
            one.terminate()


async def test_two_at_once_are_two(databases: TestDatabases):
    """A database is nobody else's until it is given back."""
    async with databases.migrated() as one, databases.migrated() as other:
        assert one.database != other.database


async def test_a_database_that_is_gone_is_not_used_again(databases: TestDatabases):
    """A test may drop its database itself."""
    async with databases.migrated() as config:
        admin = await admin_connection(databases.server)
        await admin.execute(f'DROP DATABASE "{config.database}" WITH (FORCE)')
        await admin.close()
    async with databases.migrated() as again:
        assert again.database != config.database
