"""What an export has written, and what a log holds."""

from __future__ import annotations

import io
from typing import Any

from eventstore.export import export_lines
from eventstore.store import EventStore

ROWS = {
    "events": "SELECT *, data::text AS data_text, metadata::text AS metadata_text FROM events ORDER BY position",
    "event_seals": "SELECT * FROM event_seals ORDER BY block",
}


async def everything(store: EventStore) -> dict[str, list[tuple[Any, ...]]]:
    """Every column of every event and seal."""
    async with store.connection.acquire() as connection:
        return {name: [tuple(row) for row in await connection.fetch(query)] for name, query in ROWS.items()}


async def clear(store: EventStore) -> None:
    """Make a store empty again."""
    async with store.connection.acquire() as connection:
        for table in ROWS:
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            await connection.execute(f"TRUNCATE {table}")
            await connection.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_refuse_change")
        await connection.execute("ALTER SEQUENCE events_position_seq RESTART")


async def exported(store: EventStore, **arguments: Any) -> list[bytes]:
    """The lines of an export."""
    file = io.BytesIO()
    await export_lines(store.log, file, **arguments)
    return file.getvalue().splitlines(keepends=True)
