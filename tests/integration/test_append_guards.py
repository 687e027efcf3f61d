"""Nothing changes what the log has: not SQL, not a superuser, not a session in replica mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.entities import everything, started

if TYPE_CHECKING:
    from eventstore.store import EventStore

CHANGES = {
    "update": "UPDATE events SET type = 'x'",
    "update of no row": "UPDATE events SET type = 'x' WHERE false",
    "update of one column by key": "UPDATE events SET metadata = '{}' WHERE position = 1",
    "update from": "UPDATE events SET type = s.x FROM (VALUES ('y')) AS s (x)",
    "update in a with": "WITH changed AS (UPDATE events SET type = 'x' RETURNING 1) SELECT * FROM changed",
    "delete": "DELETE FROM events",
    "delete of no row": "DELETE FROM events WHERE false",
    "delete only": "DELETE FROM ONLY events WHERE position = 1",
    "truncate": "TRUNCATE events",
    "truncate cascade": "TRUNCATE events RESTART IDENTITY CASCADE",
    "upsert of a row that is there": (
        "INSERT INTO events SELECT * FROM events ON CONFLICT (position) DO UPDATE SET type = 'x'"
    ),
    "upsert of no row": (
        "INSERT INTO events SELECT * FROM events WHERE false ON CONFLICT (position) DO UPDATE SET type = 'x'"
    ),
    "merge update": "MERGE INTO events USING (SELECT 1) AS one ON true WHEN MATCHED THEN UPDATE SET type = 'x'",
    "merge delete": "MERGE INTO events USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE",
    "merge of no row": "MERGE INTO events USING (SELECT 1) AS one ON false WHEN MATCHED THEN DELETE",
}


@pytest.mark.parametrize("role", ["origin", "replica", "local"])
async def test_a_change_is_refused(store: EventStore, role: str):
    """Every statement that changes or removes events fails by SQLSTATE ES001, and the events stay; as superuser too."""
    await store.log.append(started(tunings=1))
    before = await everything(store.connection)
    refused = []
    async with store.connection.acquire_for_user() as connection:
        assert await connection.fetchval("SELECT usesuper FROM pg_user WHERE usename = current_user")
        await connection.execute(f"SET session_replication_role = '{role}'")
        for name, statement in CHANGES.items():
            try:
                await connection.execute(statement)
            except asyncpg.PostgresError as error:
                if error.sqlstate == "ES001":
                    refused.append(name)
    assert refused == list(CHANGES)
    assert await everything(store.connection) == before


async def test_a_role_without_rights_is_refused_by_privilege(store: EventStore):
    """Who was given nothing but what the library gives writers cannot change events for want of the right, either."""
    async with store.connection.acquire_for_user() as connection:
        privileges = await connection.fetch(
            "SELECT privilege_type FROM information_schema.role_table_grants "
            "WHERE table_name = 'events' AND grantee = current_user"
        )
    held = {row["privilege_type"] for row in privileges}
    assert held.isdisjoint({"UPDATE", "DELETE", "TRUNCATE"})
    assert {"INSERT", "SELECT"} <= held


async def test_a_direct_insert_of_a_taken_version_or_position_fails(store: EventStore):
    """The keys hold for those who write SQL of their own."""
    await store.log.append(started())
    async with store.connection.acquire() as connection:
        for columns in ("position, version + 1", "position + 1, version"):
            position, version = columns.split(", ")
            with pytest.raises(asyncpg.UniqueViolationError):
                await connection.execute(
                    "INSERT INTO events (position, occurred_at, recorded_at, version, schema_version, stream_id, "
                    f"event_id, category, type, data, metadata) SELECT {position}, occurred_at, recorded_at, {version}, "
                    "schema_version, stream_id, event_id, category, type, data, metadata FROM events"
                )
