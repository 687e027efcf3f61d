"""A worker stores segments of the log beside its batches: neither waits for the other, and both end together."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.store import EventStore, built_in_projections
from projections import OrdersProjection, Projection, ProjectionWorker
from projections.engine import past
from projections.engine.lease import PartitionLease
from tests.conftest import admin_connection
from tests.long_unit_of_work import patient_unit_of_work
from tests.pools import assert_whole
from tests.running_workers import has_folded, place, running
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eventstore.database import DatabaseConfig

# What a server that took over lacks: all after the first event, in the log and in what was made from it.
LOSE = """
    ALTER TABLE events DISABLE TRIGGER ALL;
    DELETE FROM events WHERE position > 1;
    ALTER TABLE events ENABLE ALWAYS TRIGGER events_refuse_change;
    SELECT setval('events_position_seq', 1);
    DELETE FROM orders WHERE last_position > 1;
    UPDATE projection_checkpoints SET position = 1
"""
WAITING = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%log_segments%'
"""


@asynccontextmanager
async def nothing_is_stored(config: DatabaseConfig) -> AsyncIterator[Any]:
    """Whoever stores segments waits until the end of the block; yields a session that sees who does."""
    holder, session = await admin_connection(config), await admin_connection(config)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE log_segments IN SHARE ROW EXCLUSIVE MODE")
            yield session
    finally:
        await holder.close()
        await session.close()


async def waits(session: Any) -> list[int]:
    """The server processes that wait to store segments."""
    return [row["pid"] for row in await session.fetch(WAITING)]


async def stored_through(store: EventStore) -> int:
    """The end of the last segment."""
    async with store.connection.acquire() as connection:
        position: int = await connection.fetchval("SELECT coalesce(max(position), 0) FROM log_segments")
        return position


def keeping() -> list[str]:
    """The tasks that keep segments."""
    return [name for task in asyncio.all_tasks() if "log segments" in (name := task.get_name())]


def worker_of(store: EventStore) -> ProjectionWorker[Any]:
    """A worker for which each event makes a segment."""
    return ProjectionWorker(store.log, OrdersProjection(), segment_events=1)


async def fold_all(store: EventStore, projection: Projection[Any] | None = None) -> int:
    """Wait until everything is folded, and return how far that is; None: of the orders."""
    head = await store.log.head()
    store.log.wakeups.wake()
    await until(lambda: has_folded(store.log, head, projection), limit_s=10)
    return head


async def test_batches_do_not_wait_for_segments(store: EventStore, migrated_config: DatabaseConfig):
    """While segments cannot be stored, batch after batch is folded; when they can, they are stored."""
    async with running(worker_of(store)):
        async with nothing_is_stored(migrated_config) as session:
            for quantity in range(1, 4):
                await place(store, quantity)
                head = await fold_all(store)
                await until(lambda: _is_waited_for(session), limit_s=10)
        await until(lambda: _is_stored(store, head), limit_s=30)


async def _is_waited_for(session: Any) -> bool:
    return bool(await waits(session))


async def _is_stored(store: EventStore, position: int) -> bool:
    return await stored_through(store) == position


async def test_a_lock_is_waited_for_briefly(store: EventStore, migrated_config: DatabaseConfig):
    """The connection is given back while nothing can be stored, and tried again later."""
    async with nothing_is_stored(migrated_config) as session, running(worker_of(store)):
        for _ in range(3):
            await until(lambda: _is_waited_for(session), limit_s=10)
            await until(lambda: _is_given_back(session), limit_s=10)


async def _is_given_back(session: Any) -> bool:
    return not await waits(session)


async def test_segments_take_one_connection_of_the_pool(
    migrated_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
):
    """With two connections, all workers go on although the segments of each are due and cannot be stored."""
    monkeypatch.setattr(past, "_LOCK_WAIT_S", 60.0)
    async with EventStore.open(migrated_config.replace(max_pool_size=2), workers=False) as store:
        workers = [ProjectionWorker(store.log, one, segment_events=1) for one in built_in_projections()]
        async with nothing_is_stored(migrated_config) as session, running(*workers):
            for quantity in range(1, 6):
                await place(store, quantity)
                for worker in workers:
                    await fold_all(store, worker.projection)
                assert len(await waits(session)) <= 1
        await assert_whole(store.connection)


async def test_a_worker_that_stops_leaves_nothing_behind(
    store: EventStore, migrated_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
):
    """Stopped while it waits to store a segment, it ends at once: no task, statement, transaction or lease is left."""
    monkeypatch.setattr(past, "_LOCK_WAIT_S", 60.0)
    async with nothing_is_stored(migrated_config) as session, running(worker_of(store)) as (task,):
        await place(store, 1)
        head = await fold_all(store)
        await until(lambda: _is_waited_for(session), limit_s=10)
        assert len(keeping()) == 1
        async with asyncio.timeout(5):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not keeping()
        await assert_whole(store.connection)
        assert not await waits(session)
    assert await stored_through(store) == 0
    heir = PartitionLease(store.log, "orders", 0)
    assert await heir.take() is not None
    await heir.release()
    worker = worker_of(store)
    assert not await worker.run_once()
    assert await stored_through(store) == head


async def test_a_store_that_closes_ends_them(
    migrated_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
):
    """It does not wait for a segment that cannot be stored."""
    monkeypatch.setattr(past, "_LOCK_WAIT_S", 60.0)
    async with nothing_is_stored(migrated_config) as session:
        async with EventStore.open(migrated_config) as store:
            await place(store, *range(1, 4))
            await fold_all(store)
            await until(lambda: _is_waited_for(session), limit_s=10)
            closing = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - closing < 5
        assert not keeping()
        await until(lambda: _is_alone(session), limit_s=10)


async def _is_alone(session: Any) -> bool:
    count: int = await session.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    )
    return count == 2  # the session and the holder of the lock


async def test_segments_that_were_dropped_come_back_while_nothing_happens(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
):
    """A worker that has nothing to fold looks for them from time to time."""
    monkeypatch.setattr(past, "_LOOKED_FOR_EVERY_S", 0.1)
    async with running(worker_of(store)):
        await place(store, 1, 2)
        head = await fold_all(store)
        await until(lambda: _is_stored(store, head), limit_s=10)
        await store.state_snapshots.drop()
        assert await stored_through(store) == 0
        await until(lambda: _is_stored(store, head), limit_s=10)


async def test_a_lost_connection_stops_no_batch(
    store: EventStore,
    migrated_config: DatabaseConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    """The session that waits to store a segment is ended: the worker folds on, and stores the segment later."""
    monkeypatch.setattr(past, "_LOCK_WAIT_S", 60.0)
    async with running(worker_of(store)):
        async with nothing_is_stored(migrated_config) as session:
            await place(store, 1)
            await fold_all(store)
            await until(lambda: _is_waited_for(session), limit_s=10)
            (pid,) = await waits(session)
            assert await session.fetchval("SELECT pg_terminate_backend($1)", pid)
            await place(store, 2)
            await fold_all(store)
        await place(store, 3)
        head = await fold_all(store)
        await until(lambda: _is_stored(store, head), limit_s=30)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_an_error_of_segments_stops_no_batch(store: EventStore, caplog: pytest.LogCaptureFixture):
    """Where they are refused, that is logged as a warning, and the table has everything."""
    async with store.connection.acquire_for_user() as connection:
        await connection.execute("ALTER TABLE log_segments ADD CONSTRAINT none CHECK (position < 0)")
    async with running(worker_of(store)) as (task,):
        await place(store, 1)
        await fold_all(store)
        await until(lambda: "segments of the log" in caplog.text, limit_s=10)
        await place(store, 2)
        await fold_all(store)
        assert not task.done()
    record = next(one for one in caplog.records if "segments of the log" in one.getMessage())
    assert record.levelno == logging.WARNING


async def test_only_the_holder_of_the_lease_stores_segments(store: EventStore):
    """A worker that stands by has no task for them; it has one from when it takes over."""
    first, second = worker_of(store), worker_of(store)
    async with running(first, second) as tasks:
        await until(lambda: first.is_active or second.is_active)
        await place(store, 1)
        head = await fold_all(store)
        await until(lambda: _is_stored(store, head))
        assert len(keeping()) == 1
        tasks[0 if first.is_active else 1].cancel()
        await place(store, 2)
        head = await fold_all(store)
        await until(lambda: _is_stored(store, head))
        assert len(keeping()) == 1
    assert not keeping()


async def test_a_position_of_the_server_before_is_forgotten(
    store: EventStore, migrated_config: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
):
    """A segment that was due on a server with a longer log is not made on the one that took over: an event in flight may come into it."""
    monkeypatch.setattr(past, "_RETRY_FIRST_S", 60.0)
    async with EventStore.open(migrated_config, workers=False) as other, running(worker_of(store)):
        async with nothing_is_stored(migrated_config) as session:
            (order, *_) = await place(store, 1, 2, 3)
            await fold_all(store)
            await until(lambda: _is_waited_for(session), limit_s=10)
            await until(lambda: _is_given_back(session), limit_s=10)
            await session.execute(LOSE)
        in_flight = patient_unit_of_work(other)
        await in_flight.begin_transaction()
        order.submit("B-1")
        await in_flight.orders.update_order(order)
        await in_flight.flush()
        await place(other, 4)
        identity = store.connection.server.identity
        assert identity is not None
        store.connection.server.connected(replace(identity, timeline="0000FFFF"), wal=None, wal_before=0)
        store.log.wakeups.wake()
        await until(lambda: _is_stored_at_all(store), limit_s=30)
        assert await stored_through(store) == 1
        await in_flight.commit()
        head = await fold_all(store)
        await until(lambda: _is_stored(store, head), limit_s=30)
    async with store.as_of(position=1) as then:
        assert [one.id for one in await then.orders.get_active_orders()] == [order.id]


async def _is_stored_at_all(store: EventStore) -> bool:
    return await stored_through(store) > 0
