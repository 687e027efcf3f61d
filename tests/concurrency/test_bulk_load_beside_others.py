"""Loading a history while others write and read, and while connections are lost: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from eventstore.errors import ConcurrencyError, TransactionCommitError
from eventstore.log import EventLog, StreamAppend
from eventstore.log.records import to_columns
from tests.bulk_events import content, expected_content, history
from tests.entities import everything, started, tuned
from tests.relayed_connections import connected, relay
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from eventstore.store import EventStore
    from tests.relay import Relay

__all__ = ["relay"]


async def test_a_reader_waits_for_an_import(store: EventStore):
    """Positions of a batch that is being written are a gap, at which readers in order wait; none is lost or doubled."""
    blocked, later = started(tunings=1), started()
    async with held(store.log, tuned(blocked.stream_id, 0, 7)) as waiting:
        importing = asyncio.ensure_future(store.log.import_events([blocked]))
        await until(lambda: waiting(1))
        await store.log.append(later)
        assert await store.log.high_water_mark.advance(0, wait=False) == 0
        assert not importing.done()
    assert (await importing).events == 2
    read = [event async for event in store.log.read_all()]
    assert [e.stream_id for e in read] == [blocked.stream_id, blocked.stream_id, later.stream_id]


async def test_two_of_the_same_import_at_once(store: EventStore):
    """Both end well, each event is there once, and no version is missing."""
    streams = history(60)
    results = await asyncio.gather(
        store.log.import_events(streams, batch_events_max=7),
        store.log.import_events(list(reversed(streams)), batch_events_max=5),
        store.log.import_events(streams),
    )
    events = sum(len(stream.events) for stream in streams)
    assert [result.events for result in results] == [events] * 3
    assert sum(result.repeated for result in results) == 2 * events
    assert sorted(row[:3] for row in await content(store.log)) == sorted(
        expected_content(event for stream in streams for event in stream.staged({}))
    )


@asynccontextmanager
async def held(log: EventLog, stream: StreamAppend) -> AsyncIterator[Callable[[int], Awaitable[bool]]]:
    """Hold the keys of a stream in an open transaction, rolled back at the end; gives whether so many wait for a lock."""
    async with log.connection.acquire() as holder, log.connection.acquire() as observer:

        async def waiting(count: int) -> bool:
            found: int = await observer.fetchval(
                "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted "
                "AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())"
            )
            return found >= count

        transaction = holder.transaction()
        await transaction.start()
        await log.append_in(holder, to_columns(stream.staged({})))
        try:
            yield waiting
        finally:
            await transaction.rollback()


@pytest.mark.parametrize("other", ["import", "append"])
async def test_imports_and_appends_that_cross_do_not_deadlock(store: EventStore, other: str):
    """Two with the same streams in opposite orders, both stopped half-way: one goes in whole, the other is a conflict."""
    ids = sorted(uuid4() for _ in range(9))
    ours = [tuned(one, 0, 1, 2) for one in ids]
    theirs = [tuned(one, 0, 3) for one in reversed(ids)]
    async with held(store.log, tuned(ids[4], 0, 0)) as waiting:
        first = asyncio.ensure_future(store.log.import_events(ours))
        await until(lambda: waiting(1))
        second: asyncio.Future[object] = asyncio.ensure_future(
            store.log.import_events(theirs) if other == "import" else store.log.append(*theirs)
        )
        await until(lambda: waiting(2))
    assert (await first).events == 18
    with pytest.raises(ConcurrencyError):
        await second
    assert len(await everything(store.connection)) == 18
    async with store.connection.acquire() as one:
        statement = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert await one.fetchval(statement) == 0


async def test_an_import_with_workers_and_writers_running(store: EventStore):
    """A subscriber has every event of an import and of the writers beside it once, in order; the tables follow."""
    from eventstore import Order, OrderSide

    orders = [Order.create_market_order("A", 1, OrderSide.BUY) for _ in range(300)]  # type: ignore[arg-type]
    await store.start_workers()
    seen: list[tuple[UUID, int, int]] = []

    async def subscribe() -> None:
        async for event in store.log.subscribe():
            seen.append((event.stream_id, event.version, event.position))  # noqa: PERF401 - it never ends

    async def write() -> None:
        for _ in range(40):
            await store.log.append(started())

    reading = asyncio.ensure_future(subscribe())
    try:
        result, *_ = await asyncio.gather(
            store.log.import_events(
                (StreamAppend(order.id, 0, order.pending_events) for order in orders), batch_events_max=50
            ),
            write(),
            write(),
        )
        stored = [(r["stream_id"], r["version"], r["position"]) for r in await everything(store.connection)]
        await until(lambda: len(seen) >= len(stored))
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    assert seen == stored
    await store.wait_for(result.last_position)
    async with store.connection.acquire() as one:
        rows = await one.fetch("SELECT id FROM orders")
    assert {row["id"] for row in rows} == {order.id for order in orders}


@pytest.mark.parametrize("message", [b"LOCK TABLE", b"array_agg", b"MARKED", b"COMMIT"])
@pytest.mark.parametrize("when", ["lose_before", "lose_after"])
async def test_a_lost_connection_is_made_up_for(relay: Relay, when: str, message: bytes):
    """The connection ends before or after any statement of a batch: each event is in the log once, and counted once."""
    async with connected(relay) as connection:
        log = EventLog(connection)
        setattr(relay, when, message)
        streams = [started("MARKED", tunings=2), *history(4)]
        given = [event for stream in streams for event in stream.staged({})]
        result = await log.import_events(streams, batch_events_max=5)
        assert relay.lost == 1
        assert result.events == len(given)
        assert [row[:3] for row in await content(log)] == expected_content(given)


async def test_a_server_that_does_not_come_back(relay: Relay):
    """The outcome of the last batch is unknown, and running the import again settles it."""
    async with connected(relay, connect_timeout=0.2) as connection:
        log = EventLog(connection, resend_within_s=0.3)
        relay.lose_after, relay.refuse = b"COMMIT", True
        with pytest.raises(TransactionCommitError) as caught:
            await log.import_events(streams := history())
        assert (caught.value.outcome, caught.value.retryable) == ("unknown", False)
        relay.refuse = False
        assert (await log.import_events(streams)).repeated == len(await everything(connection)) > 0


async def test_an_import_that_is_cancelled_leaves_nothing_open(store: EventStore):
    """Cancelled anywhere, it leaves whole batches, no transaction and no task; run again it ends."""
    streams = history(400)
    for steps in (1, 5, 20, 60):
        task = asyncio.ensure_future(store.log.import_events(streams, batch_events_max=40))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        stored = await everything(store.connection)
        assert len(stored) % 40 == 0 or len(stored) == sum(len(s.events) for s in streams)

    async def nothing_is_open() -> bool:
        async with store.connection.acquire() as one:
            left = await one.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL "
                "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        return bool(left == 0)

    await until(nothing_is_open)
    await store.log.import_events(streams)
    assert [row[:3] for row in await content(store.log)] == expected_content(
        event for stream in streams for event in stream.staged({})
    )
