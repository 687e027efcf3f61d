"""Bulk: COPY in and out, and the room that events take on disk."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from uuid_utils.compat import uuid7

from benchmarks.appending import save_orders
from benchmarks.bench import EVENT_JSON, Bench
from benchmarks.workload import Figure, Goal, Workload, seconds

__all__ = ["Storage", "bare_copy"]

_COLUMNS = (
    "occurred_at",
    "recorded_at",
    "version",
    "schema_version",
    "stream_id",
    "event_id",
    "category",
    "type",
    "data",
    "metadata",
)


async def bare_copy(bench: Bench, events: int) -> dict[str, float]:
    """Events a second of COPY through asyncpg, in and out of a table with the same columns and indexes."""
    now = datetime.now(UTC)
    records: list[tuple[Any, ...]] = [
        (now, now, 1, 1, uuid7(), uuid7(), "order", "OrderCreated", EVENT_JSON, "{}") for _ in range(events)
    ]
    async with bench.plain.acquire() as connection:
        took = await seconds(connection.copy_records_to_table("bare_both", records=records, columns=_COLUMNS))
        found = {"COPY in": events / took}
        target = BytesIO()
        took = await seconds(
            connection.copy_from_query(
                "SELECT * FROM bare_both LIMIT $1", events, output=target, format="binary"
            )
        )
        found["COPY out"] = events / took
    return found


class Storage(Workload):
    """Bytes an event, indexes and all."""

    name = "storage"
    title = "storage after concurrent appends / a bare table with the same rows and its two indexes"
    unit = "bytes/event"
    goals = (Goal(1.2, "at_most"),)

    async def measure(self, bench: Bench) -> Figure:
        """Append, copy the same rows in their order into the bare table, and compare the sizes."""
        store = await bench.database("storage")
        await save_orders(store, bench.sizes.appends, 32)
        async with store.connection.acquire() as connection:
            await connection.execute("DROP TABLE IF EXISTS bare")
            await connection.execute(
                "CREATE TABLE bare (LIKE events); "
                "ALTER TABLE bare ADD PRIMARY KEY (stream_id, version), ADD UNIQUE (position)"
            )
            await connection.execute("INSERT INTO bare SELECT * FROM events ORDER BY position")
            row = await connection.fetchrow(
                "SELECT count(*) AS events, pg_total_relation_size('events') AS ours, "
                "pg_total_relation_size('bare') AS floor FROM events"
            )
        return Figure(row["ours"] / row["events"], row["floor"] / row["events"])
