"""Fills read as frames, beside a replay, pages of raw rows and a bare COPY: `python -m benchmarks.frames EVENTS`.

Each way reads the same events of one type. A rate is given by the clock, and by the processor time of this process alone:
the second one hardly depends on what else the machine does. ADR 23 has figures.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

import orjson

from eventstore.database.embedded import EmbeddedServer
from eventstore.domain.order import OrderFilled
from eventstore.store import EventStore

__all__ = ["main"]

_PAGE_EVENTS = 1_000
_ROUNDS = 3
_FEW = ("position", "occurred_at", "symbol", "quantity", "price")
_OF_FILLS = "FROM events WHERE type = 'OrderFilled'"
_FILL = """
INSERT INTO events (
    position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at
)
SELECT
    nextval('events_position_seq'), md5((i / 5)::text)::uuid, i % 5 + 1, gen_random_uuid(), 'order', 'OrderFilled', 1,
    jsonb_build_object(
        'execution_id', 'E-' || i, 'quantity', (i % 100 + 1)::text, 'price', (5000 + i % 4000 * 0.25)::numeric(12, 2)::text,
        'commission', '2.10', 'symbol', 'ESM6', 'side', 'BUY', 'portfolio_id', gen_random_uuid(), 'strategy', 'open range',
        'account', 'A-1', 'venue', 'XCME', 'currency', 'USD', 'multiplier', '50', 'client_order_id', 'C-' || i,
        'broker_order_id', 'B-' || i, 'liquidity', 'TAKER', 'transact_time_ns', 1772800000000000000 + i
    ),
    '{"actor": "gateway"}', timestamptz '2026-03-06 15:00+00' + i * interval '1 millisecond', now()
FROM generate_series(1, $1::integer) AS i
"""


async def _replay(store: EventStore) -> int:
    return sum([len(page) async for page in store.replay(types=[OrderFilled]).pages()])


async def _pages(store: EventStore) -> int:
    events, after = 0, 0
    async with store.connection.acquire() as connection:
        while True:
            rows = await connection.fetch(
                f"SELECT * {_OF_FILLS} AND position > $1 ORDER BY position LIMIT $2", after, _PAGE_EVENTS
            )
            for row in rows:
                orjson.loads(row["data"])
            events += len(rows)
            if len(rows) < _PAGE_EVENTS:
                return events
            after = rows[-1]["position"]


async def _copy(store: EventStore) -> int:
    async def take(_: bytes) -> None:
        pass

    async with store.connection.acquire() as connection:
        tag = await connection.copy_from_query(
            f"SELECT * {_OF_FILLS} ORDER BY position", output=take, format="binary"
        )
    return int(tag.removeprefix("COPY "))


async def _frame(store: EventStore) -> int:
    table = await store.events_frame([OrderFilled])
    return int(table.num_rows)


async def _few_columns(store: EventStore) -> int:
    table = await store.events_frame([OrderFilled], columns=_FEW)
    return int(table.num_rows)


async def _batches(store: EventStore) -> int:
    return sum([batch.num_rows async for batch in store.events_batches([OrderFilled])])


_WAYS: dict[str, Callable[[EventStore], Awaitable[int]]] = {
    "replay": _replay,
    "raw pages, orjson": _pages,
    "bare COPY, not parsed": _copy,
    "events_frame": _frame,
    "events_frame, 5 columns": _few_columns,
    "events_batches": _batches,
}


async def _measure(events: int) -> None:
    with EmbeddedServer.start() as server:
        config = server.config(command_timeout=3_600)
        async with EventStore.open(config, workers=False, migrate=True) as store:
            async with store.connection.acquire() as connection:
                await connection.execute(_FILL, events)
                await connection.execute("VACUUM ANALYZE events")
            best: dict[str, tuple[float, float]] = {}
            for _ in range(_ROUNDS):
                for name, read in _WAYS.items():
                    clock_s, cpu_s = time.perf_counter(), time.process_time()
                    if await read(store) != events:
                        raise RuntimeError(f"{name} did not read all events")
                    took = time.perf_counter() - clock_s, time.process_time() - cpu_s
                    known = best.get(name, took)
                    best[name] = min(known[0], took[0]), min(known[1], took[1])
    for name, (clock_s, cpu_s) in best.items():
        print(
            f"{name:24} {events / clock_s:>11,.0f} events/s {events / cpu_s:>11,.0f} a second of processor time"
        )


def main() -> None:
    """Measure with so many events as the command line says."""
    asyncio.run(_measure(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000))


if __name__ == "__main__":
    main()
