"""Fills read as frames, beside a replay, pages of raw rows and a bare COPY: `python -m benchmarks.frames EVENTS [WAY ...]`.

Each way reads the same events of one type. A rate is given by the clock, and by the processor time of this process alone:
the second one hardly depends on what else the machine does. Memory is that of the result, and by how much the process grew
at its peak. More than a million events are read once, and not three times. ADR 23 has figures.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from eventstore.database.embedded import EmbeddedServer
from eventstore.domain.order import OrderFilled
from eventstore.store import EventStore

__all__ = ["main"]

_PAGE_EVENTS = 1_000
_ROUNDS = 3
_VERSIONS = 5
"""Of each stream among the first events."""
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
_FILLED_MAX = 1_000_000
_MORE = """
INSERT INTO events (
    position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at
)
SELECT
    position + $1::bigint, stream_id, version + $2::integer, gen_random_uuid(), category, type, schema_version, data, metadata,
    occurred_at + $1::bigint * interval '1 millisecond', recorded_at
FROM events WHERE position <= $3::bigint ORDER BY position
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
    return _rows(await store.events_frame([OrderFilled]))


async def _few_columns(store: EventStore) -> int:
    return _rows(await store.events_frame([OrderFilled], columns=_FEW))


def _rows(table: pa.Table) -> int:
    print(f"  {table.num_columns} columns of {table.num_rows:,} rows: {table.nbytes / 2**20:,.0f} MB")
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


async def _fill(connection: Any, events: int) -> None:
    have, copies = min(events, _FILLED_MAX), 1
    await connection.execute(_FILL, have)
    while have < events:
        more = min(have, events - have)
        await connection.execute(_MORE, have, _VERSIONS * copies, more)
        have, copies = have + more, 2 * copies
    await connection.execute("SELECT setval('events_position_seq', $1::bigint)", have)
    await connection.execute("VACUUM ANALYZE events")


def _memory_mb(line: str, *, peak_begins: bool = False) -> float:
    """Return a value of this process in MB, as Linux tells it: `VmRSS` for now, `VmHWM` for the peak."""
    if peak_begins:
        Path("/proc/self/clear_refs").write_text("5")
    found = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith(line))
    return int(found.split()[1]) / 1024


async def _measure(events: int, ways: Sequence[str]) -> None:
    with EmbeddedServer.start() as server:
        config = server.config(command_timeout=3_600)
        async with EventStore.open(config, workers=False, migrate=True) as store:
            async with store.connection.acquire() as connection:
                await _fill(connection, events)
            best: dict[str, tuple[float, float, float]] = {}
            for _ in range(_ROUNDS if events <= _FILLED_MAX else 1):
                for name in ways or _WAYS:
                    before_mb = _memory_mb("VmRSS", peak_begins=True)
                    clock_s, cpu_s = time.perf_counter(), time.process_time()
                    if await _WAYS[name](store) != events:
                        raise RuntimeError(f"{name} did not read all events")
                    took = (
                        time.perf_counter() - clock_s,
                        time.process_time() - cpu_s,
                        _memory_mb("VmHWM") - before_mb,
                    )
                    known = best.get(name, took)
                    best[name] = min(known[0], took[0]), min(known[1], took[1]), max(known[2], took[2])
    for name, (clock_s, cpu_s, peak_mb) in best.items():
        print(
            f"{name:24} {events / clock_s:>11,.0f} events/s {events / cpu_s:>11,.0f} a second of processor time, "
            f"{peak_mb:,.0f} MB at its peak"
        )


def main() -> None:
    """Measure with so many events as the command line says."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    asyncio.run(_measure(events, sys.argv[2:]))


if __name__ == "__main__":
    main()
