"""Large events are read a few at a time: what a reader has in memory is bounded in bytes, and not in events alone."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from eventstore.domain.order import Order, OrderSide
from eventstore.evidence import seal, verify
from eventstore.export import export_lines
from eventstore.log.page_size import BATCH_BYTES_MAX, PageSize
from eventstore.sql import load
from eventstore.store import EventStore
from projections import OrdersProjection
from projections.check import compare_with_fold
from projections.engine import ProjectionWorker
from projections.rebuild import rebuild

EVENTS = 80
BYTES = 1_000_000
"""Of each event: together they are ten times as large as a batch may be."""

# A kind of value, as SQL: the server keeps the first in a hundredth of its size, and the other as it is.
NOTES = {
    "compressible": "repeat('x', 1000000)",
    "random": "(SELECT string_agg(md5(n::text || i::text), '') FROM generate_series(1, 31250) n)",
}
COPIES = """
INSERT INTO events (position, stream_id, version, event_id, category, type, schema_version, data, metadata, occurred_at, recorded_at)
SELECT nextval('events_position_seq'), gen_random_uuid(), 1, gen_random_uuid(), category, type, schema_version, data,
    jsonb_build_object('note', {note}), occurred_at, recorded_at
FROM (SELECT * FROM events WHERE position = 1) AS first, generate_series(1, {events}) i
"""

# The raw page and its decoded events, the next page that is read meanwhile, and what the driver and a writer copy of them.
PEAK_BYTES_MAX = 5 * BATCH_BYTES_MAX


async def fill(store: EventStore, note: str, events: int = EVENTS) -> None:
    """Append an order, and copies of it with large metadata."""
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(Order.create_market_order("ES", Decimal(1), OrderSide.BUY))
    async with store.connection.acquire_for_user() as connection:
        await connection.execute(COPIES.format(note=note, events=events))


@pytest_asyncio.fixture(params=NOTES)
async def filled(store: EventStore, request: pytest.FixtureRequest) -> AsyncIterator[EventStore]:
    """A store with large events."""
    await fill(store, NOTES[request.param])
    yield store


async def read_all(store: EventStore, _: Path) -> int:
    return len([event.position async for event in store.log.read_all()])


async def subscribe(store: EventStore, _: Path) -> int:
    count = 0
    async for event in store.log.subscribe():
        count += 1
        if event.position == EVENTS + 1:
            break
    return count


async def replay(store: EventStore, _: Path) -> int:
    return len([event.position async for event in store.replay()])


async def replay_states(store: EventStore, _: Path) -> int:
    return sum([len(changed) async for changed in store.replay_states(Order)])


async def fold(store: EventStore, _: Path) -> int:
    worker: ProjectionWorker[Any] = ProjectionWorker(store.log, OrdersProjection())
    while await worker.run_once():
        pass
    return worker.position or 0


async def rebuild_and_prove(store: EventStore, _: Path) -> int:
    result = await rebuild(store.log, OrdersProjection())
    return result.position


async def compare(store: EventStore, _: Path) -> int:
    await fold(store, _)
    return (await compare_with_fold(store.log, OrdersProjection())).rows_equal


async def export(store: EventStore, folder: Path) -> int:
    with (folder / "log.jsonl").open("wb") as file:
        return (await export_lines(store.log, file)).events


async def seal_and_verify(store: EventStore, _: Path) -> int:
    await seal(store.log)
    return (await verify(store.log)).events


READERS: list[Callable[[EventStore, Path], Awaitable[int]]] = [
    read_all,
    subscribe,
    replay,
    replay_states,
    fold,
    rebuild_and_prove,
    compare,
    export,
    seal_and_verify,
]


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
async def test_memory_is_bounded_in_bytes(
    filled: EventStore, reader: Callable[..., Awaitable[int]], tmp_path: Path
):
    """Every event is read, and no more than a few batches are in memory at a time."""
    gc.collect()
    tracemalloc.start()
    try:
        assert await reader(filled, tmp_path) == EVENTS + 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < PEAK_BYTES_MAX < EVENTS * BYTES


async def test_an_event_above_the_bound_goes_alone(store: EventStore):
    """Nothing is left out because it is large, and what comes after it is read too."""
    await fill(store, f"repeat('x', {BATCH_BYTES_MAX + 1})", events=2)
    async with store.unit_of_work() as uow:
        await uow.orders.save_order(Order.create_market_order("ES", Decimal(1), OrderSide.BUY))
    size = PageSize(1_000)
    pages, after = [], 0
    while after < 4:
        events, after = await store.log.read_page(size, after=after, through=4)
        pages.append([event.position for event in events])
    assert pages == [[1, 2], [3], [4]]


@pytest.mark.parametrize("statement", ["log/read_range", "export/read_events"])
async def test_a_page_says_whether_there_may_be_more(store: EventStore, statement: str):
    """The event that reaches the bound is the last one; where none does, the page has all that was asked for."""
    for _ in range(4):
        async with store.unit_of_work() as uow:
            await uow.orders.save_order(Order.create_market_order("ES", Decimal(1), OrderSide.BUY))
    async with store.connection.acquire() as connection:

        async def page(bytes_max: int, limit: int = 10) -> list[tuple[int, bool]]:
            rows = await connection.fetch(load(statement, connection), 0, 4, limit, None, bytes_max)
            return [(row["position"], row["is_full"]) for row in rows]

        one = await connection.fetchval(
            "SELECT pg_column_size(data) + pg_column_size(metadata) FROM events WHERE position = 1"
        )
        assert await page(1) == [(1, True)]
        assert await page(one) == [(1, True)]
        assert await page(one + 1) == [(1, False), (2, True)]
        assert await page(2**62) == [(position, False) for position in (1, 2, 3, 4)]
        assert await page(2**62, limit=2) == [(1, False), (2, False)]


def test_the_size_of_a_page_follows_what_is_read():
    """Fewer events after a page that its bytes ended, then twice as many each time."""

    def rows(count: int, *, is_full: bool = False) -> list[dict[str, bool]]:
        return [{"is_full": False}] * (count - 1) + [{"is_full": is_full}]

    size = PageSize(100)
    assert (size.events, size.bytes) == (100, BATCH_BYTES_MAX)
    assert size.is_full(rows(5, is_full=True))
    assert size.events == 10
    assert size.is_full(rows(10))
    assert size.events == 20
    assert not size.is_full(rows(3))
    assert size.events == 40
    assert not size.is_full([])
    assert size.is_full(rows(40))
    assert size.is_full(rows(80))
    assert size.events == 100
    size.limit_to(7)
    assert size.events == 7
    assert not size.is_full(rows(6))
    assert size.events == 7
    assert size.is_full(rows(1, is_full=True))
    assert size.events == 2
