"""Workers behind a long part of the log that has no events for them, and workers that collect for longer than a lease."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.database import ConnectionFactory
from eventstore.log import EventLog
from eventstore.store import EventStore
from projections import OrdersProjection, ProjectionWorker
from tests.pools import opened
from tests.running_workers import has_folded, place, running
from tests.waiting import until

if TYPE_CHECKING:
    from eventstore.database import DatabaseConfig

QUOTES = """
    INSERT INTO events (
        position, occurred_at, recorded_at, version, schema_version, stream_id, event_id, category, type, data, metadata
    )
    SELECT nextval('events_position_seq'), now(), now(), 1, 1, gen_random_uuid(), gen_random_uuid(), 'quote', 'Quoted', '{}', '{}'
    FROM generate_series(1, $1::int)
"""
"""Events of a category that nobody projects, at positions without a gap."""


async def test_a_worker_passes_what_is_not_for_it_without_pauses(store: EventStore):
    """An order after many quotes is in the table soon: the worker does not wait for a wake-up on its way."""
    async with store.connection.acquire() as connection:
        await connection.execute(QUOTES, 150_000)
    signals = store.log.wakeups.signals
    assert signals is not None
    async with running(ProjectionWorker(store.log, OrdersProjection())):
        await until(lambda: signals.is_listening)  # it would look once a second
        await place(store, 1)
        head, began_s = await store.log.head(), time.monotonic()
        await until(lambda: has_folded(store.log, head))
        assert time.monotonic() - began_s < 4


async def test_a_worker_does_not_read_all_that_is_not_for_it_in_one_statement(
    migrated_config: DatabaseConfig, caplog: pytest.LogCaptureFixture
):
    """Where the way to the next order is longer than what a statement can read in its time, the worker goes it in parts."""
    async with await opened(migrated_config) as pool, pool.acquire() as connection:
        await connection.execute("SELECT nextval('events_position_seq')")  # after a gap all is final at once
        await connection.execute(QUOTES, 300_000)
        await connection.execute("ANALYZE events")
    async with await opened(migrated_config, command_timeout=0.05) as pool:
        log = EventLog(pool)
        head = await log.head()
        with caplog.at_level(logging.WARNING):
            async with running(ProjectionWorker(log, OrdersProjection())):
                await until(lambda: has_folded(log, head), limit_s=30)


async def test_a_worker_that_collects_keeps_its_lease(
    migrated_config: DatabaseConfig, store: EventStore, caplog: pytest.LogCaptureFixture
):
    """With a delay of several leases it stays the worker, although another one stands by; nothing is retried."""
    async with await ConnectionFactory.create_connection(migrated_config) as pool:
        workers: list[ProjectionWorker[Any]] = [
            ProjectionWorker(log, OrdersProjection(), lease_s=0.6, fold_delay_s=2.0)
            for log in (store.log, EventLog(pool))
        ]
        async with running(*workers):
            for _ in range(15):
                await place(store, 1)
                await asyncio.sleep(0.2)
        async with pool.acquire() as connection:
            assert await connection.fetchval("SELECT epoch FROM projection_checkpoints") == 1
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
