"""Bulk: COPY in and out, and the room that events take on disk."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from benchmarks.appending import save_orders
from benchmarks.bench import BARE_COLUMNS, EVENT_JSON, Bench, new_order
from benchmarks.workload import Figure, Goal, Workload, seconds
from eventstore import StreamAppend
from eventstore.time_slices import listed

__all__ = ["BulkLoad", "Storage"]


class BulkLoad(Workload):
    """A history of new orders, loaded through `import_events`."""

    name = "bulk_load"
    title = "bulk load of orders, one event each / bare COPY into a table with the same two indexes"
    unit = "events/s"
    goals = (Goal(0.5),)

    async def measure(self, bench: Bench) -> Figure:
        """Measure both, the making of the orders left out, and COPY out."""
        events = bench.sizes.bulk_events
        # In slices, or the store would report an event loop that stood still for seconds.
        orders = await listed(new_order() for _ in range(events))
        streams = await listed(StreamAppend(order.id, 0, order.pending_events) for order in orders)
        value = events / await seconds(bench.store.log.import_events(streams))
        now = datetime.now(UTC)
        records: list[tuple[Any, ...]] = [
            (
                now,
                now,
                1,
                1,
                order.id,
                order.pending_events[0].event_id,
                "order",
                "OrderCreated",
                EVENT_JSON,
                "{}",
            )
            for order in orders
        ]
        async with bench.plain.acquire() as connection:
            copied = await seconds(
                connection.copy_records_to_table("bare_both", records=records, columns=BARE_COLUMNS)
            )
            out = await seconds(
                connection.copy_from_query(
                    "SELECT * FROM bare_both LIMIT $1", events, output=_ignore, format="binary"
                )
            )
        return Figure(value, events / copied, {"COPY out": events / out})


async def _ignore(_data: bytes) -> None:
    pass


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
