"""The library's own migrations: up, down over empty tables, and never over events."""

from __future__ import annotations

import pytest

from eventstore import errors
from eventstore.database import DatabaseConnection, MigrationManager, PostgreSQLAdapter
from eventstore.store import built_in_projections
from tests.migrations.schema import names, schema


@pytest.fixture
def adapter(connection: DatabaseConnection) -> PostgreSQLAdapter:
    """An adapter on a fresh, empty database."""
    return PostgreSQLAdapter(connection)


async def test_the_librarys_own_go_up_and_down(adapter: PostgreSQLAdapter):
    """Its way back leaves nothing but the table of versions; up again gives the same schema."""
    manager = MigrationManager(adapter)
    count = await manager.migrate_to_latest()
    assert count == len(manager.migrations())
    first = await schema(adapter)
    assert await manager.migrate_to_version(0) == count
    assert await names(adapter) == {"schema_migrations"}
    for migration in manager.migrations():
        assert await manager.migrate_to_version(migration.version) == 1
    assert await schema(adapter) == first
    await manager.ensure_current()


async def test_each_table_and_column_says_what_it_holds(adapter: PostgreSQLAdapter):
    """Each table has a comment, and each column whose name is not a field of the domain: whoever looks with psql needs no page."""
    manager = MigrationManager(adapter)
    await manager.migrate_to_latest()
    rows = await adapter.fetch_all("""
        SELECT relname::text AS table, coalesce(attname::text, '') AS column, coalesce(
                   CASE WHEN attnum IS NULL THEN obj_description(oid, 'pg_class') ELSE col_description(oid, attnum) END, ''
               ) AS comment
          FROM pg_class CROSS JOIN LATERAL (
                   SELECT NULL::name, NULL::int2
                   UNION ALL
                   SELECT attname, attnum FROM pg_attribute WHERE attrelid = oid AND attnum > 0 AND NOT attisdropped
               ) AS columns (attname, attnum)
         WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'schema_migrations'
    """)
    fields = {
        (one.table.name, column)
        for one in built_in_projections()
        for column in one.table.row.model_fields
        if column != "version"
    }
    assert len({row["table"] for row in rows}) > 15
    assert [
        (row["table"], row["column"])
        for row in rows
        if len(row["comment"]) < len("The stream.") and (row["table"], row["column"]) not in fields
    ] == []


async def test_going_down_over_events_is_refused(adapter: PostgreSQLAdapter):
    """The log is not dropped while it holds an event."""
    manager = MigrationManager(adapter)
    await manager.migrate_to_latest()
    await adapter.execute("""
        INSERT INTO events (position, occurred_at, recorded_at, version, schema_version, stream_id, event_id,
                            category, type, data, metadata)
        VALUES (1, now(), now(), 1, 1, gen_random_uuid(), gen_random_uuid(), 'order', 'X', '{}', '{}')
    """)
    with pytest.raises(errors.MigrationError, match="would drop the rows of events"):
        await manager.migrate_to_version(0)
    assert await adapter.fetch_value("SELECT count(*) FROM events") == 1
    await manager.ensure_current()
