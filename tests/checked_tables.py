"""Read tables to check: brought up to date, and altered behind the store's back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.log import EventLog
from eventstore.sql import load
from eventstore.store import built_in_projections
from projections import ProjectionWorker

if TYPE_CHECKING:
    from eventstore.store import EventStore


async def catch_up(log: EventLog) -> None:
    """Fold what there is."""
    for projection in built_in_projections():
        async with log.connection.acquire() as connection:
            partitions = await connection.fetch(
                load("projections/list_partitions", connection), projection.name
            )
        for partition in range(len(partitions) or 1):
            worker = ProjectionWorker(log, projection, partition=partition, batch_events_max=7)
            while await worker.run_once():
                pass


async def tamper(store: EventStore, *statements: str) -> None:
    """Run statements as a superuser who switches the guards off, and on again."""
    async with store.connection.acquire() as connection:
        await connection.execute(
            "ALTER TABLE events DISABLE TRIGGER ALL; GRANT ALL ON events TO CURRENT_USER"
        )
        for statement in statements:
            await connection.execute(statement)
        await connection.execute("ALTER TABLE events ENABLE ALWAYS TRIGGER events_refuse_change")
